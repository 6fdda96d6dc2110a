"""The search: what choices cost is measured once, then a front of proposals is solved for. (Effect: clock, packs.)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from explorer.errors import Cancelled
from explorer.latency import LatencyTable
from explorer.predict.price import Pricer
from explorer.progress import Progress
from explorer.recipe import build_presets
from explorer.search.additive import LatencyModel
from explorer.search.baselines import greedy, randomly
from explorer.search.call_time_store import default_call_times
from explorer.search.constraints import Options, find_ties
from explorer.search.contexts import contexts
from explorer.search.costs import CallTimes, cover
from explorer.search.flows import Flows
from explorer.search.frontier import Frontier, Meters
from explorer.search.goal import Goal, options_of
from explorer.search.peaks import find_peaks
from explorer.search.predicted import quality_of
from explorer.search.problem import Choice, Problem
from explorer.search.proposal import Proposal
from explorer.search.rivals import Rivals
from explorer.search.searcher import Searcher
from explorer.search.sizes import Sizes
from explorer.subject import Subject

POINTS = 12
"""So many budgets a front has, evenly from the least that is possible to what FP32 uses."""
MOST_PROFILED = 32
WHOLES = 5
"""For so many budgets over the front, what is found is also timed as a whole: see :mod:`explorer.search.wholes`."""
RANDOM = 3
"""So many recipes are drawn at random for each budget; the best of them is shown."""


@dataclass(frozen=True, eq=False)
class Known:
    """What a search starts from: prices of a predicted map, the session's table of call times, and what measures."""

    pricer: Pricer
    table: LatencyTable
    meters: Meters | None = None


def search(
    subject: Subject, known: Known, goal: Goal, *, progress: Progress | None = None, cancel: Any = None
) -> Frontier:
    """Return the frontier of ``goal``: one proposal where it has a limit, else one for each of :data:`POINTS` budgets.

    Beside them what a greedy search and chance find under the same budgets, and the uniform recipes. Where time is
    scarce the calls of a handful of recipes are timed first; moving the budget afterwards measures nothing. Raises
    :class:`RecipeError` where constraints contradict each other or nothing is possible under the limit, and
    :class:`Cancelled` when ``cancel`` is set.
    """
    searcher = make_searcher(subject, known, goal, progress, cancel)
    proposals: list[Proposal] = []
    budgets: list[float] = []
    asked = [goal.budget] if goal.budget is not None else spread_budgets(searcher)
    if goal.max_cost is not None:
        proposals.append(searcher.under(goal.max_cost))
        budgets.append(proposals[0].amount(goal.objective))
        asked = []
    for done, budget in enumerate(asked):
        _report(progress, cancel, done, len(asked), "solving")
        proposals.append(searcher.at(budget))
        budgets.append(budget)
    baselines = tuple(_baselines(subject, searcher, budgets))
    searcher.measuring, searcher.cancel = False, None
    rivals = None if known.meters is None else _rivals(searcher, known.meters)
    return Frontier(goal.objective, _front(proposals, goal), baselines, searcher, known.meters, rivals)


def _rivals(searcher: Searcher, meters: Meters) -> Rivals:
    """What proposals are held against once they are measured."""

    def trials() -> Iterator[Proposal]:
        for recipe, quality, latency in meters.trials():
            if searcher.allows(recipe):
                yield replace(searcher.propose(recipe, "search", "measured before"), quality=quality, latency=latency)

    return Rivals(searcher.allows, trials, meters.price)


def make_searcher(
    subject: Subject, known: Known, goal: Goal, progress: Progress | None = None, cancel: Any = None
) -> Searcher:
    """Return what solves for ``goal``, with all that its choices cost measured."""
    options = dict(options_of(subject.graph, subject.planner, known.pricer, goal))
    quality = quality_of(known.pricer, options)
    ties = find_ties(subject.graph, goal.constraints, options)
    sizes = Sizes(subject.planner, subject.kernels, subject.baseline)
    base = Problem(tuple(options), quality, quality, tied=ties)
    if goal.objective != "latency":
        return Searcher(subject, known.pricer, goal, _sized(base, sizes, subject, goal), sizes)
    inputs = subject.samples.batch(0)
    times = CallTimes(subject.baseline, subject.kernels, inputs, known.table, default_call_times())
    model = _measure_model(subject, options, times, progress, cancel)
    problem = model.problem(times, base)
    searcher = Searcher(subject, known.pricer, goal, problem, sizes, times, model, measuring=True, cancel=cancel)
    return searcher.with_wholes(WHOLES)


