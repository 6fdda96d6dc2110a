"""The frontier: proposals from a small budget to a large one, beside simpler searches, predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Protocol

import pandas as pd

from explorer.errors import Cancelled, ExplorerError, RecipeError
from explorer.latency import Latency
from explorer.measure import Quality
from explorer.predict.price import Price
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.search.goal import UNITS, Objective
from explorer.search.proposal import COLUMNS, Proposal, row_of
from explorer.search.rivals import Rivals, Trial, better_than, give_way


@dataclass(frozen=True)
class Meters:
    """What measures recipes: ``quality(recipe, progress, cancel)`` and ``latency(recipe, progress, cancel)``.

    trials: what was measured so far, on all samples. price: what is known of a recipe by now, None where nothing is.
    """

    quality: Callable[[Recipe, Progress | None, Any], Quality]
    latency: Callable[[Recipe, Progress | None, Any], Latency]
    trials: Callable[[], Iterable[Trial]] = tuple
    price: Callable[[Recipe], Price | None] = lambda recipe: None


class Solver(Protocol):
    """What finds a proposal for another budget: see :class:`explorer.search.searcher.Searcher`."""

    def at(self, budget: float) -> Proposal: ...

    def amounts(self, recipe: Recipe) -> tuple[float, int, float]: ...

    @property
    def limits(self) -> tuple[float, float]: ...


@dataclass(frozen=True, eq=False)
class Frontier:
    """What a search found: ``proposals``, each the best for what it uses, the least first; and ``baselines``: uniform
    recipes, and what a greedy search and chance find under the same budgets.

    measured: once proposals were verified, all recipes that were measured until then and that a proposal could be.
    """

    objective: Objective
    proposals: tuple[Proposal, ...]
    baselines: tuple[Proposal, ...]
    solver: Solver
    meters: Meters | None = None
    rivals: Rivals | None = None
    measured: tuple[Proposal, ...] = ()

    @property
    def unit(self) -> str:
        return UNITS[self.objective]

    @property
    def limits(self) -> tuple[float, float]:
        """The least that any recipe uses, and what FP32 everywhere (or the best quality) uses, in :attr:`unit`."""
        return self.solver.limits

    def at(self, budget: float) -> Proposal:
        """Return the best proposal under ``budget``, solved anew from what is known: no pass over the data.

        Never one that is predicted to cost more than a proposal of this front within the budget. Once proposals were
        verified, what was measured within the budget takes its place where it is better. Raises :class:`RecipeError`
        where nothing is possible under it, with the least that is.
        """
        if not isinstance(budget, Real) or math.isnan(budget):
            raise RecipeError(f"find a recipe within {budget!r}", "it is no number", f"a number of {self.unit}")
        known = (each for each in self.proposals if each.amount(self.objective) <= budget)
        found = min((self.solver.at(budget), *known), key=lambda each: each.price.cost)
        if self.rivals is None:
            return found
        return better_than(self.rivals.priced(found), self.measured, self.objective, budget)

    def amounts(self, recipe: Recipe) -> tuple[float, int, float]:
        """Return the predicted milliseconds (NaN where unknown), the bytes and the bits per weight of any recipe."""
        return self.solver.amounts(recipe)

    def table(self) -> pd.DataFrame:
        """Return one row per proposal, then per baseline; ``cost`` to ``high`` are predicted, ``measured_`` and after
        are NaN until :meth:`verify`."""
        return pd.DataFrame([row_of(each) for each in (*self.proposals, *self.baselines)], columns=COLUMNS)

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

        A proposal gives way to what was measured at a lower cost and uses no more, be it a baseline, another proposal
        or a trial of this session; its ops say so. What was measured also calibrates the bands of all proposals.

        ``partial`` gets the frontier after each. Once ``cancel`` is set, it returns with what was measured until then.
        """
        if self.meters is None:
            raise ExplorerError("verify a frontier", "nothing measures here", "a frontier that s.search() returned")
        if k is not None and k < 1:
            raise RecipeError(f"verify {k} proposals", "there is nothing to measure", "1 or more, or None for all")
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
                break
            changed = (*before[:place], after, *before[place + 1 :])
            frontier = (
                replace(frontier, proposals=changed) if name == "proposals" else replace(frontier, baselines=changed)
            )
            if partial is not None:
                partial(frontier)
        return frontier._judged()

    def _judged(self) -> Frontier:
        """The frontier with bands as all measured recipes calibrate them, proposals that were beaten replaced."""
        if self.rivals is None:
            return self
        proposals, baselines = (tuple(map(self.rivals.priced, each)) for each in (self.proposals, self.baselines))
        measured = self.rivals.among((*proposals, *baselines))
        kept = give_way(proposals, measured, self.objective)
        return replace(self, proposals=kept, baselines=baselines, measured=measured)


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
