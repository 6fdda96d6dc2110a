"""``python -m widgets.export x.pxb out.html``: the offline page, for the page that started this. (Effect: a file.)

Says on its output, a line of JSON each, how far it is, and what went wrong; ends when its input is closed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any


def main() -> int:
    """Write the page; return the exit status."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import explorer as px
    from widgets.export import export_html

    source, out = sys.argv[1:]
    try:
        export_html(px.load(source), out, lambda done, total, text: _say(done=done, total=total, text=text))
    except px.ExplorerError as error:
        _say(error=str(error))
        return 2
    return 0


def _say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """A kernel that is killed takes its exports with it."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
