"""A tensor's histogram over log2 of magnitude, and what a format holds: positive upwards, negative downwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.ranges import Histogram
from widgets.charts.grid_values import Reach
from widgets.plots import AXIS, BAD, SOFT, WARM, make_figure, powers_of_two, see_through, short

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
MOST_OCTAVES = 40
ROOM = 5
"""Octaves at most that are kept free above the data to show where the format ends."""
FINE_OCTAVES = 26
LEAST = "zero where the scale is largest"
FATES = {"held": (SOFT, ""), "saturated": (BAD, "/"), "flushed to zero": (WARM, "\\"), LEAST: (SOFT, "\\")}
"""What becomes of a column, its colour, and a hatch, for colour is never the only mark."""


@dataclass(frozen=True)
class Held:
    """What a format holds of the positive and of the negative numbers; its words, and its family's colour.

    many: it has many scales, and this is what it holds under the largest of them.
    """

    label: str
    color: str
    up: Reach
    down: Reach
    many: bool = False


@dataclass(frozen=True, eq=False)
class Columns:
    """A histogram as columns: ``edges`` [n + 1] in log2, counts [n] of the positive and of the negative elements.

    most: the largest magnitude of either sign, in log2: where its last column ends in truth.
    """

    edges: Floats
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]
    most: tuple[float, float]


def span_of(histogram: Histogram) -> tuple[float, float]:
    """The octaves that a tensor's magnitudes fill, from the smallest to above the largest, 40 at most; in log2."""
    octaves = np.flatnonzero(histogram.coarsen(0).counts.sum(axis=0))
    if not len(octaves):
        return -8.0, 8.0
    edges = _log2(histogram.coarsen(0).edges)
    high = float(edges[octaves[-1] + 1])
    return max(float(edges[octaves[0]]), high - MOST_OCTAVES), high


def columns_of(histogram: Histogram) -> Columns:
    """The columns of a tensor's span; the first holds all that is smaller as well."""
    low, high = span_of(histogram)
    coarse = histogram.coarsen(2 if high - low <= FINE_OCTAVES else 1)
    edges = _log2(coarse.edges)
    first, last = int(np.searchsorted(edges, low)), int(np.searchsorted(edges, high))
    counts = coarse.counts[:, first:last].copy()
    counts[:, 0] += coarse.counts[:, :first].sum(axis=1)
    most = _log2(np.array([max(histogram.max, 0.0), max(-histogram.min, 0.0)]))
    return Columns(edges[first : last + 1], counts[0], counts[1], (float(most[0]), float(most[1])))


def draw_magnitudes(histogram: Histogram, held: Held) -> tuple[Any, pd.DataFrame]:
    """The figure and the table behind it: each column's ends, its elements of either sign, and what becomes of it."""
    found = columns_of(histogram)
    table = _table(found, held)
    shown = _shown(found, held)
    signed = bool(found.negative.any())
    traces = [*_bars(table, found), legend_of_band(held), *_rug(held, signed)]
    figure = make_figure(
        "magnitude", "elements", traces,
        barmode="overlay", bargap=0, height=330, legend={"y": 1.04},
        xaxis={"range": shown, "anchor": "y2", **powers_of_two(*shown)},
        yaxis={"domain": [0.16, 1], **_counts(found, signed)},
        yaxis2={**AXIS, "domain": [0, 0.1], "range": [-1.6, 1.6], "showgrid": False, "fixedrange": True,
                "showticklabels": False, "ticks": ""},
        shapes=_band(held, shown, signed), annotations=_notes(held, shown, signed),
    )  # fmt: skip
    return figure, table


def _table(found: Columns, held: Held) -> pd.DataFrame:
    import pandas as pd

    sides = (("positive", found.positive, held.up), ("negative", found.negative, held.down))
    ends = {"low": 2.0 ** found.edges[:-1], "high": 2.0 ** found.edges[1:]}
    parts = []
    for (sign, counts, reach), most in zip(sides, found.most, strict=True):
        middle = (found.edges[:-1] + np.minimum(found.edges[1:], most)) / 2
        small = LEAST if held.many else "flushed to zero"
        fate = np.where(middle > reach.high, "saturated", np.where(middle < reach.low, small, "held"))
        parts.append(pd.DataFrame({"sign": sign, **ends, "elements": counts, "fate": fate}))
    whole = pd.concat(parts, ignore_index=True)
    return whole[whole["elements"] > 0].reset_index(drop=True)


def _bars(table: pd.DataFrame, found: Columns) -> list[dict[str, Any]]:
    total = max(int((found.positive + found.negative).sum()), 1)
    traces = []
    for fate, (color, hatch) in FATES.items():
        rows = table[table["fate"] == fate]
        if rows.empty and fate != "held":
            continue
        low, high = np.log2(rows["low"]), np.log2(rows["high"])
        signs = np.where(rows["sign"] == "positive", 1.0, -1.0)
        marker = {"color": color, "line": {"width": 0}, "pattern": {"shape": hatch, "solidity": 0.45, "size": 5}}
        words = [
            f"{count:,} {sign} elements ({count / total:.2g} of all non-zero) from {a:.3g} to {b:.3g}: {fate}"
            for count, sign, a, b in zip(rows["elements"], rows["sign"], rows["low"], rows["high"], strict=True)
        ]
        traces.append({
            "type": "bar", "name": fate, "x": (low + high) / 2, "width": (high - low) * 0.94,
            "y": signs * _height(rows["elements"].to_numpy()), "marker": marker, "hovertext": words,
            "hovertemplate": "%{hovertext}<extra></extra>",
        })  # fmt: skip
    return traces


