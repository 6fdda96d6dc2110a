"""The search panel as small JSON: what is asked for, the range of the slider, what is proposed, what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from widgets.front_marks import is_cost_known, measured_cost
from widgets.payloads import price
from widgets.plain import number, text
from widgets.searching import EVERY, MOST_VERIFIED, OBJECTIVES, allowed, asked_now, offers

if TYPE_CHECKING:
    from widgets.state import PageState

MAX_LOCKED = 40
MAX_POINTS = 60

Row = dict[str, Any]


def search(state: PageState) -> Row:
    """Everything that the panel shows; its state is opening | none | waiting | verifying | ready | stale | failed."""
    if state.shown is None:
        return {"state": "opening"}
    found = state.search
    about = {
        "objective": found.goal.objective, "objectives": [list(each) for each in OBJECTIVES.items()],
        "precisions": _precisions(state), "locked": sorted(found.locked)[:MAX_LOCKED], "locks": len(found.locked),
        "by_hand": _by_hand(state), "selection": list(state.selection)[:1], "error": text(found.error),
        "hash": state.shown.recipe.hash, "state": _stage(state), "again": found.rough, "samples": state.map_samples,
    }  # fmt: skip
    if found.frontier is None:
        return about
    low, high = found.frontier.limits
    return {
        **about, "for": found.frontier.objective, "low": number(low), "high": number(high),
        "budget": number(found.budget), "proposal": _proposal(state), "points": _points(state),
        "verifies": MOST_VERIFIED,
    }  # fmt: skip


def _stage(state: PageState) -> str:
    found = state.search
    if found.wanted:
        return "waiting" if found.wanted == "search" else "verifying"
    if found.frontier is None:
        return "failed" if found.error else "none"
    return "ready" if found.found_for == asked_now(state) else "stale"


def _precisions(state: PageState) -> list[list[Any]]:
    """[name, whether it is chosen from, whether some op runs in it on a real kernel]."""
    chosen, real = allowed(state), offers(state).real
    return [[text(name, 40), name in chosen, name in real] for name in state.session.precisions if name != EVERY]


def _by_hand(state: PageState) -> int:
    """How many ops have a precision that a person chose."""
    assert state.shown is not None
    return state.shown.states.reason.count("user")


def _proposal(state: PageState) -> Row | None:
    """What is proposed for the slider's budget: predicted numbers, and what would change."""
    proposal = state.search.proposal
    if proposal is None:
        return None
    assert state.shown is not None
    now = state.shown.states.precision
    counts = proposal.recipe.counts
    changes = sum(proposal.recipe[op] != precision for op, precision in zip(state.shown.place, now, strict=True))
    emulated = _emulated(state, proposal.recipe)
    return {
        **_spent(proposal), "price": price(proposal.price), "changes": changes, "ops": len(now), "emulated": emulated,
        "hash": text(proposal.recipe.hash, 80), "solved": None if state.search.moved else number(state.search.solved),
        "counts": [[name, int(counts[name])] for name in state.session.precisions if counts.get(name)],
    }  # fmt: skip


def _emulated(state: PageState, recipe: Any) -> int:
    """How many ops of a recipe no real kernel of this device runs."""
    assert state.shown is not None
    return sum((op, recipe[op]) in offers(state).emulated for op in state.shown.place)


def _points(state: PageState) -> list[Row]:
    """The proposals of the front with what measuring them showed, cheapest in quality last."""
    found = state.search.frontier
    return [_point(state, proposal) for proposal in found.proposals[:MAX_POINTS]]


def _point(state: PageState, proposal: Any) -> Row:
    row = {**_spent(proposal), "price": price(proposal.price), "hash": text(proposal.recipe.hash, 80)}
    seen, timed = state.numbers_of(proposal.recipe.hash)
    quality, latency = proposal.quality or seen, proposal.latency or timed
    if is_cost_known(quality) and quality.n == quality.total:
        cost = measured_cost(quality)
        row |= {
            "kl": number(cost.value), "lo": number(cost.low), "hi": number(cost.high), "n": int(quality.n),
            "kind": "emulated" if quality.emulated else "measured",
        }  # fmt: skip
    if latency is not None and not latency.emulated:
        row["measured_ms"] = number(latency.candidate_ms)
    return row


def _spent(proposal: Any) -> Row:
    return {
        "latency_ms": number(proposal.latency_ms), "memory_bytes": number(proposal.memory_bytes),
        "bits": number(proposal.bits),
    }  # fmt: skip
