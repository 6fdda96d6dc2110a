"""Where the search of one model stands: what is asked for, what was found, and what is proposed at the slider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from widgets.state import PageState

OBJECTIVES = {
    "latency": "the least milliseconds a batch takes, from calls measured on this machine",
    "memory": "the fewest bytes of weights, scales and activations at their peak",
    "bits": "the fewest bits per weight on average",
}
MOST_VERIFIED = 8
"""Measuring a proposal takes some seconds; so many, spread over the front, tell whether its predictions hold."""
EVERY = "fp32"
"""The precision that every op can take, and that is therefore always allowed."""


@dataclass(frozen=True)
class Goal:
    """What to search for: the objective, and the precisions to choose from (None: those that are real here)."""

    objective: str = "latency"
    precisions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Asked:
    """A goal as it was searched for, with the ops that kept the precision that they had."""

    objective: str
    precisions: tuple[str, ...]
    held: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Offers:
    """What a session offers: precisions that some op runs in on a real kernel here, and the cells that are emulated."""

    real: tuple[str, ...]
    emulated: frozenset[tuple[str, str]]


@dataclass
class Searching:
    """The search as the page knows it.

    locked: ops that keep their precision. wanted: what the worker is to do, "" | "search" | "verify". found_for: what
    ``frontier`` was found for. budget: where the slider stands; solved: the budget of ``proposal``.
    """

    goal: Goal = Goal()
    offers: Offers | None = None
    locked: frozenset[str] = frozenset()
    wanted: str = ""
    error: str = ""
    found_for: Asked | None = None
    frontier: Any = None
    budget: float | None = None
    solved: float | None = None
    proposal: Any = None
    rough: int = 0
    """From how many samples the map was that ``frontier`` was found on, where it has become more precise since."""

    @property
    def moved(self) -> bool:
        """Whether the slider stands where nothing was solved for yet."""
        return self.frontier is not None and self.budget is not None and self.budget != self.solved

    def move(self, budget: float) -> None:
        """Puts the slider on a budget: what the front has for it is proposed until it is solved for exactly."""
        low, high = self.frontier.limits
        self.budget, self.solved = min(max(budget, low), high), None
        fits = [each for each in self.frontier.proposals if each.amount(self.frontier.objective) <= self.budget]
        if fits:
            self.proposal, self.error = min(fits, key=lambda each: each.price.cost), ""

    def take(self, frontier: Any, asked: Asked | None = None) -> None:
        """Keeps what was found; for a new question, the slider starts in the middle of what can be had."""
        if asked is not None and self.frontier is not None:
            frontier = _with_measured(frontier, self.frontier)
        self.frontier, self.error = frontier, ""
        if asked is not None:
            low, high = frontier.limits
            self.found_for, self.rough, self.proposal = asked, 0, None
            self.move(self.budget if self.budget is not None and low <= self.budget <= high else (low + high) / 2)


def renew(state: PageState, samples: int) -> None:
    """Searches again, for the map of ``samples`` that was searched has become more precise.

    Where the goal or the locks have changed since, that is left to the person who changed them.
    """
    found = state.search
    if found.frontier is None or found.wanted == "search":
        return
    found.rough = found.rough or samples
    if not found.wanted and found.found_for == asked_now(state):
        found.wanted = "search"


def _with_measured(frontier: Any, before: Any) -> Any:
    """A frontier with what was measured of the same recipes on the one before it."""
    seen = {each.recipe.hash: each for each in before.proposals if each.quality is not None}

    def filled(proposal: Any) -> Any:
        known = seen.get(proposal.recipe.hash)
        return proposal if known is None else replace(proposal, quality=known.quality, latency=known.latency)

    return replace(frontier, proposals=tuple(map(filled, frontier.proposals)))


def offers(state: PageState) -> Offers:
    """What the page's session offers, looked up once."""
    if state.search.offers is None:
        assert state.shown is not None
        options = {op: state.session.options(op) for op in state.shown.place}
        cells = [(op, name, one) for op, each in options.items() for name, one in each.items() if one.possible]
        real = {name for _, name, one in cells if not one.emulated}
        state.search.offers = Offers(
            tuple(name for name in state.session.precisions if name in real),
            frozenset((op, name) for op, name, one in cells if one.emulated),
        )
    return state.search.offers


def allowed(state: PageState) -> tuple[str, ...]:
    """The precisions that the goal chooses from, in the page's order; FP32 is always among them."""
    chosen = state.search.goal.precisions
    if chosen is None:
        return offers(state).real
    return tuple(name for name in state.session.precisions if name in chosen or name == EVERY)


def asked_now(state: PageState) -> Asked:
    """What a search that starts now would be for."""
    return Asked(state.search.goal.objective, allowed(state), frozenset(held(state).items()))


def held(state: PageState) -> Mapping[str, str]:
    """The locked ops with the precisions that they have now."""
    assert state.shown is not None
    every = zip(state.shown.place, state.shown.states.precision, strict=True)
    return {op: precision for op, precision in every if op in state.search.locked}
