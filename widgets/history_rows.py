"""The history panel's rows: every recipe that was chosen, what changed in words, and what was measured of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from widgets.answers import Ask
from widgets.front_marks import unit_of
from widgets.plain import number, text

if TYPE_CHECKING:
    from widgets.state import PageState

MOST = 2000
"""Recipes on show, the newest; older ones are undone to, one by one."""
QUESTION = Ask(
    "trials",
    "Reading what was measured before",
    lambda session, recipe, **_: read_trials(session),
    follows=True,
)
"""Which recipes were measured on this data and device, by their hashes."""

Row = list[Any]


def read_trials(session: Any) -> dict[str, Any]:
    """The trials by their recipes' hashes, each read to the end, for the page shows them without waiting."""
    trials = session.comparable_trials()
    for trial in trials:
        _ = trial.quality, trial.latency
    return {trial.hash: trial for trial in trials}


def nodes(state: PageState) -> list[Row]:
    """[id, parent (-1: none), words] of each, the oldest first."""
    history = state.session.history[-MOST:] if state.session is not None else ()
    return [[node.id, -1 if node.parent is None else node.parent, text(node.words, 160)] for node in history]


def standing(state: PageState) -> dict[str, Any]:
    """Which node is the current one, and what was measured of all."""
    if state.session is None:
        return {}
    session = state.session
    rows = [_numbers(node.id, *state.numbers_of(node.recipe.hash)) for node in session.history[-MOST:]]
    return {
        "at": session.node.id,
        "name": text(session.score_name, 60),
        "unit": text(session.score_unit, 8),
        "cost": unit_of(state),
        "numbers": [row for row in rows if row],
    }


def _numbers(node: int, quality: Any, latency: Any) -> Row:
    """[id, score, difference, its interval's ends, quality cost, samples, emulated, speed-up, its interval's ends, no
    speed, the ends of the cost's interval].

    Quality counts once it is that of all samples; an emulated recipe has no speed. Empty where nothing is known.
    """
    if quality is None and latency is None:
        return []
    whole = quality is not None and quality.n == quality.total
    found: Row = [None] * 6
    cost: Row = [None] * 2
    if whole:
        values = (quality.score, quality.difference, *quality.interval, quality.cost)
        found, cost = [*map(number, values), int(quality.n)], [number(end) for end in quality.cost_interval]
    unreal = latency is not None and bool(latency.emulated)
    speed: Row = [None] * 3
    if latency is not None and not unreal:
        speed = [number(value) for value in (latency.speedup, *latency.interval)]
    return [node, *found, bool(whole and quality.emulated), *speed, unreal, *cost]
