"""A recorded frontier: the proposals of a search, and for a budget the best among them; nothing is solved anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from explorer.errors import BundleError
from explorer.latency import Latency
from explorer.measure import Quality
from explorer.predict import Price
from explorer.recipe import Recipe
from explorer.search import Frontier, Proposal

_PLAIN = ("latency_ms", "memory_bytes", "bits", "kind", "words", "emulated")


@dataclass(frozen=True, eq=False)
class RecordedSolver:
    """Answers for budgets and recipes from what was found before."""

    objective: Any
    proposals: tuple[Proposal, ...]
    limits: tuple[float, float]

    def at(self, budget: float) -> Proposal:
        """Return the best recorded proposal within ``budget``; :class:`BundleError` where none is."""
        within = [each for each in self.proposals if each.amount(self.objective) <= budget]
        if not within:
            least = min((each.amount(self.objective) for each in self.proposals), default=math.nan)
            raise BundleError(f"propose for {budget:g}", "no recorded proposal is within it", f"from {least:g} up")
        return min(within, key=lambda each: each.price.cost)

    def amounts(self, recipe: Recipe) -> tuple[float, int, float]:
        """Return what a proposed recipe uses; NaN, 0 and NaN of another, for nothing is planned here."""
        known = (each for each in self.proposals if each.recipe.hash == recipe.hash)
        found = next(known, None)
        return (math.nan, 0, math.nan) if found is None else (found.latency_ms, found.memory_bytes, found.bits)


def pack_front(frontier: Frontier) -> dict[str, Any]:
    """The frontier as plain values; a proposal's recipe has the reasons of its own."""
    return {
        "objective": frontier.objective,
        "limits": list(frontier.limits),
        "proposals": [_pack(each) for each in frontier.proposals],
        "baselines": [_pack(each) for each in frontier.baselines],
    }


def unpack_front(entry: Mapping[str, Any]) -> Frontier:
    """The frontier of an entry."""
    proposals, baselines = (tuple(_unpack(each) for each in entry[name]) for name in ("proposals", "baselines"))
    low, high = entry["limits"]
    solver = RecordedSolver(entry["objective"], (*proposals, *baselines), (low, high))
    return Frontier(entry["objective"], proposals, baselines, solver)


def _pack(proposal: Proposal) -> dict[str, Any]:
    return {name: getattr(proposal, name) for name in _PLAIN} | {
        "recipe": proposal.recipe.to_json(),
        "price": asdict(proposal.price),
        "quality": None if proposal.quality is None else proposal.quality.to_dict(),
        "latency": None if proposal.latency is None else proposal.latency.to_dict(),
    }


def _unpack(entry: Mapping[str, Any]) -> Proposal:
    quality, latency = entry["quality"], entry["latency"]
    return Proposal(
        recipe=Recipe.from_json(entry["recipe"]),
        price=Price(**entry["price"]),
        quality=None if quality is None else Quality.from_dict(quality),
        latency=None if latency is None else Latency.from_dict(latency),
        **{name: entry[name] for name in _PLAIN},
    )
