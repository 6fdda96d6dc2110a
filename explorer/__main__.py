"""``python -m explorer``: the same commands as ``explorer``, where its script is not on PATH."""

import sys

from explorer.cli import main

sys.exit(main())
