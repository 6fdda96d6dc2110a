"""The recipes of the frontier plot: proposals, baselines, trials and the recipe now, each with its place and words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from widgets.charts.front import AXES, Mark, Scene, Spread

if TYPE_CHECKING:
    from widgets.state import PageState

MOST_TRIALS = 400
"""Trials on show, the newest."""
NAMES = {
    "search": "proposal of the search",
    "greedy": "greedy search",
    "random": "random recipe",
    "uniform": "one precision everywhere",
    "trial": "measured before",
    "goal": "proposal for your budget",
    "now": "the recipe now",
}
FIELDS = {"latency": "latency_ms", "memory": "memory_bytes", "bits": "bits"}
UNKNOWN = Spread.at(math.nan)
AT_A_TIME = 60
"""How many recipes are reckoned anew for one picture."""
Amounts = dict[str, float]


@dataclass(frozen=True, eq=False)
class Found:
    """What is known of one recipe: predicted (None, NaN where it is not) and measured on all samples (None)."""

    recipe: Any
    price: Any
    predicted: Mapping[str, float]
    quality: Any
    latency: Any


def read_scene(state: PageState, axis: str, known: dict[str, Amounts] | None = None) -> Scene:
    """Everything that has a place on this axis now. Runs nothing.

    known: what recipes take, by their hashes, as this frontier reckoned before; what is reckoned now joins it.
    """
    unit = unit_of(state)
    lines: tuple[tuple[float, str], ...] = ()
    if axis == "latency" and state.latency is not None and state.latency.fp32_ms:
        lines = ((float(state.latency.eager_ms), "your eager FP32"), (float(state.latency.fp32_ms), "best FP32"))
    marks = tuple(mark for mark in _marks(state, axis, unit, {} if known is None else known) if mark.amount.known)
    per = "" if state.predicted_map is None else f" per {'token' if state.predicted_map.positions > 1 else 'sample'}"
    return Scene(marks, axis, f"{'nats of KL' if unit == 'nats' else unit}{per}", lines)


def unit_of(state: PageState) -> str:
    """What quality costs are counted in: nats of KL, or squared error where outputs are no logits."""
    if state.predicted_map is not None:
        return str(state.predicted_map.unit)
    return "nats" if state.quality is None or state.quality.squared_error is None else "squared error"


def without_speed(state: PageState) -> int:
    """How many measured recipes have no place on the axis of latency, for some of each is emulated."""
    found = _trials(state, (), lambda recipe: dict.fromkeys(AXES, math.nan))
    return sum(1 for each in found if each.latency is not None and each.latency.emulated)


def name_of(mark: Mark) -> str:
    """How the history calls a recipe that was restored from the plot."""
    return f"{mark.words[0].removeprefix('<b>').removesuffix('</b>')}: {mark.words[1]}"


def _marks(state: PageState, axis: str, unit: str, known: dict[str, Amounts]) -> Iterator[Mark]:
    if state.shown is None:
        return
    names = {preset.hash: f"preset {name}" for name, preset in state.presets.items()}
    amounts = _reckoner(state, axis, known)
    place = partial(_mark, axis=axis, unit=unit, points=state.session.score_unit == "%")
    seen: set[str] = set()
    frontier = state.search.frontier
    for proposal in (*frontier.proposals, *frontier.baselines) if frontier is not None else ():
        seen.add(proposal.recipe.hash)
        title = getattr(proposal, "words", "") or NAMES[proposal.kind]
        yield from place(proposal.kind, title, _of_proposal(state, proposal))
    for found in _trials(state, seen, amounts):
        kind = "uniform" if found.recipe.hash in names else "trial"
        yield from place(kind, names.get(found.recipe.hash, NAMES["trial"]), found)
    if state.search.proposal is not None:
        yield from place("goal", NAMES["goal"], _of_proposal(state, state.search.proposal))
    yield from place("now", NAMES["now"], _now(state, amounts))


def _of_proposal(state: PageState, proposal: Any) -> Found:
    quality, latency = state.numbers_of(proposal.recipe.hash)
    predicted = {axis: float(getattr(proposal, name)) for axis, name in FIELDS.items()}
    return Found(proposal.recipe, proposal.price, predicted, proposal.quality or quality, proposal.latency or latency)


def _now(state: PageState, amounts: Callable[[Any], Amounts]) -> Found:
    assert state.shown is not None
    whole = state.quality is not None and state.quality.n == state.quality.total
    quality = state.quality if whole else None
    predicted = amounts(state.shown.recipe)
    if state.shown.predicted_ms is not None:
        predicted = {**predicted, "latency": state.shown.predicted_ms}
    return Found(state.shown.recipe, state.price, predicted, quality, state.latency)


def _trials(state: PageState, seen: Iterable[str], amounts: Callable[[Any], Amounts]) -> Iterator[Found]:
    """What was measured, by anybody on this machine or just now, the newest; ``seen`` are on show already."""
    seen = set(seen)
    stored = list((state.answers.latest("trials") or {}).values())
    now = [node.recipe for node in state.session.history]
    for recipe in [*(trial.recipe for trial in stored[-MOST_TRIALS:]), *now[-MOST_TRIALS:]]:
        if recipe.hash in seen:
            continue
        seen.add(recipe.hash)
        quality, latency = state.numbers_of(recipe.hash)
        if quality is not None and quality.n == quality.total:
            yield Found(recipe, None, amounts(recipe), quality, latency)


def _reckoner(state: PageState, axis: str, known: dict[str, Amounts]) -> Callable[[Any], Amounts]:
    """recipe -> what it takes on each axis, as the search reckons it; NaN where it does not, or not yet.

    Each recipe is planned for it, which takes milliseconds: on the axis of time, which needs none of it, nothing is
    reckoned, and elsewhere so many recipes at a time.
    """
    reckon = getattr(state.search.frontier, "amounts", None) if axis != "latency" else None
    most = len(known) + AT_A_TIME

    def amounts(recipe: Any) -> Amounts:
        if recipe.hash not in known and reckon is not None and len(known) < most:
            known[recipe.hash] = dict(zip(AXES, reckon(recipe), strict=True))
        return known.get(recipe.hash) or dict.fromkeys(AXES, math.nan)

    return amounts


def _mark(kind: str, title: str, found: Found, *, axis: str, unit: str, points: bool) -> Iterator[Mark]:
    """The mark of a recipe, if it has a cost. The proposal for the slider stays where it was predicted."""
    price, quality = found.price, None if kind == "goal" or not is_cost_known(found.quality) else found.quality
    expected_cost = UNKNOWN if price is None else Spread(float(price.cost), float(price.low), float(price.high))
    expected_amount = Spread.at(found.predicted[axis])
    words = (f"<b>{title}</b>", counts_words(found.recipe), *_sentences(found, unit, points))
    if kind not in ("now", "goal"):
        words = (*words, "click to restore it")
    amount = measured_ms(found.latency) if axis == "latency" else UNKNOWN
    if quality is None:
        if price is not None:
            yield Mark(kind, found.recipe, expected_cost, expected_amount, False, words)
        return
    amount = amount if amount.known else expected_amount
    known_before = expected_cost.known and expected_amount.known
    expected = (expected_cost, expected_amount) if known_before else None
    yield Mark(kind, found.recipe, measured_cost(quality), amount, True, words, expected)


def is_cost_known(quality: Any) -> bool:
    """Whether a measured quality says how far the outputs moved: a number, or outputs that are broken.

    Trials of models without logits that were stored before their squared error was kept say neither.
    """
    return quality is not None and not (math.isnan(quality.cost) and math.isfinite(quality.sqnr_db))


def measured_cost(quality: Any) -> Spread:
    """The measured cost with its 95 % interval; without one where nobody reckoned it."""
    cost, (low, high) = float(quality.cost), quality.cost_interval
    return Spread(cost, float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else Spread.at(cost)


def measured_ms(latency: Any) -> Spread:
    """Milliseconds with the interval of the speed-up, on the baseline's time; none where some of it is emulated."""
    if latency is None or latency.emulated:
        return UNKNOWN
    now, (low, high) = float(latency.candidate_ms), latency.interval
    return Spread(now, now * latency.speedup / high, now * latency.speedup / low)


