"""The searcher: solves for one budget after another and holds each solution against its plan. (Effect: a lock.)"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from explorer.errors import RecipeError
from explorer.predict.price import Pricer
from explorer.recipe import BASELINE, Recipe
from explorer.run import Plan
from explorer.search.additive import LatencyModel
from explorer.search.baselines import Path, greedy, greedy_path
from explorer.search.contexts import with_choice
from explorer.search.costs import CallTimes
from explorer.search.dominance import undominated, without_beaten
from explorer.search.goal import Goal
from explorer.search.predicted import predicted_prices
from explorer.search.prices import Quadratic
from explorer.search.problem import Choice, Problem, meets
from explorer.search.proposal import Kind, Proposal
from explorer.search.reasons import explain
from explorer.search.sizes import Sizes
from explorer.search.solve import cheapest, least
from explorer.search.swaps import improve
from explorer.search.wholes import SUMS_STAND, Wholes, time_wholes
from explorer.subject import Subject

Find = Callable[[float], Choice | None]
MOST_SOLVED = 5
"""How often one budget is solved for, each time with what the last plan showed."""
CLOSE = 0.002
"""A plan that uses at most this fraction less than the budget is close enough to it, and a sum this near its plan."""
STARTS = 2
"""From so many choices swaps set out: the solver's, and the cheapest of the simpler ones."""


