"""Three errors of each op in the order of execution: alone, alone but seen at the output, and of the whole recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.compare import Birth
from widgets.plots import BAD, COLORS, GOOD, SOFT, WARM, make_figure

if TYPE_CHECKING:
    import pandas as pd

LINES = {
    "local": ("local: this op alone, at its own output", {"color": COLORS["fp16"], "width": 1.6, "dash": "dot"}),
    "isolated": ("isolated: this op alone, at the model's output", {"color": COLORS["fp8_e4m3"], "width": 1.6}),
    "cumulative": ("cumulative: the whole recipe, at this op", {"color": COLORS["bf16"], "width": 2.4}),
}
"""Column -> the line's words and its looks: colour, width and dash."""
MARKS = {
    "amplifies": ("amplified on its way to the output", {"symbol": "triangle-up", "size": 12, "color": BAD}),
    "heals": ("healed on its way to the output", {"symbol": "triangle-down", "size": 12, "color": GOOD}),
}
BROKEN = ("NaN or Inf", {"symbol": "x", "size": 10, "color": BAD})
UNITS = {"sqnr": "SQNR in dB: higher is better", "relative": "relative error: lower is better"}
MOST_TICKS = 12


@dataclass(frozen=True, eq=False)
class OpErrors:
    """The errors of a recipe. ``table``: as :func:`table_of_errors`; ``born``: where the first NaN or Inf is, if any.

    ``samples``: on how many of ``total`` the errors were measured; ``emulated``: whether some op has no kernel here.
    """

    table: pd.DataFrame
    born: Birth | None
    samples: int
    total: int
    emulated: bool


def table_of_errors(
    ops: Mapping[str, tuple[str, str]], side_by_side: pd.DataFrame, cumulative: pd.DataFrame
) -> pd.DataFrame:
    """One row per op with a precision, in execution order: the three errors in dB (NaN: there is none), behaviour.

    ops: id -> layer and precision. side_by_side, cumulative: ``session.errors()`` and ``session.compare()``.
    """
    import pandas as pd

    names = {"local_sqnr_db": "local", "isolated_sqnr_db": "isolated"}
    table = pd.DataFrame.from_dict(dict(ops), orient="index", columns=["layer", "precision"])
    table.index.name = "op"
    found = side_by_side.rename(columns=names)[["local", "isolated", "isolated_kl", "behaviour"]]
    table = table.join(found)
    table["cumulative"] = cumulative["sqnr_db"].reindex(table.index)
    table["behaviour"] = table["behaviour"].fillna("")
    return table


def draw_errors(found: OpErrors, unit: str) -> Any:
    """The figure. An op without an error, in FP32 or exact, leaves a gap; one with NaN or Inf stands on the lower edge
    of quality. Each point carries its op's id."""
    table = found.table
    place = np.arange(len(table))
    heights = {name: _in_unit(table[name].to_numpy(float), unit) for name in LINES}
    worst = _worst(heights, unit)
    words = [_words(op, row) for op, row in zip(table.index, table.to_dict("records"), strict=True)]
    shared = {"type": "scatter", "hovertemplate": "%{hovertext}<extra></extra>"}
    traces = []
    for name, (title, line) in LINES.items():
        seen = np.isfinite(heights[name])
        looks = {"mode": "lines+markers", "name": title, "line": line, "marker": {"size": 5}}
        traces.append(shared | looks | _points(table.index, words, place, heights[name], seen))
    for behaviour, (title, marker) in MARKS.items():
        seen = (table["behaviour"] == behaviour).to_numpy() & np.isfinite(heights["isolated"])
        traces.append(_marks(title, marker) | shared | _points(table.index, words, place, heights["isolated"], seen))
    broken = np.isneginf(table["cumulative"].to_numpy(float))
    low = np.full(len(table), worst)
    traces.append(_marks(*BROKEN) | shared | _points(table.index, words, place, low, broken))
    title = f"ops in the order of execution (on {found.samples:,} of {found.total:,} samples)"
    return make_figure(
        title, UNITS[unit], [trace for trace in traces if len(trace["x"])],
        height=380, legend={"y": 1.04}, shapes=_born_line(found), annotations=_born_note(found),
        xaxis={"range": [-0.6, len(table) - 0.4], **_ticks(table)},
        yaxis={"type": "log" if unit == "relative" else "linear", "exponentformat": "power"},
    )  # fmt: skip


