"""Starts the site: ``python widgets/serve/__main__.py <notebook> <Voila's options>``. Effects: a server.

The server needs none of the page, whose import takes seconds and some 200 MB; so the package ``widgets`` stands here
without its own ``__init__``, and only ``widgets.serve`` is imported of it.
"""

import sys
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    package = ModuleType("widgets")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["widgets"] = package
    # This folder holds modules of the package, none of which must shadow another of the same name.
    if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
        sys.path.pop(0)

    from widgets.serve.site import VisitorSite

    VisitorSite.launch_instance()