def _sized(base: Problem, sizes: Sizes, subject: Subject, goal: Goal) -> Problem:
    """The problem in bytes, activations at their peak among them, or in bits per weight of the products."""
    if goal.objective == "memory":
        spent = {op: {name: float(sizes.bytes_of(op, name)) for name in base.quality[op]} for op in base.ops}
        options = {op: tuple(names) for op, names in base.quality.items()}
        plans = [subject.planner.plan(recipe) for recipe in contexts(subject.graph, options, pairs=False)]
        peaks = find_peaks(subject.baseline, Flows.of(subject.graph, options, plans))
        return replace(base, spent=spent, peaks=peaks)
    share = {op: 8.0 / sizes.weights if op in sizes.elements else 0.0 for op in base.ops}
    spent = {
        op: {name: share[op] * sizes.bytes_of(op, name) if share[op] else 0.0 for name in base.quality[op]}
        for op in base.ops
    }
    return replace(base, spent=spent)


def _measure_model(
    subject: Subject, options: Options, times: CallTimes, progress: Progress | None, cancel: Any
) -> LatencyModel:
    """Plan recipes in which everything meets, and time as many as have a call that was not timed yet."""
    plans = [subject.baseline]
    for recipe in {each.hash: each for each in contexts(subject.graph, options)}.values():
        if cancel is not None and cancel.is_set():
            raise Cancelled("search for recipes")
        plans.append(subject.planner.plan(recipe))
    real = [plan for plan in plans if not plan.emulated]
    times.recall()
    times.measure(cover(times, real, MOST_PROFILED), progress, cancel)
    return LatencyModel.of(subject.planner, options, plans)


def spread_budgets(searcher: Searcher, points: int = POINTS) -> list[float]:
    """Return budgets evenly from the least that is possible to what FP32 uses."""
    low, high = searcher.limits
    return [low + (high - low) * step / (points - 1) for step in range(points)]


def _front(proposals: list[Proposal], goal: Goal) -> tuple[Proposal, ...]:
    """Proposals by what they use, without those that another one beats in both; each recipe once."""
    order = sorted(proposals, key=lambda each: (each.amount(goal.objective), each.price.cost))
    kept: list[Proposal] = []
    for proposal in order:
        if not kept or proposal.price.cost < kept[-1].price.cost:
            kept.append(proposal)
    return tuple(kept)


def _baselines(subject: Subject, searcher: Searcher, budgets: list[float]) -> Iterator[Proposal]:
    """The uniform recipes, then what greedy and chance find within each budget; each recipe once."""
    seen: set[str] = set()
    for proposal in (*_uniform(subject, searcher), *_under(searcher, budgets)):
        if proposal.recipe.hash not in seen:
            seen.add(proposal.recipe.hash)
            yield proposal


def _uniform(subject: Subject, searcher: Searcher) -> Iterator[Proposal]:
    """The presets that have a price here, and where time is scarce no emulated op."""
    for name, recipe in build_presets(subject.graph, subject.planner.option).items():
        if all(name == "fp32" or (op, name) in searcher.pricer.costs for op, name in recipe.precisions.items()):
            plan = subject.planner.plan(recipe)
            if searcher.times is None or not plan.emulated:
                searcher.used(recipe)
                yield searcher.propose(recipe, "uniform", name)


def _under(searcher: Searcher, budgets: list[float]) -> Iterator[Proposal]:
    """What greedy and chance find within each budget."""
    for budget in budgets:
        words = f"within {searcher.goal.words(budget)}"
        found = searcher.within(budget, lambda target: greedy(searcher.path, target))
        if found is not None:
            yield searcher.propose(found, "greedy", f"greedy, {words}")
        drawn = (searcher.within(budget, partial(_draw, searcher, seed)) for seed in range(RANDOM))
        proposals = [searcher.propose(each, "random", f"random, {words}") for each in drawn if each is not None]
        if proposals:
            yield min(proposals, key=lambda each: each.price.cost)


def _draw(searcher: Searcher, seed: int, target: float) -> Choice | None:
    return randomly(searcher.problem, searcher.first, target, seed)


def _report(progress: Progress | None, cancel: Any, done: int, total: int, text: str) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("search for recipes")
    if progress is not None:
        progress(done, total, text)