def counts_words(recipe: Any) -> str:
    """ "9 int8, 14 bf16, 3 fp32": how many ops each precision has, most first."""
    return ", ".join(f"{count} {name}" for name, count in recipe.counts.items())


def _score_words(quality: Any, points: bool) -> str:
    low, high = quality.interval
    scale, digits = (100, 1) if points else (1, 3)
    difference, low, high = (f"{scale * value:+.{digits}f}" for value in (quality.difference, low, high))
    return f"score {difference}{' points' if points else ''} against FP32 (95 % {low} to {high})"


def _cost_words(quality: Any, unit: str) -> str:
    """ "KL 2.9e-4 nats (95 % 2.6e-4 to 3.3e-4), ", ready for how that is known; nothing where nobody knows."""
    if not is_cost_known(quality):
        return ""
    if not math.isfinite(quality.cost):
        return "NaN or Inf in its output, "
    cost = measured_cost(quality)
    interval = f" (95 % {cost.low:.2g} to {cost.high:.2g})" if cost.low < cost.high else ""
    named = f"KL {cost.value:.2g} nats" if unit == "nats" else f"{unit} {cost.value:.2g}"
    return f"{named}{interval}, "


def _sentences(found: Found, unit: str, points: bool) -> list[str]:
    said = []
    quality, latency, price, spent = found.quality, found.latency, found.price, found.predicted
    if quality is not None:
        kind = "emulated" if quality.emulated else "measured"
        said.append(f"{_cost_words(quality, unit)}{kind} on {quality.n:,} samples")
        said.append(_score_words(quality, points))
    if price is not None:
        said.append(f"predicted {price.cost:.2g} {unit}, band {price.low:.2g} to {price.high:.2g}")
    if latency is not None and latency.emulated:
        said.append("some of it is emulated here: no speed")
    elif latency is not None:
        low, high = latency.interval
        over = f"{latency.speedup:.2f}\u00d7 eager FP32 (95 % {low:.2f} to {high:.2f})"
        said.append(f"{latency.candidate_ms:.3g} ms measured, {over}")
    if math.isfinite(spent["latency"]):
        said.append(f"{spent['latency']:.3g} ms predicted")
    if math.isfinite(spent["memory"]):
        said.append(f"{spent['memory'] / 1e6:.3g} MB of weights and activations, {spent['bits']:.3g} bits per weight")
    return said
