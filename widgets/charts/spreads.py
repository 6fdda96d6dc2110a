"""How several sets of elements are spread, as lines over log2 of magnitude: an op's error, and parts of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.compare import OutputHistograms
from explorer.ranges import Histogram, TensorRange
from widgets.charts.magnitudes import ROOM, Held, legend_of_band, span_of
from widgets.plots import BAD, COLORS, SOFT, make_figure, powers_of_two, see_through, short

if TYPE_CHECKING:
    import pandas as pd

PER_OCTAVE_BITS = 1
"""Two columns to the octave: lines over each other are read by their shape."""
LEAST_SHARE = 1e-7
NOTHING = LEAST_SHARE / 100
"""Where a column without elements is drawn: below the axis, which has no zero."""
LINES = (COLORS["fp16"], COLORS["int8"], COLORS["fp8_e4m3"], COLORS["bf16"], COLORS["fp8_e5m2"], SOFT)
DASHES = ("solid", "dash", "dot", "dashdot")
MOST_SLICES = 12


def draw_error(found: OutputHistograms) -> tuple[Any, pd.DataFrame]:
    """An op's error in its precision over what it should have made, and the table behind it.

    How far the error lies to the left of the output is how good the op is: 6 dB of SQNR for every power of two.
    """
    lines = {"output in FP32": found.wanted, "error in its precision": found.error}
    looks = {"output in FP32": {"color": SOFT, "width": 1}, "error in its precision": {"color": BAD, "width": 2.2}}
    table = _shares(lines)
    traces = [_line(table, name, looks[name]) for name in lines]
    traces[0] |= {"fill": "tozeroy", "fillcolor": see_through(SOFT, 0.3)}
    return _figure(table, traces), table


def draw_slices(slices: Mapping[str, TensorRange], held: Held) -> tuple[Any, pd.DataFrame]:
    """One tensor for each part of the data, widest first, before what the format holds; and the table behind it."""
    widest = sorted(slices.items(), key=lambda item: -item[1].absmax)[:MOST_SLICES]
    table = _shares({label: each.histogram for label, each in widest})
    traces = []
    for at, (label, each) in enumerate(widest):
        looks = {"color": LINES[at % len(LINES)], "dash": DASHES[at // len(LINES) % len(DASHES)], "width": 2}
        traces.append(_line(table, label, looks) | {"name": f"{label} (to {short(each.absmax)})"})
    figure = _figure(table, [*traces, legend_of_band(held)])
    low, high = figure.layout.xaxis.range
    ends = max(held.up.low, low), min(held.up.high, high)
    if ends[0] < ends[1]:
        fill = {"fillcolor": see_through(held.color, 0.14), "line": {"width": 0}, "layer": "below"}
        figure.add_shape({"type": "rect", "yref": "paper", "x0": ends[0], "x1": ends[1], "y0": 0, "y1": 1, **fill})
    return figure, table


def _shares(histograms: Mapping[str, Histogram]) -> pd.DataFrame:
    """[series, low, high, share]: which share of a set's elements lies in each column of magnitude."""
    import pandas as pd

    parts = []
    for name, each in histograms.items():
        coarse = each.coarsen(PER_OCTAVE_BITS)
        counts = coarse.counts.sum(axis=0)
        low, high = span_of(each)
        inside = (coarse.edges[:-1] >= 2.0**low) & (coarse.edges[1:] <= 2.0**high)
        ends = {"low": coarse.edges[:-1][inside], "high": coarse.edges[1:][inside]}
        parts.append(pd.DataFrame({"series": name, **ends, "share": counts[inside] / max(each.count, 1)}))
    return pd.concat(parts, ignore_index=True)


def _line(table: pd.DataFrame, name: str, looks: dict[str, Any]) -> dict[str, Any]:
    rows = table[table["series"] == name]
    return {
        "type": "scatter", "mode": "lines", "name": name, "line": {"shape": "hvh", **looks},
        "x": (np.log2(rows["low"]) + np.log2(rows["high"])).to_numpy() / 2,
        "y": rows["share"].clip(lower=NOTHING).to_numpy(), "customdata": rows[["low", "high"]].to_numpy(),
        "hovertemplate": f"{name}: %{{y:.2%}} of its elements from %{{customdata[0]:.3g}} to %{{customdata[1]:.3g}}"
        "<extra></extra>",
    }  # fmt: skip


def _figure(table: pd.DataFrame, traces: list[dict[str, Any]]) -> Any:
    shown = table[table["share"] > 0]
    low = float(np.log2(shown["low"].min())) if len(shown) else -8.0
    high = float(np.log2(shown["high"].max())) if len(shown) else 8.0
    span = [max(low, high - 40.0 - ROOM) - 0.4, high + 0.4]
    least = float(np.log10(max(shown["share"].min(), LEAST_SHARE))) if len(shown) else -3.0
    shares = [10.0**power for power in range(0, math.floor(least) - 1, -1 if least > -4 else -2)]
    return make_figure(
        "magnitude", "share of the elements", traces, height=330, legend={"y": 1.04},
        xaxis={"range": span, **powers_of_two(*span)},
        yaxis={"type": "log", "range": [least - 0.3, 0], "tickmode": "array", "tickvals": shares,
               "ticktext": [f"{100 * share:g} %" for share in shares]},
    )  # fmt: skip
