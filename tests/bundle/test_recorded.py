"""A recorded exploration says what its session said, without the model, and refuses the rest in words."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

import explorer as px
from explorer.bundle.outline import graph_of, outline_of
from explorer.errors import BundleError
from tests.widgets.small import FIRST, LAST


def test_it_says_what_the_session_says(explored: Any, recorded: px.Recorded) -> None:
    assert recorded.recipe == explored.recipe
    assert [node.recipe for node in recorded.history] == [node.recipe for node in explored.history]
    pd.testing.assert_frame_equal(recorded.ops, explored.ops, check_dtype=False)
    pd.testing.assert_frame_equal(recorded.casts(), explored.casts(), check_dtype=False)
    pd.testing.assert_frame_equal(recorded.memory(), explored.memory(), check_dtype=False)
    assert (recorded.links, recorded.formats_out) == (explored.links, explored.formats_out)
    assert {op: recorded.options(op) for op in explored.ops.index} == {
        op: explored.options(op) for op in explored.ops.index
    }
    assert repr(recorded.evaluate()) == repr(explored.evaluate())
    assert recorded.price() == explored.price(explored.recipe)
    assert len(recorded.trials) == len(explored.trials)


def test_ranges_and_map_are_equal(explored: Any, recorded: px.Recorded) -> None:
    ours, theirs = recorded.range_set(), explored.range_set()
    assert ours.values == theirs.values
    assert ours.weights == theirs.weights
    pd.testing.assert_frame_equal(recorded.predicted_map().table(), explored.map_found.table())


def test_what_was_found_out_is_kept(explored: Any, recorded: px.Recorded) -> None:
    assert recorded.diagnose() == explored.diagnose()
    pd.testing.assert_frame_equal(recorded.errors(), explored.answers["errors", explored.recipe.hash])
    theirs = explored.answers["culprits", explored.recipe.hash]
    ours = recorded.culprits()
    pd.testing.assert_frame_equal(ours.table, theirs.table)
    sample = int(ours.table["sample"][0])
    assert all(one.equal(other) for one, other in zip(ours.inputs(sample), theirs.inputs(sample), strict=True))
    frontier = recorded.search()
    assert [each.recipe for each in frontier.proposals] == [each.recipe for each in explored.frontier_found.proposals]
    assert frontier.at(math.inf).price.cost == min(each.price.cost for each in frontier.proposals + frontier.baselines)
    with pytest.raises(BundleError, match="no recorded proposal"):
        frontier.at(0.0)


def test_recipes_are_switched_where_they_were_recorded(explored: Any, recorded: px.Recorded) -> None:
    recorded.reset()
    assert recorded.recipe.is_baseline
    assert recorded.evaluate().score == explored.evaluate(recorded.recipe).score
    recorded.undo()
    recorded.set([FIRST, LAST], "fp32")
    assert recorded.recipe.is_baseline
    before = recorded.recipe
    with pytest.raises(BundleError, match=r"was not recorded.*recorded recipes"):
        recorded.set(FIRST, "fp16")
    assert recorded.recipe == before
    assert recorded.find_recipe(explored.recipe.hash) == explored.recipe


def test_nothing_runs(recorded: px.Recorded) -> None:
    recorded.apply(recorded.presets()["bf16"])
    for asked in (recorded.evaluate, recorded.latency, recorded.memory, recorded.diagnose):
        with pytest.raises(BundleError, match="not recorded"):
            asked()
    with pytest.raises(BundleError, match="no model"):
        _ = recorded.subject.evaluator
    with pytest.raises(BundleError, match="no model"):
        recorded.subject.graph.ops[0].target()


def test_it_is_marked(explored: Any, recorded: px.Recorded) -> None:
    assert recorded.marked.startswith(f"recorded on {explored.device.label}, ")
    assert str(pd.Timestamp.now("UTC").year) in recorded.marked


def test_an_outline_holds_no_weights(explored: Any) -> None:
    graph = graph_of(outline_of(explored.subject.graph))
    assert all(tensor.is_meta for tensor in graph.constants.values())
    assert [op.refs for op in graph.ops] == [op.refs for op in explored.subject.graph.ops]
