"""Quality cost of recipes against what they take: the predicted front with its band, proposals, trials, baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from widgets.plots import BAD, COLORS, GOOD, SOFT, WARM, make_figure, see_through

if TYPE_CHECKING:
    import pandas as pd

FRONT, BAND, LEAP = "predicted front and its band", "band", "from predicted to measured"
BROKEN = "NaN or Inf in its output"
KINDS = {
    "random": ("random recipes", "cross", SOFT, 7),
    "greedy": ("greedy search", "triangle-down", COLORS["fp8_e4m3"], 9),
    "uniform": ("one precision everywhere, presets", "square", COLORS["fp16"], 9),
    "trial": ("measured before", "circle", SOFT, 7),
    "search": ("proposals of the search", "diamond", COLORS["bf16"], 10),
    "goal": ("the proposal for your budget", "circle-open", GOOD, 19),
    "now": ("the recipe now", "star", WARM, 15),
}
"""Kind of a mark -> its words, shape, colour and size; what is drawn later lies on top."""
AXES = {
    "latency": "latency of one batch in ms",
    "memory": "bytes of weights, scales and activations",
    "bits": "bits per weight",
}
DECADE = 10.0
TINY = 1e-9
"""Nats below which costs stand on the lower edge: what is next to nothing is not to take most of the axis."""


@dataclass(frozen=True)
class Spread:
    """A number and the interval around it; both ends are the number where there is none."""

    value: float
    low: float
    high: float

    @staticmethod
    def at(value: float) -> Spread:
        return Spread(value, value, value)

    @property
    def known(self) -> bool:
        return math.isfinite(self.value)


@dataclass(frozen=True, eq=False)
class Mark:
    """One recipe in the plot. ``cost``: of quality, 0 as good as FP32, NaN or Inf where its output is broken.

    ``amount``: on the axis of what it takes. ``measured``: whether ``cost`` is, else it is predicted; ``expected``: its
    predicted place (cost, amount) where it was measured at another. ``words``: title and sentences for the hover.
    """

    kind: str
    recipe: Any
    cost: Spread
    amount: Spread
    measured: bool
    words: tuple[str, ...]
    expected: tuple[Spread, Spread] | None = None


@dataclass(frozen=True)
class Scene:
    """What is drawn. ``axis``: a key of :data:`AXES`; ``unit``: of the cost; ``lines``: (amount, words) to mark."""

    marks: tuple[Mark, ...]
    axis: str
    unit: str
    lines: tuple[tuple[float, str], ...] = ()


def draw_front(scene: Scene) -> Any:
    """The figure. Hollow marks are predicted, filled ones measured; the customdata of each point is its recipe's hash.

    A cost of exactly 0 has no place on a logarithmic axis: it stands on the lower edge, with what is next to nothing,
    and a broken one on the upper.
    """
    floor, ceiling = _edges(scene)
    traces = _front(scene.marks, floor)
    for kind in KINDS:
        chosen = [mark for mark in scene.marks if mark.kind == kind and not _is_broken(mark)]
        if chosen:
            traces.append(_points(kind, chosen, floor))
    if broken := [mark for mark in scene.marks if _is_broken(mark)]:
        traces.append(_broken(broken, ceiling))
    decades = max(1, round(math.log10(ceiling / floor) / 7))
    return make_figure(
        AXES[scene.axis], f"quality cost: {scene.unit}<br>lower is better", traces,
        height=430, legend={"yref": "container", "y": 0.995, "yanchor": "top"}, hoverlabel={"align": "left"},
        shapes=[_line(x) for x, _ in scene.lines],
        annotations=[*_line_notes(scene.lines), *_zero_note(scene.marks, floor)],
        xaxis={"rangemode": "tozero" if scene.axis != "latency" else "normal"},
        yaxis={"type": "log", "exponentformat": "power", "dtick": decades,
               "range": [math.log10(floor) - 0.15, math.log10(ceiling) + 0.2]},
    )  # fmt: skip


def table_of_front(scene: Scene) -> pd.DataFrame:
    """One row per mark: what it is, how it is known, cost and amount with their intervals, and its recipe's hash."""
    import pandas as pd

    rows = [
        {
            "kind": KINDS[mark.kind][0], "known": "measured" if mark.measured else "predicted",
            "cost": mark.cost.value, "cost_low": mark.cost.low, "cost_high": mark.cost.high,
            scene.axis: mark.amount.value, f"{scene.axis}_low": mark.amount.low, f"{scene.axis}_high": mark.amount.high,
            "recipe": mark.recipe.hash, "words": "; ".join(mark.words),
        }
        for mark in scene.marks
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _edges(scene: Scene) -> tuple[float, float]:
    """The lowest and the highest cost that the axis has, with room for what has none."""
    marks = scene.marks
    places = [mark.expected[0] for mark in marks if mark.expected] + [mark.cost for mark in marks]
    positive = [value for cost in places for value in (cost.value, cost.high) if 0 < value < math.inf]
    if not positive:
        return 1e-6, 1.0
    zero, broken = any(mark.cost.value == 0 for mark in marks), any(_is_broken(mark) for mark in marks)
    floor = min(positive) / (DECADE if zero else 2)
    if scene.unit.startswith("nats"):
        floor = max(floor, min(TINY, max(positive) / DECADE))
    return floor, max(positive) * (DECADE if broken else 1.5)


def _is_broken(mark: Mark) -> bool:
    return not mark.cost.known


def _front(marks: Sequence[Mark], floor: float) -> list[dict[str, Any]]:
    """The proposals' predicted places as one line over its band; measured ones stay joined to their predicted place."""
    places = [mark.expected or (mark.cost, mark.amount) for mark in marks if mark.kind == "search"]
    places = sorted((place for place in places if place[0].known and place[1].known), key=lambda at: at[1].value)
    if len(places) < 2:
        return []
    x = [amount.value for _, amount in places]
    low, high = ([max(floor, getattr(cost, side)) for cost, _ in places] for side in ("low", "high"))
    color = COLORS["bf16"]
    shared = {"type": "scatter", "hoverinfo": "skip", "mode": "lines"}
    band = {"x": [*x, *reversed(x)], "y": [*high, *reversed(low)], "fill": "toself", "line": {"width": 0}}
    line = {"x": x, "y": [max(floor, cost.value) for cost, _ in places], "line": {"color": color, "width": 2}}
    return [
        {**shared, **band, "name": BAND, "showlegend": False, "fillcolor": see_through(color, 0.16)},
        {**shared, **line, "name": FRONT},
        *_leaps(marks, floor),
    ]


def _leaps(marks: Sequence[Mark], floor: float) -> list[dict[str, Any]]:
    """A dotted line from where each proposal was expected to where it was measured."""
    x: list[float | None] = []
    y: list[float | None] = []
    for mark in marks:
        if mark.kind == "search" and mark.expected and not _is_broken(mark):
            cost, amount = mark.expected
            x += [amount.value, mark.amount.value, None]
            y += [max(floor, cost.value), max(floor, mark.cost.value), None]
    looks = {"line": {"color": COLORS["bf16"], "width": 1, "dash": "dot"}, "name": LEAP, "showlegend": False}
    return [{"type": "scatter", "mode": "lines", "hoverinfo": "skip", "x": x, "y": y, **looks}] if x else []


def _points(kind: str, marks: Sequence[Mark], floor: float) -> dict[str, Any]:
    name, shape, color, size = KINDS[kind]
    shapes = [shape if kind == "goal" or mark.measured else f"{shape}-open" for mark in marks]
    width = 2.5 if kind == "goal" else 1.5
    marker = {"symbol": shapes, "size": size, "color": color, "line": {"width": width, "color": color}}
    costs = [mark.cost if mark.measured else Spread.at(mark.cost.value) for mark in marks]
    return {
        "type": "scatter", "mode": "markers", "name": name, "marker": marker,
        "x": [mark.amount.value for mark in marks], "y": [max(floor, mark.cost.value) for mark in marks],
        "error_x": _bars([mark.amount for mark in marks], color), "error_y": _bars(costs, color),
        **_told(marks),
    }  # fmt: skip


def _bars(spreads: Sequence[Spread], color: str) -> dict[str, Any]:
    # None where there is no interval: plotly draws the caps of an empty bar too.
    ahead, behind = ([max(0.0, size) or None for size in sizes] for sizes in zip(*map(_reach, spreads), strict=True))
    looks = {"color": see_through(color, 0.7), "thickness": 1.2, "width": 3}
    return {"type": "data", "symmetric": False, "array": ahead, "arrayminus": behind, "visible": True, **looks}


def _reach(spread: Spread) -> tuple[float, float]:
    """How far the interval reaches above and below the number."""
    return spread.high - spread.value, spread.value - spread.low


def _broken(marks: Sequence[Mark], ceiling: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": BROKEN,
        "marker": {"symbol": "x", "size": 10, "color": BAD, "line": {"width": 1, "color": "#fff"}},
        "x": [mark.amount.value for mark in marks], "y": [ceiling] * len(marks), **_told(marks),
    }  # fmt: skip


def _told(marks: Sequence[Mark]) -> dict[str, Any]:
    """What points say when they are pointed at, and what a click on one restores."""
    words = ["<br>".join(mark.words) for mark in marks]
    hashes = [mark.recipe.hash for mark in marks]
    return {"customdata": hashes, "hovertext": words, "hovertemplate": "%{hovertext}<extra></extra>"}


def _line(x: float) -> dict[str, Any]:
    line = {"color": SOFT, "width": 1, "dash": "dash"}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _line_notes(lines: Sequence[tuple[float, str]]) -> list[dict[str, Any]]:
    """Each line's words along it, at its upper end."""
    looks = {"yref": "paper", "y": 0.98, "yanchor": "top", "xanchor": "right", "textangle": -90, "showarrow": False}
    return [{**looks, "x": x, "text": words, "font": {"color": SOFT, "size": 11}} for x, words in lines]


def _zero_note(marks: Sequence[Mark], floor: float) -> list[dict[str, Any]]:
    if not any(mark.cost.value <= floor for mark in marks):
        return []
    exact = all(mark.cost.value == 0 for mark in marks if mark.cost.value <= floor)
    words = "exactly 0" if exact else f"0, or below {floor:.0e}"
    looks = {"xref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return [{**looks, "y": math.log10(floor), "text": words, "font": {"color": SOFT, "size": 11}}]
