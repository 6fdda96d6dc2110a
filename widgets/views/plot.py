"""The plot: a plotly figure in the page's own frame, which loads plotly once per page and saves in four ways."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import traitlets

from widgets.answering import BadMessage, Fields, Reply, reply_to, text_field
from widgets.jobs import MainLoop
from widgets.plots import make_figure, on_paper, table_of
from widgets.views.view import FILES, Pane, script, style

if TYPE_CHECKING:
    import pandas as pd

MAX_OF = 1000
"""Characters of what a point stands for: an op's id, the hash of a recipe."""
ASKED: dict[str, set[str]] = {
    "hello": set(),
    "library": set(),
    "html": set(),
    "csv": set(),
    "click": {"of"},
}


class Plot(Pane):
    """A figure on the page. ``figure`` is what it shows now, ``data`` the table behind it.

    ``name``: how its files are called. ``on_click(of)``: called on the main loop when someone clicks on a point whose
    ``customdata`` is the text ``of``. By that the handler finds what was meant, for by then the figure may be another.

    The figure travels as plotly's JSON in one trait, so that a page which comes late or is reloaded shows it too. The
    library is sent only when a browser without it asks.
    """

    _esm = script("shared", "plot_library", "plot_parts", "plot_still", "plot")
    _css = style("plot")

    drawn = traitlets.Unicode().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    takes_clicks = traitlets.Bool(False).tag(sync=True)

    def __init__(self, name: str, on_click: Callable[[str], None] | None = None, main: MainLoop | None = None) -> None:
        super().__init__(main or MainLoop())
        self._clicked, self.takes_clicks = on_click, on_click is not None
        self.name = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "plot"
        self.show(make_figure("", ""))

    def show(self, figure: Any, data: pd.DataFrame | None = None) -> None:
        """Shows a ``plotly.graph_objects.Figure``; ``data``: the table behind it, left out: the points it draws."""
        self._figure, self._data = figure, data
        self.drawn = figure.to_json()

    @property
    def figure(self) -> Any:
        """What is shown, as a ``plotly.graph_objects.Figure``; changes to it show after ``show(figure)``."""
        return self._figure

    @property
    def data(self) -> pd.DataFrame:
        """The table behind what is shown."""
        return table_of(self._figure) if self._data is None else self._data

    def answer(self, content: object) -> Reply:
        return reply_to(content, ASKED, self._act)

    def _act(self, kind: str, fields: Fields) -> Reply | None:
        if kind == "library":
            return {FILES: [library()]}
        if kind == "html":
            return {FILES: [on_paper(self._figure).to_html(include_plotlyjs=True).encode()]}
        if kind == "csv":
            return {FILES: [self.data.to_csv().encode()]}
        if kind == "click":
            if self._clicked is None:
                raise BadMessage("this plot takes no clicks")
            self._clicked(text_field(fields, "of", MAX_OF))
        return None


@cache
def library() -> bytes:
    """Plotly's JavaScript as its Python package ships it, gzipped: 1.7 MB instead of 4.8. Effects: reads one file."""
    return gzip.compress(files("plotly").joinpath("package_data/plotly.min.js").read_bytes(), compresslevel=1)
