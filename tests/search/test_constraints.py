"""Constraints: what they leave, how ops are tied, and how contradictions are told."""

from __future__ import annotations

import re

import pytest

from explorer.errors import PrecisionError, RecipeError, SelectionError
from explorer.search import BY_INPUT, Constraints, Goal, ties_by_input
from explorer.search.constraints import find_ties, restrict
from tests.search.conftest import Case

ALL = ("fp32", "bf16", "int8", "w4")


@pytest.fixture(scope="session")
def options(vit: Case) -> dict[str, tuple[str, ...]]:
    return {op.id: ALL if op.role == "compute" else ("fp32", "bf16") for op in vit.subject.graph.rows}


def first_linear(vit: Case) -> str:
    return next(op.id for op in vit.subject.graph.rows if op.kind == "linear")


def number_of(op: str) -> str:
    found = re.match(r"blocks\.(\d+)", op)
    assert found is not None
    return found.group(1)


def test_locked_allowed_and_at_least(vit: Case, options: dict[str, tuple[str, ...]]) -> None:
    op = first_linear(vit)
    locked = restrict(vit.subject.graph, options, Constraints(locked={op: "int8"}))
    assert locked[op] == ("int8",) and all(locked[other] == options[other] for other in options if other != op)
    allowed = restrict(vit.subject.graph, options, Constraints(allowed={"kind:linear": ("int8", "fp32")}))
    assert allowed[op] == ("fp32", "int8")
    # int8 holds weights and activations in 8 bits: w4 has fewer for its weights.
    floor = restrict(vit.subject.graph, options, Constraints(at_least={"role:compute": "int8"}))
    assert floor[op] == ("fp32", "bf16", "int8")
    assert restrict(vit.subject.graph, options, Constraints(at_least={op: "bf16"}))[op] == ("fp32", "bf16")


def test_contradictions_name_the_op(vit: Case, options: dict[str, tuple[str, ...]]) -> None:
    op = first_linear(vit)
    with pytest.raises(RecipeError, match=r"lock to w4.*may take fp32, bf16, int8 here"):
        restrict(vit.subject.graph, options, Constraints(at_least={op: "int8"}, locked={op: "w4"}))
    with pytest.raises(SelectionError):
        restrict(vit.subject.graph, options, Constraints(locked={"no such op": "int8"}))
    with pytest.raises(PrecisionError):
        restrict(vit.subject.graph, options, Constraints(locked={op: "int9"}))
    with pytest.raises(RecipeError, match="no way to find groups"):
        find_ties(vit.subject.graph, Constraints(tied="q and k"), options)


def test_products_that_read_one_tensor_are_tied(vit: Case, options: dict[str, tuple[str, ...]]) -> None:
    graph = vit.subject.graph
    for group in ties_by_input(graph):
        assert len({graph.by_id[op].kind for op in group}) == 1 and len(group) > 1
    given = tuple(op.id for op in graph.rows if op.kind == "linear")[:2]
    assert find_ties(graph, Constraints(tied=(given,)), options) == (given,)
    with pytest.raises(RecipeError, match="no precision in common"):
        find_ties(graph, Constraints(tied=(given,)), options | {given[0]: ("int8",), given[1]: ("fp32",)})
    assert all(len(group) > 1 for group in find_ties(graph, Constraints(tied=BY_INPUT), options))


def test_numbered_layers_are_uniform_within_or_across(vit: Case, options: dict[str, tuple[str, ...]]) -> None:
    graph = vit.subject.graph
    within = find_ties(graph, Constraints(uniform="within"), options)
    assert within and all(len({number_of(op) for op in group}) == 1 for group in within)
    across = find_ties(graph, Constraints(uniform="across"), options)
    assert all(len({op.replace(number_of(op), "", 1) for op in group}) == 1 for group in across)
    assert {len(group) for group in across} == {len(within)}


def test_a_goal_has_one_limit() -> None:
    with pytest.raises(RecipeError, match="either one"):
        Goal(budget=1.0, max_cost=0.1)
    with pytest.raises(RecipeError, match="no such objective"):
        Goal("speed")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="finite"):
        Goal(budget=float("nan"))
