"""What can be served, and where its files lie. Effects: looks at the installed package, copies notebooks."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError


@dataclass(frozen=True)
class Notebook:
    """A notebook that is a page: its file, what it is in a line, and the minutes that a reader of the course needs.

    ``minutes`` is 0 for the page itself, which is no lesson.
    """

    file: str
    title: str
    minutes: int = 0


PAGES: Mapping[str, Notebook] = {
    "explorer": Notebook("explorer.ipynb", "The explorer: all views of a model"),
    "start": Notebook("00_start.ipynb", "Start here: a model, a click, a measured answer", 10),
    "recipe": Notebook("01_first_recipe.ipynb", "A first recipe: choose, measure, doubt", 20),
    "formats": Notebook("02_formats.ipynb", "Number formats, bit by bit", 25),
    "ranges": Notebook("03_ranges_and_casts.ipynb", "Ranges and casts: see what goes wrong before it does", 30),
    "map": Notebook("04_map_and_search.ipynb", "The map and the search: predict, propose, verify", 30),
    "own-model": Notebook("05_own_model.ipynb", "Your own model: open it, save it, share it", 20),
    "quantise": Notebook("06_quantise.ipynb", "From FP32 to a recipe that you can hand over", 30),
}
"""What can be served, in the order in which it is listed: the name of a page, and its notebook."""

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
    installed = (serve / "course" / PAGES[page].file).is_file()
    return Assets(
        notebook=(serve / "course" if installed else checkout / "notebooks") / PAGES[page].file,
        voila_config=serve if installed else checkout,
        site=package / "serve" / "__main__.py",
        templates=serve / "jupyter",
        defaults=serve / "config",
    )


def notebook_to_edit(notebook: Path, folder: Path | None, say: Say) -> Path:
    """The notebook to open: the checkout's own, or a copy in the folder, for an installed package must not change.

    The others are copied too, for they lead to each other; what lies there already is the reader's work, and stays.
    """
    if folder is None and notebook.parent.name == "notebooks":
        return notebook
    mine = (folder or Path.cwd()).absolute()
    mine.mkdir(parents=True, exist_ok=True)
    wanted = [notebook.parent / page.file for page in PAGES.values()]
    missing = [source for source in wanted if source.is_file() and not (mine / source.name).exists()]
    for source in missing:
        shutil.copyfile(source, mine / source.name)
    if missing:
        say(f"The notebooks are here: {mine}")
    return mine / notebook.name
