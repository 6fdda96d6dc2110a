"""The frontier: where each recipe stands and why, what is drawn of it, and a click that restores a recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.widgets.conftest import Ask
from tests.widgets.fake import FakeSession
from tests.widgets.fake_searches import FakeFrontier
from widgets.charts.front import BAND, BROKEN, FRONT, KINDS, LEAP, Mark, Scene, Spread, draw_front, table_of_front
from widgets.front_marks import read_scene
from widgets.state import PageState
from widgets.views.frontier import Frontier

QKV, FC1 = "blocks.0.attn.qkv/linear", "blocks.0.mlp.fc1/linear"


def mark(kind: str, cost: float, amount: float, **more: Any) -> Mark:
    recipe = SimpleNamespace(hash=f"{kind}{cost}{amount}")
    predicted = Mark(
        kind, recipe, Spread(cost, cost / 2, 2 * cost), Spread.at(amount), False, (f"<b>{kind}</b>", "3 int8")
    )
    return replace(predicted, **more)


def scene(*marks: Mark) -> Scene:
    return Scene(marks, "latency", "nats of KL", ((40.0, "your eager FP32"),))


def trace(figure: Any, name: str) -> Any:
    (one,) = [each for each in figure.data if each.name == name]
    return one


def test_the_front_is_a_line_over_its_band() -> None:
    figure = draw_front(scene(mark("search", 1e-3, 10.0), mark("search", 1e-5, 30.0), mark("greedy", 2e-3, 12.0)))
    line, band = trace(figure, FRONT), trace(figure, BAND)
    assert (list(line.x), list(line.y)) == ([10.0, 30.0], [1e-3, 1e-5])
    assert list(band.y) == [2e-3, 2e-5, 5e-6, 5e-4]
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.annotations[0].text == "your eager FP32"
    assert list(trace(figure, KINDS["greedy"][0]).customdata) == ["greedy0.00212.0"]


def test_hollow_is_predicted_and_filled_is_measured_with_its_intervals() -> None:
    place = {"cost": Spread.at(2e-3), "amount": Spread(11.0, 10.5, 12.0)}
    expected = Spread(1e-3, 5e-4, 2e-3), Spread.at(10.0)
    seen = replace(mark("search", 0, 0), **place, measured=True, expected=expected)
    figure = draw_front(scene(seen, mark("search", 1e-5, 30.0)))
    points = trace(figure, KINDS["search"][0])
    assert list(points.marker.symbol) == ["diamond", "diamond-open"]
    assert (list(points.error_x.array), list(points.error_x.arrayminus)) == ([1.0, None], [0.5, None])
    assert list(trace(figure, FRONT).y) == [1e-3, 1e-5], "the line stays where it was predicted"
    assert list(trace(figure, LEAP).x) == [10.0, 11.0, None]


def test_no_cost_and_broken_outputs_have_a_place_at_the_edges() -> None:
    marks = mark("now", 0.0, 40.0, measured=True), mark("trial", 1e-4, 20.0), mark("trial", math.nan, 9.0)
    figure = draw_front(scene(*marks))
    (zero,) = trace(figure, KINDS["now"][0]).y
    (broken,) = trace(figure, BROKEN).y
    assert 0 < zero < 1e-4 < broken
    assert list(trace(figure, BROKEN).customdata) == [marks[2].recipe.hash]
    assert figure.layout.annotations[1].text == "exactly 0"
    assert 10 ** figure.layout.yaxis.range[0] < zero < broken < 10 ** figure.layout.yaxis.range[1]


def test_what_is_next_to_nothing_stands_on_the_lower_edge() -> None:
    figure = draw_front(scene(mark("trial", 1e-4, 20.0), mark("search", 1e-12, 30.0)))
    assert list(trace(figure, KINDS["search"][0]).y) == [1e-9]
    assert figure.layout.annotations[1].text == "0, or below 1e-09"


@pytest.mark.parametrize("marks", [(), (mark("trial", math.inf, 9.0),), (mark("search", 1e-4, 9.0),)])
def test_little_is_drawn_too(marks: tuple[Mark, ...]) -> None:
    assert len(draw_front(scene(*marks)).data) == len(marks)


def test_the_table_says_how_each_number_is_known() -> None:
    table = table_of_front(scene(mark("greedy", 1e-3, 10.0), mark("now", 0.0, 40.0, measured=True)))
    assert list(table["known"]) == ["predicted", "measured"]
    assert list(table["latency"]) == [10.0, 40.0]
    assert list(table["kind"]) == ["greedy search", "the recipe now"]


@pytest.fixture
def chart(state: PageState) -> Iterator[Frontier]:
    made = Frontier(state)
    assert state.wait(10)
    yield made
    made.close()


def searched(state: PageState, session: FakeSession, objective: str = "latency") -> Any:
    frontier = session.search(objective)
    state.search.take(frontier)
    state.changed("frontier")
    return frontier


def kinds(chart: Frontier) -> list[str]:
    assert chart.head.scene is not None
    json.dumps(chart.head.frontier, allow_nan=False)
    return [each.kind for each in chart.head.scene.marks]


def click(chart: Frontier, kind: str, point: int) -> dict[str, Any]:
    """A click as the browser sends it: with what the figure that it drew says of the point."""
    points = trace(chart.head.plot.figure, KINDS[kind][0])
    return chart.head.plot.answer({"id": 1, "type": "click", "of": points.customdata[point]})


def test_before_a_search_what_was_measured_is_on_show(ask: Ask, state: PageState, chart: Frontier) -> None:
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    ask("set", ops=[FC1], precision="bf16")
    assert state.wait(10)
    assert sorted(kinds(chart)) == ["now", "trial", "trial", "uniform"], "FP32 is a preset; now is a trial as well"
    assert (chart.head.frontier["state"], chart.head.frontier["trials"]) == ("unsearched", 3)
    at_once = chart.head.scene
    assert at_once is not None
    assert all(each.measured for each in at_once.marks)
    assert at_once.marks[1].amount.low < at_once.marks[1].amount.value < at_once.marks[1].amount.high


def test_emulated_recipes_have_no_place_on_the_axis_of_time(ask: Ask, state: PageState, chart: Frontier) -> None:
    ask("set", ops=[QKV], precision="fp16")
    assert state.wait(10)
    assert chart.head.frontier["left_out"] == 1
    assert "trial" not in kinds(chart)


def test_proposals_and_what_verifying_them_showed(state: PageState, session: FakeSession, chart: Frontier) -> None:
    frontier = searched(state, session)
    assert kinds(chart).count("search") == 6
    assert (chart.head.frontier["state"], chart.head.frontier["verified"]) == ("ready", 1), "FP32 was measured before"
    state.search.take(frontier.verify())
    state.changed("frontier")
    assert chart.head.frontier["verified"] == 6
    assert chart.head.scene is not None
    last = next(each for each in reversed(chart.head.scene.marks) if each.kind == "search")
    assert last.expected is not None
    assert last.cost.value == pytest.approx(1.1 * last.expected[0].value)
    assert any("band" in sentence for sentence in last.words)
    assert any("measured on 397 samples" in sentence for sentence in last.words)


def test_the_slider_moves_a_ring_and_nothing_is_redrawn_for_the_same(state: PageState, session: FakeSession) -> None:
    chart = Frontier(state)
    frontier = searched(state, session)
    state.search.proposal = frontier.proposals[2]
    state.changed("search")
    assert "goal" in kinds(chart)
    figure = chart.head.plot.figure
    state.changed("search", "measured")
    assert chart.head.plot.figure is figure
    state.search.proposal = frontier.proposals[3]
    state.changed("search")
    assert chart.head.plot.figure is not figure
    chart.close()


def test_a_click_restores_a_proposal_and_undo_brings_the_former_back(
    ask: Ask, state: PageState, session: FakeSession, chart: Frontier
) -> None:
    frontier = searched(state, session)
    was = session.recipe
    assert click(chart, "search", 3)["ok"]
    assert session.recipe == frontier.proposals[3].recipe
    assert session.node.words.startswith("proposal of the search: ")
    assert state.wait(10)
    assert state.quality is not None, "it is measured like any other recipe"
    ask("undo")
    assert session.recipe == was
    reply = chart.head.plot.answer({"id": 1, "type": "click", "of": "nobody"})
    assert reply["error"] == "no recipe 'nobody' is on show any more; click on a point that is"
    assert session.recipe == was


def test_a_click_restores_a_trial_from_the_store(session: FakeSession, state: PageState) -> None:
    tried = session.set([QKV], "int8")
    session.evaluate(tried)
    session.latency(tried)
    session.undo()
    state.recipe_changed()
    chart = Frontier(state)
    assert state.wait(10)
    assert click(chart, "trial", 0)["ok"]
    assert session.recipe == tried
    chart.close()


def test_other_axes_come_with_the_search(state: PageState, session: FakeSession, chart: Frontier) -> None:
    searched(state, session, "memory")
    assert chart.head.axis == "memory"
    assert chart.head.plot.figure.layout.xaxis.title.text == "bytes of weights, scales and activations"
    assert chart.head.answer({"id": 1, "type": "axis", "value": "bits"})["ok"]
    assert chart.head.frontier["axis"] == "bits"
    assert "axis must be one of" in chart.head.answer({"id": 1, "type": "axis", "value": "luck"})["error"]


def test_trials_are_reckoned_once_for_the_other_axes(
    ask: Ask, state: PageState, session: FakeSession, chart: Frontier, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("set", ops=[QKV], precision="w4")
    assert state.wait(10)
    reckoned: list[str] = []

    def amounts(_: Any, recipe: Any) -> tuple[float, float, float]:
        reckoned.append(recipe.hash)
        return math.nan, 5e6, 12.0

    monkeypatch.setattr(FakeFrontier, "amounts", amounts, raising=False)
    searched(state, session)
    assert not reckoned, "nothing on the axis of time needs it"
    assert chart.head.answer({"id": 1, "type": "axis", "value": "memory"})["ok"]
    assert chart.head.scene is not None
    places = {each.kind: each.amount.value for each in chart.head.scene.marks}
    assert places["now"] == places["trial"] == 5e6, "an emulated recipe has its place here"
    state.changed("measured", "search")
    assert len(reckoned) == len(set(reckoned))
    state.search.frontier = None
    state.changed("frontier")
    assert chart.head.axis == "latency"


def test_a_squared_error_has_its_place_and_a_trial_from_before_it_was_kept_has_none(
    state: PageState, session: FakeSession
) -> None:
    searched(state, session)
    state.predicted_map = replace(session.predicted_map(), unit="squared error")
    state.quality = replace(state.quality, kl=math.nan, squared_error=3e-3)
    found = read_scene(state, "latency")
    assert found.unit == "squared error per sample"
    now = next(each for each in found.marks if each.kind == "now")
    assert (now.measured, now.cost.value) == (True, 3e-3)
    assert any(
        sentence.startswith("squared error 0.003 (95 % 0.0024 to 0.0037), measured on 397") for sentence in now.words
    )
    state.quality = replace(state.quality, squared_error=math.nan)
    assert not any(each.measured for each in read_scene(state, "latency").marks if each.kind == "now")


def test_a_measured_cost_has_its_interval(state: PageState, session: FakeSession) -> None:
    state.quality = replace(state.quality, kl=1e-4)
    (now,) = [each for each in read_scene(state, "latency").marks if each.kind == "now"]
    assert (now.cost.low, now.cost.high) == pytest.approx((0.8e-4, 1.25e-4))
    assert any("(95 % 8e-05 to 0.00013)" in sentence for sentence in now.words)


def test_without_a_model_it_waits() -> None:
    chart = Frontier(PageState())
    assert chart.head.frontier == {"state": "none"}
    assert chart.head.body.children == ()
    chart.close()