@dataclass(eq=False)
class Searcher:
    """Finds proposals for one goal. ``problem`` is the sum that is solved; it learns from the plans of its solutions.

    times: None where time is not looked at. wholes: how far their sums are off. Calls of several threads take turns.
    """

    subject: Subject
    pricer: Pricer
    goal: Goal
    problem: Problem
    sizes: Sizes
    times: CallTimes | None = None
    model: LatencyModel | None = None
    wholes: Wholes = SUMS_STAND
    measuring: bool = False
    cancel: Any = None
    _path: tuple[Problem, Path] | None = None
    _lowest: tuple[float, Choice] | None = None
    _lowest_of: Problem | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # What a recipe is worth

    def amounts(self, recipe: Recipe) -> tuple[float, int, float]:
        """Return predicted milliseconds (NaN where unknown), bytes and bits per weight of a recipe."""
        plan = self.subject.planner.plan(recipe)
        return self._latency_ms(plan), self.sizes.memory_bytes(plan), self.sizes.bits(recipe)

    def used(self, recipe: Recipe) -> float:
        """Return how much of what is scarce a recipe uses, by its real plan."""
        if self.goal.objective == "bits":
            return self.sizes.bits(recipe)
        plan = self.subject.planner.plan(recipe)
        if self.goal.objective == "memory":
            return float(self.sizes.memory_bytes(plan))
        self._learn(plan)
        return self._latency_ms(plan)

    def propose(self, recipe: Recipe, kind: Kind, words: str) -> Proposal:
        """Return ``recipe`` with its price and amounts."""
        plan = self.subject.planner.plan(recipe)
        size, bits = self.sizes.memory_bytes(plan), self.sizes.bits(recipe)
        price = self.pricer.price(recipe)
        return Proposal(recipe, price, self._latency_ms(plan), size, bits, kind, words, bool(plan.emulated))

    def allows(self, recipe: Recipe) -> bool:
        """Return whether the goal and its constraints leave a recipe to be chosen."""
        problem = self.problem
        chosen = (tuple(recipe[op] for op in ops) for ops in problem.groups)
        return all(len(set(names)) == 1 and names[0] in problem.options(index) for index, names in enumerate(chosen))

    # Solving

    @property
    def limits(self) -> tuple[float, float]:
        with self._lock:
            low, _ = self._least()
            return low, max(low, self._most_used)

    def at(self, budget: float) -> Proposal:
        """Return the best proposal under ``budget``; raise :class:`RecipeError` where nothing is possible under it."""
        with self._lock:
            choice = self._best(budget)
            if choice is None:
                (least_, _), words = self._least(), self.goal.words
                raise RecipeError(
                    f"find a recipe within {words(budget)}",
                    f"the least that is possible is {words(least_)}",
                    f"a budget of {words(least_ * 1.001)} or more, other precisions, or looser constraints",
                )
            return self._search_proposal(choice, f"within {self.goal.words(budget)}")

    def under(self, max_cost: float) -> Proposal:
        """Return the proposal that uses least at a predicted cost of at most ``max_cost``."""
        with self._lock:
            most, best, least_price = max_cost, None, math.inf
            for _ in range(MOST_SOLVED):
                solution = least(self.problem, most)
                if solution is None:
                    break
                price, used = self._quadratic.cost(solution.choice), self.used(self.recipe_of(solution.choice))
                least_price = min(least_price, price)
                if meets(price, max_cost) and (best is None or used < best[0]):
                    best = used, solution.choice
                if price == 0 or abs(math.log(max_cost / price)) < CLOSE:
                    break
                most *= max_cost / price
            if best is None:
                raise RecipeError(
                    f"find a recipe that costs at most {max_cost:g} {self.pricer.map.unit}",
                    f"the least found is {least_price:.3g}",
                    "a larger max_cost, or looser constraints",
                )
            return self._search_proposal(best[1], f"at most {max_cost:g} {self.pricer.map.unit}")

    def with_wholes(self, points: int) -> Searcher:
        """Return the searcher that knows what whole runs take: of solutions for ``points`` budgets over the front."""
        assert self.times is not None, "times are looked at"
        low, high = self.limits
        plans = {}
        for step in range(points):
            choice = self._best(low + (high - low) * step / points)
            recipe = None if choice is None else self.recipe_of(choice)
            if recipe is not None and recipe.hash != self.subject.baseline.recipe.hash:
                plans[recipe.hash] = self.subject.planner.plan(recipe)
        wholes = time_wholes(self.times, plans, self.cancel)
        return replace(self, wholes=wholes, _lowest=None, _lowest_of=None)

    def recipe_of(self, choice: Choice) -> Recipe:
        return with_choice(self.subject.baseline.recipe, choice)

    def within(self, budget: float, find: Find) -> Recipe | None:
        """Return what another way to search finds whose real plan is within ``budget``; None where it finds nothing.

        find: target -> a choice; the target is lowered until the plan fits.
        """
        with self._lock:
            target = budget
            for _ in range(MOST_SOLVED):
                choice = find(target)
                if choice is None:
                    return None
                recipe = self.recipe_of(choice)
                if meets(real := self.used(recipe), budget):
                    return recipe
                target -= real - budget
        return None

    # Private

    def _search_proposal(self, choice: Choice, words: str) -> Proposal:
        recipe = explain(self.recipe_of(choice), self.problem, choice, self.goal.words, self.pricer.map.unit)
        return self.propose(recipe, "search", words)

    def _best(self, budget: float) -> Choice | None:
        """The choice of the lowest price whose real plan is within ``budget``."""
        found = list(self._solved(budget))
        if not found:
            used, choice = self._least()
            return choice if meets(used, budget) else None
        return min(found, key=self._quadratic.cost)

    def _solved(self, budget: float) -> Iterator[Choice]:
        """Choices whose real plans are within ``budget``; the target that is solved for moves by what sums miss."""
        target = aim = self.wholes.sum_ms(budget)
        for _ in range(MOST_SOLVED):
            solution = cheapest(self.problem, target)
            choice = self._least()[1] if solution is None else self._improved(solution.choice, target)
            planned, real = self._planned(choice), self._really_used(choice)
            if meets(real, budget):
                yield choice
                if real >= budget * (1 - CLOSE) or abs(real - planned) <= CLOSE * budget:
                    return
            elif solution is None:
                return
            corrected = aim - (real - self._planned(choice))
            if abs(corrected - target) < CLOSE * budget / 10:
                if meets(real, budget):
                    return
                corrected = target - max(real - budget, CLOSE * budget)
            target = corrected

    def _planned(self, choice: Choice) -> float:
        """How much a choice uses by the sum that is solved, as a whole run where time is scarce."""
        return self.wholes.whole_ms(self.problem.spent_by(choice))

    def _improved(self, choice: Choice, target: float) -> Choice:
        """The solver's choice, or what swaps make of it or a simpler one, where that is surely cheaper.

        Options that another one beats are left out, also of the simpler ones: where one looks cheaper beside what other
        ops take, its errors cancel theirs in this sample.
        """
        quadratic, kept = self._quadratic, undominated(self.problem)
        simpler = [without_beaten(self.problem, kept, each) for each in self._simpler(target)]
        for start in [choice, *sorted(simpler, key=quadratic.cost)[: STARTS - 1]]:
            better = improve(kept, quadratic, start, target)
            if quadratic.surely_less(better, choice):
                choice = better
        return choice

    def _simpler(self, target: float) -> list[Choice]:
        """Uniform choices and the greedy one, as far as they are within a target."""
        uniform = [choice for choice, used in self._uniform if meets(used, target)]
        stepwise = greedy(self.path, target)
        return uniform if stepwise is None else [*uniform, stepwise]

    @property
    def path(self) -> Path:
        """The steps of a greedy search on the problem as it is known now."""
        if self._path is None or self._path[0] is not self.problem:
            self._path = self.problem, greedy_path(self.problem, self.first)
        return self._path[1]

    @cached_property
    def _uniform(self) -> list[tuple[Choice, float]]:
        problem = self.problem
        found: list[tuple[Choice, float]] = []
        for name in dict.fromkeys(name for names in problem.quality.values() for name in names):
            choice = dict(self.first)
            for index, ops in enumerate(problem.groups):
                if name in problem.options(index):
                    choice |= dict.fromkeys(ops, name)
            found.append((choice, problem.spent_by(choice)))
        return found

    @cached_property
    def first(self) -> Choice:
        """FP32 wherever that is allowed, elsewhere what costs least."""
        problem = self.problem
        found: dict[str, str] = {}
        for index, ops in enumerate(problem.groups):
            options = problem.options(index)
            best = min(options, key=lambda name: (name != BASELINE, sum(problem.quality[op][name] for op in ops)))
            found |= dict.fromkeys(ops, best)
        return found

    @cached_property
    def _most_used(self) -> float:
        return self.used(self.recipe_of(self.first))

    def _least(self) -> tuple[float, Choice]:
        """What uses least by its real plan, of all that was looked at; solved for again once plans showed more."""
        for _ in range(MOST_SOLVED):
            if self._lowest is not None and self._lowest_of is self.problem:
                break
            self._lowest_of = self.problem
            solution = least(self.problem)
            assert solution is not None, "without a limit every problem has a solution"
            self._really_used(solution.choice)
        assert self._lowest is not None, "solved at least once"
        return self._lowest

    def _really_used(self, choice: Choice) -> float:
        """How much a choice uses by its real plan; the least so far is kept."""
        real = self.used(self.recipe_of(choice))
        if self._lowest is None or real < self._lowest[0]:
            self._lowest = real, choice
        return real

    @cached_property
    def _quadratic(self) -> Quadratic:
        return predicted_prices(self.problem, self.pricer)

    def _learn(self, plan: Plan) -> None:
        """Take in how the calls of a plan join, and time what was never timed, where this may be measured now."""
        if self.times is None or self.model is None:
            return
        model, news = self.model.with_plan(plan), self.times.unknown(plan)
        if news and self.measuring:
            self.times.measure([plan], cancel=self.cancel)
        if model is not self.model or (news and self.measuring):
            self.model = model
            self.problem = model.problem(self.times, self.problem)

    def _latency_ms(self, plan: Plan) -> float:
        if self.times is None or plan.emulated:
            return math.nan
        return self.wholes.whole_ms(self.times.predict_us(plan) / 1e3)
