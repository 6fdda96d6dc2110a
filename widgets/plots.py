"""Plotly figures that fit the page: in its colours, readable in light and dark, on paper, and as a table."""

from __future__ import annotations

import math
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLORS = {
    "fp32": "#6b7688",
    "tf32": "#4f7f9e",
    "bf16": "#0f8b8d",
    "fp16": "#3d73d8",
    "fp8_e4m3": "#9a4fc4",
    "fp8_e5m2": "#c2417a",
    "int8": "#df7f1f",
    "uint8": "#df7f1f",
    "int4": "#c24a3a",
    "uint4": "#c24a3a",
}
"""A colour for a format; each is told from both backgrounds, and never the only mark of a line."""
OTHER, BLOCK = "#b0489d", "#7a5af0"
BAD = "#c8452f"
WARM = "#d9822b"
GOOD = "#128a50"
SOFT = "#7b8494"
"""A grey that can be read on white and on black, for what a theme cannot reach."""
INK, PAPER = "#22262d", "#ffffff"
CLEAR = "rgba(0,0,0,0)"
HEIGHT = 340
AXIS = {
    "gridcolor": "rgba(123,132,148,.25)",
    "linecolor": SOFT,
    "zeroline": False,
    "ticks": "outside",
    "automargin": True,
}
"""What every axis of a figure shares."""


def make_figure(x_title: str, y_title: str, traces: Any = (), **layout: Any) -> Any:
    """A ``plotly.graph_objects.Figure`` as wide as its place; ``layout`` goes to its layout.

    Backgrounds are transparent, and ``plot.css`` gives text and lines the theme's colours, so that a change of theme
    costs no message.
    """
    figure = load().Figure(list(traces))
    figure.update_layout(
        template="none",
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"color": SOFT, "size": 12, "family": "system-ui, 'Segoe UI', Roboto, sans-serif"},
        hoverlabel={"bgcolor": INK, "bordercolor": SOFT, "font": {"color": PAPER}},
        margin={"l": 10, "r": 12, "t": 10, "b": 10},
        height=HEIGHT,
        autosize=True,
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        modebar={"bgcolor": CLEAR, "color": SOFT, "activecolor": COLORS["fp16"]},
        xaxis={"title": {"text": x_title}, **AXIS},
        yaxis={"title": {"text": y_title}, **AXIS},
    )
    figure.update_layout(**layout)
    return figure


def color_of(format: str) -> str:
    """The colour of a format, of its family where it has none of its own."""
    return COLORS.get(format, BLOCK if format.startswith(("mx", "nv")) else OTHER)


def see_through(color: str, share: float) -> str:
    """A colour that lets through what is behind it; ``share`` 1 is opaque."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"


def powers_of_two(low: float, high: float) -> dict[str, Any]:
    """Ticks of an axis in log2 at powers of two, some eight of them."""
    step = max(1, round((high - low) / 8))
    ticks = list(range(math.ceil(low / step) * step, math.floor(high) + 1, step))
    return {"tickmode": "array", "tickvals": ticks, "ticktext": [_power(tick) for tick in ticks]}


def _power(exponent: int) -> str:
    """A power of two as people read it: plain from 1/16 to 4,096, else with its exponent."""
    if -4 <= exponent <= 12:
        return f"{2.0**exponent:,g}"
    return f"2<sup>{str(exponent).replace('-', chr(0x2212))}</sup>"


def short(value: float) -> str:
    """A magnitude in three digits, whole from a thousand on: 0.00732, 5.16, 65,504, 3.4e+38."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf"
    if 1e3 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 or not value else f"{value:.2e}"


def on_paper(figure: Any) -> Any:
    """A copy for a page of its own: dark on white, as wide as its window."""
    copy = load().Figure(figure)
    copy.update_layout(
        paper_bgcolor=PAPER, plot_bgcolor=PAPER, font_color=INK, margin={"l": 40, "r": 40, "t": 60, "b": 40}
    )
    return copy


def table_of(figure: Any) -> pd.DataFrame:
    """Every point that a figure draws, one row each: the name of its series, x and y."""
    import pandas as pd

    parts = [pd.DataFrame({"series": trace.name, "x": trace.x, "y": trace.y}) for trace in figure.data]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["series", "x", "y"])


@cache
def load() -> Any:
    """Plotly's module of figures; a seventh of a second the first time."""
    return import_module("plotly.graph_objects")