def _rug(held: Held, signed: bool) -> list[dict[str, Any]]:
    """The values of the format as ticks under the columns: one row, or one for either sign where they differ."""
    same = len(held.up.values) == len(held.down.values) and np.allclose(held.up.values, held.down.values)
    rows = [(held.up, 0.0 if same or not signed else 0.8, "")]
    if signed and not same:
        rows.append((held.down, -0.8, "\N{MINUS SIGN}"))
    name = "its powers of two" if held.up.thinned else "its values"
    marker = {"symbol": "line-ns-open", "size": 11, "color": held.color, "line": {"width": 1.2}}
    sign = "±" if same and signed else ""
    return [
        {
            "type": "scatter", "mode": "markers", "name": name, "yaxis": "y2", "marker": marker, "showlegend": not at,
            "x": np.log2(reach.values), "y": np.full(len(reach.values), height), "customdata": reach.values,
            "hovertemplate": f"{minus or sign}%{{customdata:.6g}} is a value of {held.label}<extra></extra>",
        }
        for at, (reach, height, minus) in enumerate(rows)
    ]  # fmt: skip


def legend_of_band(held: Held) -> dict[str, Any]:
    """A trace of no point, for the legend: shapes have no entry there."""
    marker = {"symbol": "square", "size": 12, "color": see_through(held.color, 0.3), "line": {"width": 0}}
    name = f"range of {held.label.partition(',')[0]}"
    return {"type": "scatter", "mode": "markers", "name": name, "x": [None], "y": [None], "marker": marker}


def _shown(found: Columns, held: Held) -> list[float]:
    """The axis: the data, and the format's largest value where that is near."""
    low, high = float(found.edges[0]), float(found.edges[-1])
    ends = [reach.high for reach in (held.up, held.down) if np.isfinite(reach.high)]
    near = [end for end in ends if end <= high + ROOM]
    lowest = [reach.low for reach in (held.up, held.down) if np.isfinite(reach.low) and reach.low >= low - ROOM]
    return [min([low, *lowest]) - 0.4, max([high, *near]) + 0.4]


def _band(held: Held, shown: list[float], signed: bool) -> list[dict[str, Any]]:
    """Where the format holds magnitudes, drawn behind the columns of each sign."""
    shapes = []
    for reach, ends in ((held.up, (0.0, 1.0)), (held.down, (-1.0, 0.0))):
        if ends[0] < 0 and not signed:
            continue
        low, high = max(reach.low, shown[0]), min(reach.high, shown[1])
        if low >= high:
            continue
        whole = (0.16, 1.0) if not signed else (0.58, 1.0) if ends[1] else (0.16, 0.58)
        fill = {"fillcolor": see_through(held.color, 0.14), "line": {"width": 0}, "layer": "below"}
        shapes.append(
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": low,
                "x1": high,
                "y0": whole[0],
                "y1": whole[1],
                **fill,
            }
        )
    return shapes


def _notes(held: Held, shown: list[float], signed: bool) -> list[dict[str, Any]]:
    """The sign of each half, and where the format ends beyond the axis."""
    near = {"showarrow": False, "xref": "paper", "yref": "paper", "font": {"color": SOFT, "size": 11}}
    notes = []
    if signed:
        notes += [{**near, "x": 0.004, "y": 1.0, "yanchor": "top", "text": "positive"},
                  {**near, "x": 0.004, "y": 0.17, "yanchor": "bottom", "text": "negative"}]  # fmt: skip
    if shown[1] < held.up.high < np.inf:
        text = f"holds up to {short(held.up.largest)} \N{RIGHTWARDS ARROW}"
        notes.append({**near, "x": 0.998, "xanchor": "right", "y": 1.0, "yanchor": "top", "text": text})
    return notes


def _counts(found: Columns, signed: bool) -> dict[str, Any]:
    """A logarithmic axis of counts in both directions: heights are log10(1 + count)."""
    most = float(_height(np.array([max(found.positive.max(), found.negative.max(), 1)]))[0]) * 1.06
    powers = range(0, int(np.ceil(most)) + 1, 1 if most < 5 else 2)
    ticks = [(float(_height(np.array([10**power]))[0]), _many(10**power)) for power in powers]
    if signed:
        ticks = [(-height, words) for height, words in ticks[::-1]] + ticks
    return {
        "range": [-most if signed else 0, most], "tickmode": "array", "tickvals": [height for height, _ in ticks],
        "ticktext": [words for _, words in ticks], "zeroline": True, "zerolinecolor": SOFT, "fixedrange": True,
    }  # fmt: skip


def _height(counts: NDArray[Any]) -> Floats:
    return np.log10(1.0 + counts)


def _many(count: int) -> str:
    for size, word in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count // size} {word}"
    return str(count)


def _log2(edges: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log2(edges)
