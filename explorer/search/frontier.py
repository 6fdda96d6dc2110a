"""The frontier: proposals from a small budget to a large one, beside simpler searches, predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import pandas as pd

from explorer.errors import Cancelled, ExplorerError
from explorer.latency import Latency
from explorer.measure import Quality
from explorer.predict.price import Price
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.search.goal import UNITS, Objective

Kind = Literal["search", "greedy", "random", "uniform"]
COLUMNS = [
    "kind",
    "words",
    "latency_ms",
    "memory_bytes",
    "bits",
    "cost",
    "low",
    "high",
    "measured_cost",
    "score",
    "n",
    "measured_ms",
    "speedup",
    "emulated",
    "hash",
]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A recipe with its predicted price and amounts, and what was measured of it (None until it was).

    latency_ms: predicted, the sum over its calls; NaN where calls were never timed, or are emulated. words: its short
    name.
    """

    recipe: Recipe
    price: Price
    latency_ms: float
    memory_bytes: int
    bits: float
    kind: Kind
    words: str
    emulated: bool = False
    quality: Quality | None = None
    latency: Latency | None = None

    def amount(self, objective: Objective) -> float:
        """How much of what is scarce it uses, predicted."""
        return {"latency": self.latency_ms, "memory": float(self.memory_bytes), "bits": self.bits}[objective]

    @property
    def measured_cost(self) -> float:
        """In the unit of its price, NaN until it is measured and where outputs are broken."""
        return math.nan if self.quality is None else self.quality.cost


@dataclass(frozen=True)
class Meters:
    """What measures recipes: ``quality(recipe, progress, cancel)`` and ``latency(recipe, progress, cancel)``."""

    quality: Callable[[Recipe, Progress | None, Any], Quality]
    latency: Callable[[Recipe, Progress | None, Any], Latency]


class Solver(Protocol):
    """What finds a proposal for another budget: see :class:`explorer.search.searcher.Searcher`."""

    def at(self, budget: float) -> Proposal: ...

    def amounts(self, recipe: Recipe) -> tuple[float, int, float]: ...

    @property
    def limits(self) -> tuple[float, float]: ...


@dataclass(frozen=True, eq=False)
class Frontier:
    """What a search found: ``proposals``, each the best for what it uses, the least first; and ``baselines``: uniform
    recipes, and what a greedy search and chance find under the same budgets."""

    objective: Objective
    proposals: tuple[Proposal, ...]
    baselines: tuple[Proposal, ...]
    solver: Solver
    meters: Meters | None = None

    @property
    def unit(self) -> str:
        return UNITS[self.objective]

    @property
    def limits(self) -> tuple[float, float]:
        """The least that any recipe uses, and what FP32 everywhere (or the best quality) uses, in :attr:`unit`."""
        return self.solver.limits

    def at(self, budget: float) -> Proposal:
        """Return the best proposal under ``budget``, solved anew from what is known: no pass over the data.

        Raises :class:`RecipeError` where nothing is possible under it, with the least that is.
        """
        return self.solver.at(budget)

    def amounts(self, recipe: Recipe) -> tuple[float, int, float]:
        """Return the predicted milliseconds (NaN where unknown), the bytes and the bits per weight of any recipe."""
        return self.solver.amounts(recipe)

    def table(self) -> pd.DataFrame:
        """Return one row per proposal, then per baseline; ``cost`` to ``high`` are predicted, ``measured_`` and after
        are NaN until :meth:`verify`."""
        return pd.DataFrame([_row(each) for each in (*self.proposals, *self.baselines)], columns=COLUMNS)

    def verify(
        self,
        k: int | None = None,
        baselines: bool = False,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
        partial: Callable[[Frontier], None] | None = None,
    ) -> Frontier:
        """Return the frontier with quality and latency measured of ``k`` proposals spread over it (default all), and of
        the baselines where asked. Latencies of emulated recipes are left out.

        ``partial`` gets the frontier after each. Once ``cancel`` is set, it returns with what was measured until then.
        """
        if self.meters is None:
            raise ExplorerError("verify a frontier", "nothing measures here", "a frontier that s.search() returned")
        frontier, meters = self, self.meters
        places = [("proposals", place) for place in spread(len(self.proposals), k)]
        places += [("baselines", place) for place in range(len(self.baselines)) if baselines]
        for done, (name, place) in enumerate(places):
            if progress is not None:
                progress(done, len(places), "measuring proposals")
            before: tuple[Proposal, ...] = getattr(frontier, name)
            try:
                after = _measure(before[place], meters, cancel)
            except Cancelled:
                return frontier
            changed = (*before[:place], after, *before[place + 1 :])
            frontier = (
                replace(frontier, proposals=changed) if name == "proposals" else replace(frontier, baselines=changed)
            )
            if partial is not None:
                partial(frontier)
        return frontier


def spread(count: int, k: int | None) -> Sequence[int]:
    """Return ``k`` of ``count`` places, evenly, both ends among them; all where that is not fewer."""
    if k is None or k >= count:
        return range(count)
    return sorted({round(step * (count - 1) / max(k - 1, 1)) for step in range(k)})


def _measure(proposal: Proposal, meters: Meters, cancel: Any) -> Proposal:
    if cancel is not None and cancel.is_set():
        raise Cancelled("verify a frontier")
    if proposal.quality is not None and (proposal.emulated or proposal.latency is not None):
        return proposal
    quality = meters.quality(proposal.recipe, None, cancel)
    latency = None if proposal.emulated else meters.latency(proposal.recipe, None, cancel)
    return replace(proposal, quality=quality, latency=latency)


def _row(proposal: Proposal) -> tuple[object, ...]:
    price, quality, latency = proposal.price, proposal.quality, proposal.latency
    return (
        proposal.kind,
        proposal.words,
        proposal.latency_ms,
        proposal.memory_bytes,
        proposal.bits,
        price.cost,
        price.low,
        price.high,
        proposal.measured_cost,
        math.nan if quality is None else quality.score,
        0 if quality is None else quality.n,
        math.nan if latency is None else latency.candidate_ms,
        math.nan if latency is None else latency.speedup,
        proposal.emulated,
        proposal.recipe.hash,
    )
