"""What can be served, and where its files lie. Effects: looks at the installed package, copies a notebook."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError

PAGES = {
    "explorer": "explorer.ipynb",
    "formats": "02_formats.ipynb",
    "ranges": "03_ranges_and_casts.ipynb",
    "map": "04_map_and_search.ipynb",
}
"""What can be served: the name of a page, and its notebook."""

Say = Callable[[str], None]
"""Shows a line to the person who started the server."""


class ServingError(ExplorerError):
    """A server cannot be started, or ended by itself."""


@dataclass(frozen=True)
class Assets:
    """Where the files lie that a server needs."""

    notebook: Path
    voila_config: Path
    """The folder that holds voila.json."""
    site: Path
    """The program that serves pages, run as a script."""
    templates: Path
    """A Jupyter data folder with the page's template."""
    defaults: Path
    """A Jupyter configuration folder with defaults for JupyterLab's settings."""


def find_assets(page: str = "explorer") -> Assets:
    """A page's notebook and the servers' configuration: an installed package's, or those of the checkout it is in."""
    spec = importlib.util.find_spec("widgets")
    if spec is None or spec.origin is None:
        raise ServingError("find the page", "the package 'widgets' is not installed", "pip install precision-explorer")
    package = Path(spec.origin).parent
    serve, checkout = package / "serve", package.parent
    installed = (serve / PAGES[page]).is_file()
    return Assets(
        notebook=(serve if installed else checkout / "notebooks") / PAGES[page],
        voila_config=serve if installed else checkout,
        site=package / "serve" / "__main__.py",
        templates=serve / "jupyter",
        defaults=serve / "config",
    )


def notebook_to_edit(notebook: Path, folder: Path | None, say: Say) -> Path:
    """The notebook to open: the checkout's own, or a copy in the folder, for an installed package must not change."""
    if folder is None and notebook.parent.name == "notebooks":
        return notebook
    mine = (folder or Path.cwd()).absolute() / notebook.name
    if not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, mine)
        say(f"The notebook is here: {mine}")
    return mine
