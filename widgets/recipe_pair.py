"""Two recipes side by side: which ones can be held against each other, their numbers, and the ops that differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from widgets.answers import Ask
from widgets.front_marks import counts_words, is_cost_known, measured_cost, measured_ms
from widgets.history_rows import read_trials
from widgets.plain import number, text

if TYPE_CHECKING:
    from widgets.state import PageState

MOST_LISTED = 100
"""Nodes of the history and trials that are offered, the newest of each."""
MOST_OPS = 1000
SECONDS, WITHIN = 1.5, 0.05
"""How long a latency is measured, and how narrow its interval may get before that."""
NOW, BEFORE, GOAL = "now", "before", "goal"
TOPIC = "pair"

Row = dict[str, Any]
Choices = list[tuple[str, list[tuple[str, str, Any]]]]
"""Groups of (key, label, recipe)."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What measuring both recipes left: all trials as :func:`read_trials`, and memory tables by recipe hash."""

    trials: dict[str, Any]
    memory: dict[str, Any]


def choices(state: PageState) -> Choices:
    """What can be compared: the recipe now and before, the slider's proposal, presets, history, trials."""
    if state.shown is None:
        return []
    session, shown = state.session, state.shown.recipe
    at_hand: list[tuple[str, str, Any]] = [(NOW, "the recipe now", shown)]
    parent = session.node.parent
    if parent is not None:
        at_hand.append((BEFORE, "the recipe before it", session.history[parent].recipe))
    if state.proposal is not None:
        at_hand.append((GOAL, "the proposal for your budget", state.proposal.recipe))
    presets = [(f"preset:{name}", f"preset {name}", recipe) for name, recipe in state.presets.items()]
    nodes = [
        (f"node:{node.id}", text(f"#{node.id} {node.words}", 90), node.recipe) for node in _newest(session.history)
    ]
    trials = [(f"trial:{trial.hash}", counts_words(trial.recipe), trial.recipe) for trial in _newest(_trials(state))]
    groups = [("at hand", at_hand), ("presets", presets), ("history, newest first", nodes), ("measured before", trials)]
    return [(name, listed) for name, listed in groups if listed]


def find(state: PageState, key: str) -> Any:
    """The recipe that a key means now, or None."""
    return next((recipe for _, listed in choices(state) for known, _, recipe in listed if known == key), None)


def measure_both(one: Any, other: Any, known: set[str]) -> Ask:
    """The question that measures what is missing of two recipes; ``known`` need no more measuring, by their hashes."""

    def run(session: Any, recipe: Any, *, progress: Any, cancel: Any) -> Measured:
        memory = {}
        for each in (one, other):
            if each.hash not in known:
                session.evaluate(each, progress=progress, cancel=cancel)
                session.latency(each, seconds=SECONDS, within=WITHIN, progress=progress, cancel=cancel)
            memory[each.hash] = session.memory(each)
        return Measured(read_trials(session), memory)

    return Ask(TOPIC, "measuring two recipes", run)


def is_known(state: PageState, recipe: Any) -> bool:
    """Whether everything that the table shows of a recipe was measured."""
    quality, latency = state.numbers_of(recipe.hash)
    whole = quality is not None and quality.n == quality.total
    return whole and latency is not None and _weights(state, recipe) is not None


def figures(state: PageState, one: Any, other: Any) -> list[Row]:
    """The numbers of both, and the second's against the first's, with an interval where there is one.

    The two were measured on the same samples and so are correlated, in a way that is not kept. The interval of a
    difference is as wide as both together, that of a ratio the least and the most that both allow: neither claims more
    than is known.
    """
    sides = [_side(state, recipe) for recipe in (one, other)]
    rows = [_difference("score", *sides), _difference("kl", *sides), _difference("price", *sides)]
    rows += [_ratio("speed", *sides), _ratio("ms", *sides), _ratio("predicted_ms", *sides), _ratio("weights", *sides)]
    return [row for row in rows if row["one"] is not None or row["other"] is not None]


def differing(state: PageState, one: Any, other: Any) -> list[Row]:
    """The ops that have another precision in the second, those first that make most of the difference.

    What an op makes is its share of all changes of predicted cost, and of all changes of measured time; as long as
    nothing is known of either, its share of the weights.
    """
    assert state.shown is not None
    ours, theirs = one.precisions, other.precisions
    rows = [_op_row(state, op, ours[op], theirs[op]) for op in state.shown.ops.index if ours[op] != theirs[op]]
    costs, times = ([abs(row[name] or 0.0) for row in rows] for name in ("cost", "us"))
    shares = [cost + time for cost, time in zip(_shares(costs), _shares(times), strict=True)]
    if not any(shares):
        shares = _shares([float(row["params"]) for row in rows])
    for row, share in zip(rows, shares, strict=True):
        row["share"] = math.inf if row["breaks"] else share
    rows.sort(key=lambda row: -row["share"])
    most = max([row["share"] for row in rows if row["share"] < math.inf], default=0.0) or 1.0
    return [row | {"share": min(1.0, row["share"] / most)} for row in rows]