def _in_unit(sqnr_db: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """Heights; NaN where nothing is lost or nothing is known, for an axis has no place for them."""
    heights = sqnr_db if unit == "sqnr" else 10.0 ** (-sqnr_db / 20)
    return np.where(np.isfinite(sqnr_db), heights, np.nan)


def _worst(heights: dict[str, NDArray[np.float64]], unit: str) -> float:
    """Where what is broken is drawn: as bad as the worst."""
    known = np.concatenate([each[np.isfinite(each)] for each in heights.values()])
    if not len(known):
        return 0.0 if unit == "sqnr" else 1.0
    return float(known.min()) if unit == "sqnr" else float(known.max())


def _points(ops: Any, words: list[str], x: NDArray[Any], y: NDArray[Any], seen: NDArray[np.bool_]) -> dict[str, Any]:
    chosen = np.flatnonzero(seen)
    return {
        "x": x[chosen], "y": y[chosen], "customdata": [str(ops[at]) for at in chosen],
        "hovertext": [words[at] for at in chosen],
    }  # fmt: skip


def _marks(name: str, marker: dict[str, Any]) -> dict[str, Any]:
    return {"mode": "markers", "name": name, "marker": {**marker, "line": {"width": 1, "color": "#fff"}}}


def _words(op: str, row: dict[Any, Any]) -> str:
    lines = [f"<b>{op}</b> in {row['precision']}"]
    lines += [f"{name}: {_level(row[name])}" for name in LINES if not math.isnan(row[name])]
    if not math.isnan(row["isolated_kl"]):
        lines.append(f"KL at the output, of this op alone: {row['isolated_kl']:.2g}")
    if row["behaviour"] in MARKS:
        lines.append(MARKS[row["behaviour"]][0])
    return "<br>".join(lines)


def _level(sqnr_db: float) -> str:
    if sqnr_db == math.inf:
        return "exact"
    if sqnr_db == -math.inf:
        return "NaN or Inf"
    return f"{sqnr_db:.1f} dB, relative error {100 * 10 ** (-sqnr_db / 20):.2g} %"


def _ticks(table: pd.DataFrame) -> dict[str, Any]:
    """Where each block of the model begins, by its name, as far as names find room."""
    places: dict[str, int] = {}
    for at, layer in enumerate(table["layer"]):
        places.setdefault(_block(str(layer)), at)
    room, chosen = max(1.0, len(table) / MOST_TICKS), list[tuple[str, int]]()
    for name, at in places.items():
        if name and (not chosen or at - chosen[-1][1] >= room):
            chosen.append((name, at))
    ticks = {"tickvals": [at for _, at in chosen], "ticktext": [name for name, _ in chosen]}
    return {"tickmode": "array", **ticks}


def _block(layer: str) -> str:
    """The first part of a layer's path, and the number after it: "blocks.3"."""
    first, _, rest = layer.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if second.isdigit() else first


def _born_line(found: OpErrors) -> list[dict[str, Any]]:
    if found.born is None or found.born.op not in found.table.index:
        return []
    at = list(found.table.index).index(found.born.op)
    line = {"color": WARM, "width": 1.5, "dash": "dash"}
    return [{"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": line}]


def _born_note(found: OpErrors) -> list[dict[str, Any]]:
    if found.born is None or found.born.op not in found.table.index:
        return []
    at = list(found.table.index).index(found.born.op)
    side = "right" if at > len(found.table) / 2 else "left"
    font = {"color": SOFT, "size": 11}
    note = {"x": at, "yref": "paper", "y": 1, "yanchor": "top", "xanchor": side, "showarrow": False, "font": font}
    return [{**note, "text": f" first NaN or Inf: {found.born.op} "}]
