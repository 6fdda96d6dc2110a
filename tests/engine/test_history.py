"""The tree of recipes: laws of undo, redo and jumps on random walks, and each change in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer as px
from explorer.errors import RecipeError
from explorer.recipe import Calibrated, History, Recipe, describe_change

OPS = ("fc1/linear", "act/relu", "fc2/linear", "head/linear")
START = Recipe.baseline("mlp", "0123", OPS)
PRECISIONS = ("fp32", "bf16", "int8", "w8", "w4")

pushes = st.tuples(st.just("push"), st.sampled_from(OPS), st.sampled_from(PRECISIONS))
jumps = st.tuples(st.just("go_to"), st.integers(0, 1000))
steps = st.lists(st.one_of(pushes, jumps, st.just(("undo",)), st.just(("redo",))), max_size=30)


def walk(history: History, step: tuple[object, ...]) -> History:
    match step:
        case ("push", str(op), str(precision)):
            return history.push(history.current.with_precision([op], precision, "user"))
        case ("go_to", int(number)):
            return history.go_to(number % len(history.nodes))
        case ("undo",):
            return history.undo()
    return history.redo()


def walked(choices: list[tuple[object, ...]]) -> History:
    history = History.of(START)
    for step in choices:
        history = walk(history, step)
    return history


def child(history: History, node: int) -> int | None:
    """On which child of a node one was last, or below which."""
    return history.onward[node]


@given(steps)
def test_nothing_is_ever_lost_and_parents_come_first(choices: list[tuple[object, ...]]) -> None:
    history = History.of(START)
    for step in choices:
        after = walk(history, step)
        assert after.nodes[: len(history.nodes)] == history.nodes
        assert len(after.nodes) <= len(history.nodes) + 1
        history = after
    assert [node.id for node in history.nodes] == list(range(len(history.nodes)))
    assert history.nodes[0].parent is None
    assert all(node.parent is not None and node.parent < node.id for node in history.nodes[1:])
    assert all(history.nodes[node.parent or 0].recipe != node.recipe for node in history.nodes[1:])


@given(steps, st.sampled_from(OPS), st.sampled_from(PRECISIONS))
def test_undo_takes_back_a_choice_and_redo_brings_it_again(
    choices: list[tuple[object, ...]], op: str, precision: str
) -> None:
    before = walked(choices)
    after = walk(before, ("push", op, precision))
    if after is before:
        return
    assert after.node.parent == before.at
    assert after.undo().at == before.at
    assert after.undo().redo() == after
    assert walk(after.undo(), ("push", op, precision)) == after, "the same choice again is no second branch"


@given(steps)
def test_all_the_way_up_and_down_again(choices: list[tuple[object, ...]]) -> None:
    history = top = walked(choices)
    depth = 0
    while top.can_undo:
        top, depth = top.undo(), depth + 1
    assert top.at == 0 and top.undo() == top
    for _ in range(depth):
        assert top.can_redo
        top = top.redo()
    assert top == history


@given(steps, st.integers(0, 1000), st.integers(0, 1000))
def test_a_jump_reaches_any_node_and_redo_leads_to_where_one_was_last(
    choices: list[tuple[object, ...]], there: int, above: int
) -> None:
    history = walked(choices)
    there, above = there % len(history.nodes), above % len(history.nodes)
    jumped = history.go_to(there)
    assert jumped.current == history.nodes[there].recipe
    path = [there]
    while (parent := history.nodes[path[-1]].parent) is not None:
        path.append(parent)
    again = jumped.go_to(above)
    for _ in range(path.index(above) if above in path else 0):
        again = again.redo()
    assert again.at == (there if above in path else above)


@pytest.mark.parametrize("node", [-1, 1, True, "0", None, 1.0])
def test_a_node_that_is_not_there_is_refused(node: object) -> None:
    with pytest.raises(RecipeError, match=r"nodes are 0 to 0.*session\.history"):
        History.of(START).go_to(node)  # type: ignore[arg-type]  # what a browser may send


def test_scales_under_which_a_recipe_was_stored_are_no_choice() -> None:
    history = History.of(START).push(START.with_precision(OPS[:1], "int8_static", "user"))
    assert history.push(replace(history.current, calibration=Calibrated("ab", "mse", 3))) == history
    assert history.push(replace(history.current, notes="for the demo")) != history


def changed(**precisions: str) -> Recipe:
    recipe = START
    for name, precision in precisions.items():
        recipe = recipe.with_precision([op for op in OPS if op.startswith(name)], precision, "user")
    return recipe


def test_a_change_is_told_in_a_few_words() -> None:
    mixed = changed(fc="int8", act="bf16", head="w8")
    assert describe_change(START, changed(fc1="int8")) == "fc1/linear to int8"
    assert describe_change(START, changed(fc="int8")) == "2 ops to int8"
    assert describe_change(START, mixed) == "2 ops to int8, 1 op to bf16, 1 op to w8"
    assert describe_change(mixed, START) == "back to fp32"
    assert describe_change(START, changed(fc1="int8", fc2="w4", act="bf16", head="w8")).endswith(", ...")
    preset = START.with_precision(OPS[::2], "w8", "preset: w8")
    assert describe_change(mixed, preset) == "preset w8"
    assert describe_change(preset, preset.with_precision(OPS[:1], "fp32", "user")) == "fc1/linear to fp32"
    found = START.with_precision(OPS[:1], "w8", "search: saves 3 us").with_precision(OPS[1:2], "bf16", "search: free")
    assert describe_change(START, found) == "1 op to w8, 1 op to bf16 (search)"
    assert describe_change(found, found.with_precision(OPS[:1], "fp32", "fewer casts")) == (
        "fc1/linear to fp32 (fewer casts)"
    )
    assert "other reasons" in describe_change(found, found.with_precision(OPS[:1], "w8", "user"))


def test_a_session_goes_anywhere_in_its_history(session: px.Session) -> None:
    session.set("head/linear", "int8")
    first = session.node
    session.undo()
    other = session.apply(session.presets()["bf16"], "as the paper has it")
    assert [(node.parent, node.words) for node in session.history] == [
        (None, "the start"), (0, "head/linear to int8"), (0, "as the paper has it"),
    ]  # fmt: skip
    assert session.go_to(first.id) == first.recipe == session.recipe
    assert (session.can_undo, session.can_redo) == (True, False)
    assert session.go_to(2) == other
    with pytest.raises(RecipeError, match="nodes are 0 to 2"):
        session.go_to(3)
    assert session.recipe == other


def test_what_was_measured_comes_back_with_its_recipe(open_vit: Callable[..., px.Session]) -> None:
    session = open_vit()
    recipe = session.set("head/linear", "int8")
    quality = session.evaluate()
    session.evaluate(n=20)
    latency = session.latency(seconds=0.1)
    session.latency(seconds=0.1, against="fp32")
    session.evaluate(session.presets()["fp32"])
    one, other = session.comparable_trials()
    assert (one.hash, one.recipe, one.quality) == (recipe.hash, recipe, quality)
    assert one.latency is not None
    assert one.latency.speedup == latency.speedup
    assert other.recipe.is_baseline
    assert other.latency is None
    again = open_vit()
    assert again.apply(again.comparable_trials()[0].recipe) == recipe
