"""Plotly figures that fit the page: made on first need, in the page's colours, readable in light and dark."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from importlib import import_module
from typing import Any

COLORS = {
    "fp32": "#6b7688",
    "tf32": "#4f7f9e",
    "bf16": "#0f8b8d",
    "fp16": "#3d73d8",
    "fp8_e4m3": "#9a4fc4",
    "fp8_e5m2": "#c2417a",
}
"""A colour for a format's line; each is told from both backgrounds, and never the only mark of a line."""
BAD = "#c8452f"
SOFT = "#7b8494"
"""A grey that can be read on white and on black, for what a theme cannot reach."""
HEIGHT = 340
_LOADING = threading.Lock()


def make_figure(x_title: str, y_title: str, **layout: Any) -> Any:
    """An empty ``plotly.graph_objects.FigureWidget`` as wide as its place; ``layout`` goes to its layout.

    Backgrounds are transparent, and ``experiment.css`` gives its text and lines the theme's colours, so that a change
    of theme costs no message. The first figure loads plotly, and each sends the browser 5 MB of plotly.
    """
    figure = _figure_class()()
    figure._config = {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    }
    clear = "rgba(0,0,0,0)"
    axis = {
        "gridcolor": "rgba(123,132,148,.25)",
        "linecolor": SOFT,
        "zeroline": False,
        "ticks": "outside",
        "automargin": True,
    }
    figure.update_layout(
        paper_bgcolor=clear,
        plot_bgcolor=clear,
        font={"color": SOFT, "size": 12},
        margin={"l": 10, "r": 12, "t": 10, "b": 10},
        height=HEIGHT,
        autosize=True,
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        modebar={"bgcolor": clear, "color": SOFT, "activecolor": COLORS["fp16"]},
        xaxis={"title": x_title, **axis},
        yaxis={"title": y_title, **axis},
    )
    figure.update_layout(**layout)
    return figure


@cache
def load() -> Any:
    """Plotly's module of figures, with all that its widgets import; half a second the first time."""
    with _LOADING, _without_slow_check():
        figures = import_module("plotly.graph_objects")
        figures.FigureWidget  # noqa: B018  asking for the class is what imports its parts
    return figures


@cache
def _figure_class() -> Any:
    base: Any = load().FigureWidget
    from plotly.serializers import custom_serializers

    class Figure(base):
        """A figure that tells a browser which comes later what it shows now.

        Plotly's own tells what it showed when it was made or last displayed by itself. Inside a box, or for a page that
        is reloaded, that is an empty figure.
        """

        def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
            state = super().get_state(key, drop_defaults)
            if key is None and hasattr(self, "_layout_obj"):
                now = {"_widget_layout": self._layout_obj._props, "_widget_data": self._data}
                state |= {name: custom_serializers["to_json"](deepcopy(value), self) for name, value in now.items()}
            return state

    return Figure


@contextmanager
def _without_slow_check() -> Iterator[None]:
    """Plotly's widgets import jsonschema, which compiles a grammar of web addresses for seconds if it finds one.

    jsonschema then leaves out one optional check ("iri"), which no notebook's format uses.
    """
    slow, missing = "rfc3987_syntax", object()
    if sys.modules.get(slow, missing) is not missing:
        yield
        return
    sys.modules[slow] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[slow]
