"""What was measured better than a proposal: the proposal gives way to it where it uses no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from explorer.latency import Latency
from explorer.measure import Quality
from explorer.predict.price import Price
from explorer.recipe import Recipe
from explorer.search.goal import Objective
from explorer.search.problem import meets
from explorer.search.proposal import Proposal

Trial = tuple[Recipe, Quality, Latency | None]
"""A recipe with what was measured of it."""
EQUAL = 1.01
"""Latencies within this factor count as equal: what a second of measuring tells apart."""


@dataclass(frozen=True, eq=False)
class Rivals:
    """What proposals are held against.

    allows: whether a recipe keeps to the constraints of the search. trials: the recipes measured so far, as proposals.
    price: what a recipe is predicted to cost by all that is known now.
    """

    allows: Callable[[Recipe], bool]
    trials: Callable[[], Iterable[Proposal]]
    price: Callable[[Recipe], Price | None]

    def priced(self, proposal: Proposal) -> Proposal:
        """Return a proposal with its price as it is known now."""
        price = self.price(proposal.recipe)
        return proposal if price is None or math.isnan(price.cost) else replace(proposal, price=price)

    def among(self, known: Iterable[Proposal]) -> tuple[Proposal, ...]:
        """Return what was measured and keeps to the constraints: of ``known``, and of the trials; each recipe once."""
        found: dict[str, Proposal] = {}
        for proposal in (*known, *self.trials()):
            if math.isfinite(proposal.measured_cost) and self.allows(proposal.recipe):
                found.setdefault(proposal.recipe.hash, proposal)
        return tuple(found.values())


def give_way(proposals: Iterable[Proposal], measured: Iterable[Proposal], objective: Objective) -> tuple[Proposal, ...]:
    """Return ``proposals`` without those that something measured beats, which takes their place where it is none."""
    proposals, measured = tuple(proposals), tuple(measured)
    known = {proposal.recipe.hash for proposal in proposals}
    found: dict[str, Proposal] = {}
    for proposal in proposals:
        best = proposal if proposal.quality is None else _best(proposal, measured, objective)
        if best is proposal:
            found.setdefault(proposal.recipe.hash, proposal)
        elif best.recipe.hash not in known:
            found.setdefault(best.recipe.hash, _in_place_of(best, proposal))
    return tuple(sorted(found.values(), key=lambda each: each.amount(objective)))


def better_than(proposal: Proposal, measured: Iterable[Proposal], objective: Objective, budget: float) -> Proposal:
    """Return ``proposal``, or the best of what was measured within ``budget``, or uses no more, where that is better.

    It is better where it was measured to cost less, or, of a proposal that was not measured, less than its whole band.
    """
    measured = tuple(measured)
    known = next((each for each in measured if each.recipe.hash == proposal.recipe.hash), None)
    if known is not None:
        proposal = replace(proposal, quality=known.quality, latency=known.latency)
    best = _best(proposal, measured, objective, budget)
    return proposal if best is proposal else _in_place_of(best, proposal)


def _best(
    proposal: Proposal, measured: Sequence[Proposal], objective: Objective, budget: float = -math.inf
) -> Proposal:
    """What costs least of what uses no more, or is within a budget; then of what uses no more than that, and so on, so
    that nothing measured beats it."""
    while True:
        able = (e for e in measured if meets(e.amount(objective), budget) or _uses_no_more(e, proposal, objective))
        rivals = [each for each in able if _costs_less(each, proposal)]
        if not rivals:
            return proposal
        proposal = min(rivals, key=lambda each: each.measured_cost)


def _costs_less(rival: Proposal, proposal: Proposal) -> bool:
    """On the same samples a lower cost is lower, else one whose interval is below; where the proposal was not measured,
    one whose interval is below its band."""
    assert rival.quality is not None, "rivals were measured"
    highest = rival.quality.cost_interval[1]
    highest = rival.measured_cost if math.isnan(highest) else highest
    if proposal.quality is None:
        return highest < proposal.price.low
    if proposal.quality.n == rival.quality.n:
        return rival.measured_cost < proposal.measured_cost
    return highest < proposal.quality.cost_interval[0]


def _uses_no_more(rival: Proposal, proposal: Proposal, objective: Objective) -> bool:
    """As measured, where time is scarce and both were timed: as shares of FP32's time in the same rounds."""
    if objective == "latency" and rival.latency is not None and proposal.latency is not None:
        return _share(rival.latency) <= _share(proposal.latency) * EQUAL
    return meets(rival.amount(objective), proposal.amount(objective))


def _share(latency: Latency) -> float:
    return latency.candidate_ms / latency.fp32_ms


def _in_place_of(rival: Proposal, proposal: Proposal) -> Proposal:
    """A rival as a proposal; its name and the reasons of its ops say what it was measured against."""
    solved = f"was predicted {proposal.price.cost:.2g}"
    if proposal.quality is not None:
        solved = f"measured {proposal.measured_cost:.2g}"
    words = f"measured {rival.measured_cost:.2g}, what was solved for {solved}"
    recipe = rival.recipe
    for name in recipe.counts:
        alike = [op for op, mine in recipe.precisions.items() if mine == name]
        recipe = recipe.with_precision(alike, name, f"search: {words}")
    return replace(rival, recipe=recipe, kind="search", words=f"{rival.words}, {words}")
