"""The search on a small transformer: its times as a sum, its front, limits, reasons and what is measured of it."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from explorer.errors import ExplorerError, RecipeError
from explorer.search import BY_INPUT, Constraints, Frontier, Goal, Known, Meters, search
from explorer.search.search import make_searcher
from explorer.search.searcher import Searcher
from tests.search.conftest import Case


@pytest.fixture(scope="module")
def searcher(vit: Case) -> Searcher:
    return make_searcher(vit.subject, vit.known, Goal())


@pytest.fixture(scope="module")
def front(vit: Case) -> Frontier:
    return search(vit.subject, vit.known, Goal("bits"))


def test_the_sum_is_what_the_table_says_of_plans_that_were_seen(vit: Case, searcher: Searcher) -> None:
    recipes = [
        vit.recipe({}),
        vit.recipe({"kind:linear": "int8"}),
        vit.recipe({"*": "bf16"}),
        vit.recipe({"kind:linear": "w8"}),
    ]
    for recipe in recipes:
        plan = vit.subject.planner.plan(recipe)
        assert searcher.times is not None and not searcher.times.unknown(plan)
        choice = {op: recipe[op] for op in searcher.problem.ops}
        if all(choice[op] in searcher.problem.quality[op] for op in choice):
            # Both are sums of the same medians, in another order.
            assert searcher.problem.spent_by(choice) == pytest.approx(searcher.times.predict_us(plan) / 1e3, rel=1e-6)


def test_proposals_keep_to_their_budget_by_their_real_plan(searcher: Searcher) -> None:
    low, high = searcher.limits
    costs, times = [], []
    for share in (0.0, 0.3, 0.6, 1.0):
        budget = low + share * (high - low)
        proposal = searcher.at(budget)
        assert proposal.latency_ms <= budget * (1 + 1e-6)
        costs.append(proposal.price.cost)
        times.append(proposal.latency_ms)
    assert searcher.limits[0] <= min(times) * (1 + 1e-6), "what was found is within the limits"
    assert costs == sorted(costs, reverse=True)
    with pytest.raises(RecipeError, match="the least that is possible is"):
        searcher.at(low * 0.5)


def test_the_front_falls_and_no_simpler_search_beats_it(front: Frontier) -> None:
    used = [proposal.bits for proposal in front.proposals]
    costs = [proposal.price.cost for proposal in front.proposals]
    assert len(used) > 4 and used == sorted(used) and costs == sorted(costs, reverse=True)
    assert costs[-1] == 0 and used[-1] == pytest.approx(front.limits[1])
    assert {proposal.kind for proposal in front.baselines} == {"uniform", "greedy", "random"}
    for baseline in front.baselines:
        if baseline.kind == "greedy":
            # By the sum over ops the solver's choice is the best; another is taken only where interactions make it so.
            ours, theirs = front.at(baseline.bits).price, baseline.price
            assert ours.additive <= theirs.additive * (1 + 1e-6) or ours.cost <= theirs.cost * (1 + 1e-6)
    table = front.table()
    assert list(table["kind"][: len(used)]) == ["search"] * len(used) and table["measured_ms"].isna().all()


def test_what_is_found_for_a_budget_is_never_worse_than_the_front(front: Frontier) -> None:
    """A solver that a busy machine stops early may hand back what uses least."""
    hurried = replace(front, solver=SimpleNamespace(at=lambda budget: front.proposals[0]))
    for proposal in front.proposals:
        assert hurried.at(proposal.bits).price.cost == proposal.price.cost


def test_each_op_says_why(front: Frontier) -> None:
    recipe = front.at(sum(front.limits) / 2).recipe
    chosen = [op for op, choice in recipe.choices if choice.reason.startswith("search: ")]
    assert chosen and set(recipe.precisions.values()) > {"fp32"}
    for op in chosen:
        reason = recipe.reason(op)
        assert recipe[op] in reason and len(reason) < 120
    assert any("costs" in recipe.reason(op) and "saves" in recipe.reason(op) for op in chosen if recipe[op] != "fp32")


def test_a_limit_of_cost_is_met_with_the_least(vit: Case, front: Frontier) -> None:
    middle = front.proposals[len(front.proposals) // 2]
    (found,) = search(vit.subject, vit.known, Goal("bits", max_cost=middle.price.cost)).proposals
    assert found.price.cost <= middle.price.cost * (1 + 1e-6)
    assert found.bits <= middle.bits * 1.05


def test_constraints_hold_in_every_proposal(vit: Case) -> None:
    graph = vit.subject.graph
    linear = [op.id for op in graph.rows if op.kind == "linear"]
    constraints = Constraints(locked={linear[0]: "bf16"}, at_least={linear[1]: "bf16"}, tied=(tuple(linear[2:4]),))
    for proposal in search(vit.subject, vit.known, Goal("memory", constraints=constraints)).proposals:
        assert proposal.recipe[linear[0]] == "bf16" and proposal.recipe[linear[1]] in ("fp32", "bf16")
        assert proposal.recipe[linear[2]] == proposal.recipe[linear[3]]
    tied = Goal("memory", budget=2e9, constraints=Constraints(tied=BY_INPUT, locked={"*": "fp32"}))
    assert search(vit.subject, vit.known, tied).proposals[0].recipe.is_baseline


def test_memory_is_that_of_the_plan(vit: Case) -> None:
    from explorer.run import weigh

    front = search(vit.subject, vit.known, Goal("memory"))
    for proposal in (front.proposals[0], front.proposals[-1]):
        assert proposal.memory_bytes == sum(weigh(vit.subject.plan(proposal.recipe), vit.subject.kernels).values())


def test_verifying_measures_in_turn_and_keeps_what_it_has(vit: Case, front: Frontier) -> None:
    subject, seen = vit.subject, []
    stop = threading.Event()

    def quality(recipe: Any, progress: Any, cancel: Any) -> Any:
        found = subject.evaluator.evaluate(subject.plan(recipe), subject.baseline, subject.kernels)
        seen.append(recipe.hash)
        if len(seen) == 2:
            stop.set()
        return found

    meters = Meters(quality, lambda recipe, progress, cancel: SimpleNamespace())  # type: ignore[arg-type, return-value]
    parts: list[Frontier] = []
    goal = Goal("bits", precisions=("bf16", "int8"))
    unverified = search(subject, Known(vit.known.pricer, vit.known.table, meters), goal)
    verified = unverified.verify(3, cancel=stop, partial=parts.append)
    assert len(parts) == len(seen) == 2
    measured = [proposal for proposal in verified.proposals if proposal.quality is not None]
    assert [each.recipe.hash for each in measured] == seen and all(each.measured_cost >= 0 for each in measured)
    assert all(proposal.quality is None for proposal in unverified.proposals)
    again = verified.verify()
    assert len(seen) == len(set(seen)) == len(verified.proposals), "what was measured is not measured again"
    kept = [each.measured_cost for each in again.proposals]
    assert kept == sorted(kept, reverse=True), "what another one beats is left out"
    with pytest.raises(ExplorerError, match="nothing measures"):
        front.verify()
