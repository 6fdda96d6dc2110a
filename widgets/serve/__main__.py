"""Runs a module of this folder without the page: ``python widgets/serve/__main__.py widgets.serve.site <its options>``.

The server needs none of the page, whose import takes seconds and some 200 MB; and a kernel must be there before what
the page is made of is imported, so that its page can say what went wrong. So the package ``widgets`` stands without its
own ``__init__`` while the module is imported; whoever imports it afterwards gets the page. Effects: a server, a kernel.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType


def main() -> None:
    """Run the ``main`` of the module that the command line names first."""
    folder = Path(__file__).resolve().parent
    # This folder holds modules of the package, none of which must shadow another of the same name.
    if Path(sys.path[0]).resolve() == folder:
        sys.path.pop(0)
    package = ModuleType("widgets")
    package.__path__ = [str(folder.parent)]
    sys.modules["widgets"] = package
    module = importlib.import_module(sys.argv.pop(1))
    del sys.modules["widgets"]
    module.main()


if __name__ == "__main__":
    main()