def _side(state: PageState, recipe: Any) -> dict[str, Row | None]:
    quality, latency = state.numbers_of(recipe.hash)
    quality = quality if quality is not None and quality.n == quality.total else None
    price = state.session.price(recipe) if state.predicted_map is not None else None
    return {
        "score": quality and _value(quality.score, quality.interval, quality.emulated, quality.difference),
        "kl": quality and _cost_value(quality),
        "price": price and _value(price.cost, (price.low, price.high), None),
        **_times(state, recipe, latency),
        "weights": _weights(state, recipe),
    }  # fmt: skip


def _times(state: PageState, recipe: Any, latency: Any) -> dict[str, Row | None]:
    predicted = state.session.predicted_latency_ms(recipe)
    found: dict[str, Row | None] = {"predicted_ms": None if predicted is None else _value(predicted, None, None)}
    if latency is None or latency.emulated:
        return {**found, "speed": None, "ms": None}
    took = measured_ms(latency)
    return {
        **found,
        "speed": _value(latency.speedup, latency.interval, False),
        "ms": _value(took.value, (took.low, took.high), False),
    }


def _weights(state: PageState, recipe: Any) -> Row | None:
    """Bytes of weights and scales, where the page or a measurement of both has counted them."""
    table, measured = state.memory_of(recipe.hash), state.answers.latest(TOPIC)
    if table is None and measured is not None:
        table = measured.memory.get(recipe.hash)
    if table is None:
        return None
    counted = table["bytes"].reindex(["weights", "scales"]).sum()
    return _value(float(counted), None, False)


def _cost_value(quality: Any) -> Row | None:
    if not is_cost_known(quality):
        return None
    cost = measured_cost(quality)
    return _value(cost.value, (cost.low, cost.high) if cost.low < cost.high else None, quality.emulated)


def _value(value: float, interval: tuple[float, float] | None, emulated: bool | None, moved: float = math.nan) -> Row:
    """emulated None: the number is predicted. moved: against FP32, what ``interval`` is about where it is given."""
    low, high = interval or (math.nan, math.nan)
    kind = "predicted" if emulated is None else "emulated" if emulated else "measured"
    return {"value": number(value), "low": number(low), "high": number(high), "kind": kind, "moved": number(moved)}


def _difference(name: str, one: dict[str, Row | None], other: dict[str, Row | None]) -> Row:
    """The second minus the first; scores' intervals are those of their differences from FP32."""
    first, second = one[name], other[name]
    row: Row = {"name": name, "one": first, "other": second, "how": "minus", "change": None, "low": None, "high": None}
    if first and second and first["value"] is not None and second["value"] is not None:
        change = second["value"] - first["value"]
        row["change"] = change
        if None not in (first["low"], first["high"], second["low"], second["high"]):
            first_at, second_at = ((side["moved"] if name == "score" else side["value"]) for side in (first, second))
            below = (second_at - second["low"]) + (first["high"] - first_at)
            above = (second["high"] - second_at) + (first_at - first["low"])
            row |= {"low": change - below, "high": change + above}
    return row


def _ratio(name: str, one: dict[str, Row | None], other: dict[str, Row | None]) -> Row:
    """The second over the first."""
    first, second = one[name], other[name]
    row: Row = {"name": name, "one": first, "other": second, "how": "times", "change": None, "low": None, "high": None}
    if first and second and first["value"] and second["value"] is not None:
        row["change"] = second["value"] / first["value"]
        if first["low"] and first["high"] and second["low"] is not None:
            row |= {"low": second["low"] / first["high"], "high": second["high"] / first["low"]}
    return row


def _op_row(state: PageState, op: str, before: str, after: str) -> Row:
    assert state.shown is not None
    first, second = (_cost(state, op, precision) for precision in (before, after))
    times = [state.times.get((op, precision)) for precision in (before, after)]
    timed = [time.now_us for time in times if time is not None and not time.emulated and not time.inside]
    return {
        "op": op, "one": before, "other": after, "params": int(state.shown.ops["params"][op]),
        "cost_one": number(first), "cost_other": number(second),
        "cost": number(second - first), "breaks": math.isinf(first) or math.isinf(second),
        "us_one": number(timed[0]) if len(timed) == 2 else None,
        "us": number(timed[1] - timed[0]) if len(timed) == 2 else None,
    }  # fmt: skip


def _cost(state: PageState, op: str, precision: str) -> float:
    """What only this op in this precision costs, measured or predicted; NaN where nobody knows, Inf where it breaks."""
    if precision == "fp32":
        return 0.0
    if (measured := state.measured_cells.get((op, precision))) is not None:
        return float(measured[0])
    table = state.costs
    if table is None or state.shown is None or precision not in state.session.precisions:
        return math.nan
    at = list(state.shown.ops.index).index(op)
    if at >= len(table.costs):
        return math.nan
    cost = float(table.costs[at, state.session.precisions.index(precision)])
    return math.nan if cost < 0 else math.inf if np.isnan(cost) else cost


def _shares(values: list[float]) -> list[float]:
    total = math.fsum(values)
    return [value / total if total else 0.0 for value in values]


def _newest(items: Any) -> Iterator[Any]:
    return reversed(list(items)[-MOST_LISTED:])


def _trials(state: PageState) -> list[Any]:
    """Trials whose recipes are not in the history already."""
    own = {node.recipe.hash for node in state.session.history}
    return [trial for trial in (state.answers.latest("trials") or {}).values() if trial.hash not in own]
