"""What is left of a problem without options that another one beats, against all choices of small problems."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from explorer.search.dominance import undominated, without_beaten
from explorer.search.prices import Quadratic
from explorer.search.problem import Peak, Problem
from explorer.search.swaps import improve
from tests.search.conftest import NAMES, random_problem
from tests.search.test_solve import enumerate_choices


def loose(seed: int) -> Problem:
    """A problem in which some options are beaten: nothing is shared but by the first two ops."""
    problem = random_problem(seed)
    return replace(problem, shared=problem.shared[:3], joint=problem.joint[:1])


@pytest.mark.parametrize("seed", range(4))
def test_the_best_under_every_budget_is_still_there(seed: int) -> None:
    problem = loose(seed)
    kept = undominated(problem)
    every, left = enumerate_choices(problem), enumerate_choices(kept)
    for quality, spent in every:
        assert any(other <= quality + 1e-12 and less <= spent + 1e-12 for other, less in left)


@pytest.mark.parametrize("seed", range(4))
def test_a_choice_without_beaten_options_costs_and_uses_no_more(seed: int) -> None:
    problem, draw = loose(seed), random.Random(seed)
    kept = undominated(problem)
    assert any(kept.options(index) != problem.options(index) for index in range(len(problem.groups)))
    for _ in range(20):
        choice = {op: name for ops in problem.groups for name in [draw.choice(NAMES)] for op in ops}
        found = without_beaten(problem, kept, choice)
        assert problem.quality_of(found) <= problem.quality_of(choice) + 1e-12
        assert problem.spent_by(found) <= problem.spent_by(choice) + 1e-12
        assert all(found[ops[0]] in kept.options(index) for index, ops in enumerate(problem.groups))


def test_an_option_that_holds_less_at_any_peak_is_not_beaten() -> None:
    table = {"a": {"fp32": 0.0, "bf16": 1.0}}
    problem = Problem(("a",), table, {"a": {"fp32": 1.0, "bf16": 1.0}})
    peaks = (Peak(0.0, {"a": {"fp32": 4.0, "bf16": 2.0}}), Peak(0.0, {"a": {"fp32": 4.0, "bf16": 4.0}}))
    assert undominated(problem).options(0) == ("fp32",)
    assert undominated(replace(problem, peaks=peaks)).options(0) == ("fp32", "bf16")


def test_swaps_take_no_op_to_what_only_errors_that_cancel_make_cheaper() -> None:
    """Both ops use the same in either precision, and in BF16 their errors are each other's opposite."""
    quality = {op: {"fp32": 0.0, "bf16": 1.0, "int8": 4.0} for op in ("a", "b")}
    spent = {"a": {"fp32": 2.0, "bf16": 2.0, "int8": 1.0}, "b": {"fp32": 2.0, "bf16": 2.0, "int8": 2.0}}
    problem = Problem(("a", "b"), quality, spent)
    rows = {("a", "int8"): [2.0, 0.0], ("b", "bf16"): [-1.0, 0.0], ("b", "int8"): [0.0, 2.0], ("a", "bf16"): [0.0, 1.0]}
    prices = Quadratic.of(problem, {cell: np.array(row) for cell, row in rows.items()})
    start = {"a": "int8", "b": "fp32"}
    assert improve(problem, prices, start, 3.0)["b"] == "bf16"
    assert improve(undominated(problem), prices, start, 3.0) == start
