"""The inspector on a real small model: what it counts, what it forecasts, what it draws, and what it refuses."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import explorer as px
from explorer.formats import Scheme, find_format
from explorer.ranges import Histogram, TensorRange, forecast
from tests.widgets.conftest import until
from tests.widgets.small import ACT, FIRST, LAST, OUTLIER, SAMPLES, state_on
from widgets.charts.channels import LOST, OUTLIERS, draw_channels, find_outliers
from widgets.charts.grid_values import grid_of, reach_of
from widgets.charts.magnitudes import LEAST, draw_magnitudes
from widgets.inspection import Seen, formats_offered, judge_as, tensors_at, words_for
from widgets.inspector_words import figures_of
from widgets.state import PageState
from widgets.views import inspector
from widgets.views.inspector import Inspector, InspectorHead


@pytest.fixture
def session(small: Any) -> Any:
    small.reset()
    return small


@pytest.fixture(scope="module")
def ranges(small: Any) -> Any:
    return small.range_set()


@pytest.fixture
def state(session: Any) -> Iterator[PageState]:
    state = state_on(session)
    yield state
    state.jobs.cancel()
    assert state.wait(20)


@pytest.fixture
def head(state: PageState, ranges: Any) -> Iterator[InspectorHead]:
    state.range_set = ranges
    head = InspectorHead(state)
    yield head
    head.close()


@pytest.fixture
def look(head: InspectorHead, state: PageState) -> Callable[..., dict[str, Any]]:
    """``look(op, port=..., format=...)`` selects an op, makes choices, and gives what the browser then shows."""

    def looked(op: str, **choices: str) -> dict[str, Any]:
        state.selection = (op,)
        state.changed("selection")
        assert head.wait(20)
        for what, value in choices.items():
            reply = head.answer({"id": 1, "type": "choose", "what": what, "value": value})
            assert reply["ok"], reply
            assert head.wait(20)
        return dict(head.inspected)

    return looked


def seen(x: torch.Tensor, kind: Any = None, row: int = 1) -> Seen:
    """A tensor that a recipe leaves in FP32, or gives a format."""
    return Seen("output", "output", TensorRange(Histogram.of(x)), {}, kind or find_format("fp32"), None, row, True)


def figure(shown: dict[str, Any], term: str) -> dict[str, Any]:
    (found,) = [each for each in shown["figures"] if each["term"] == term]
    return dict(found)


# -- the view --------------------------------------------------------------------------------------------------------


def test_it_says_what_it_waits_for(state: PageState, ranges: Any) -> None:
    whole = Inspector(state)
    assert whole.head.inspected == {"state": "none"}
    state.selection = (FIRST,)
    state.changed("selection")
    assert whole.head.inspected["state"] == "pending"
    state.range_error = "the data went away"
    state.changed("ranges")
    assert whole.head.inspected["error"] == "the data went away"
    assert whole.head.body.children == ()
    state.range_set, state.range_error = ranges, ""
    state.changed("ranges")
    assert whole.head.wait(20)
    assert whole.head.inspected["state"] == "ready"
    assert [plot.name for plot in whole.head.body.children] == ["inspector-magnitudes", "inspector-channels"]
    whole.close()


def test_a_product_is_judged_by_its_input_and_anything_else_by_its_output(look: Any) -> None:
    shown = look(LAST)
    assert shown["chosen"]["port"] == "input:0"
    assert [words for _, words in shown["choices"]["port"]] == [f"input, from {ACT}", "output", "weight", "bias"]
    assert look(ACT)["chosen"]["port"] == "output"


def test_numbers_carry_their_word_and_are_those_of_the_engine(look: Any, session: Any, ranges: Any) -> None:
    shown = look(FIRST, port="output", format="int8")
    table = session.ranges().set_index(["op", "port"]).loc[(FIRST, "output")]
    assert figure(shown, "SQNR")["big"] == f"{table['int8.sqnr_db']:.1f} dB"
    assert figure(shown, "SQNR")["kind"] == figure(shown, "flushed to zero")["kind"] == "predicted"
    assert figure(shown, "flushed to zero")["big"] == f"{100 * table['int8.flushed']:.0f} %"
    largest = figure(shown, "largest magnitude")
    assert largest["kind"] == "measured"
    assert f"{SAMPLES * 40:,} elements, n = {SAMPLES}" in largest["sub"]
    assert float(largest["big"]) == pytest.approx(table["absmax"], rel=5e-3)  # three digits are written
    outliers = figure(shown, "outlier channels")
    assert outliers["big"] == "1"
    assert "of 40 channels" in outliers["sub"]


def test_what_the_recipe_assigns_is_the_default(look: Any, session: Any, state: PageState) -> None:
    assert look(LAST)["choices"]["format"][0] == ["assigned", "as assigned: FP32"]
    session.set([LAST], "int8")
    state.recipe_changed()
    shown = look(LAST)
    assert shown["choices"]["format"][0][1] == "as assigned: INT8, one scale per token"
    assert shown["facts"][0][:2] == ["precision", "int8, user"]
    assert figure(shown, "SQNR")["sub"] == "INT8, one scale per token"
    weight = look(LAST, port="weight:last.weight")
    assert figure(weight, "SQNR")["sub"] == "INT8, one scale per channel"
    assert "samples" not in figure(weight, "largest magnitude")["sub"]
    assert figure(look(LAST, port="weight:last.bias"), "SQNR")["big"] == "exact"


def test_a_static_scale_is_the_one_that_was_found_beforehand(look: Any, session: Any, state: PageState) -> None:
    session.set([LAST], "int8_static")
    state.recipe_changed()
    shown = look(LAST)
    (scale,) = [fixed for name, fixed in session.plan.scales.items() if name == "gelu"]
    assert figure(shown, "SQNR")["sub"] == "UINT8, one scale, found beforehand"
    beyond = float(figure(shown, "saturated")["sub"].removeprefix("beyond "))
    assert beyond == pytest.approx((255 - scale.zero_point) * scale.scale, rel=5e-3)


def test_a_choice_stays_from_op_to_op_where_it_can(look: Any) -> None:
    look(LAST, port="weight:last.weight", format="fp8_e4m3", order="place")
    shown = look(ACT)
    assert shown["chosen"] == {"port": "output", "format": "fp8_e4m3", "order": "place"}
    assert look(LAST)["chosen"]["port"] == "weight:last.weight"


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"what": "port", "value": "weight:other"}, "no 'weight:other'"), ({"what": "colour", "value": "red"}, "no 'red'"),
     ({"what": "format", "value": 3}, "must be text"), ({"what": "format"}, "takes value, what")],
)  # fmt: skip
def test_what_is_not_offered_is_refused(look: Any, head: InspectorHead, fields: dict[str, Any], said: str) -> None:
    before = look(ACT)
    reply = head.answer({"id": 1, "type": "choose", **fields})
    assert not reply["ok"]
    assert said in reply["error"]
    assert head.inspected == before


def test_what_was_worked_out_for_a_former_choice_is_not_shown(
    head: InspectorHead, state: PageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = threading.Event(), inspector.picture
    monkeypatch.setattr(inspector, "picture", lambda *asked: gate.wait(10) and real(*asked))
    state.selection = (ACT,)
    state.changed("selection")
    state.selection = ()
    state.changed("selection")
    gate.set()
    assert head.wait(20)
    assert head.inspected == {"state": "none"}
    assert head.body.children == ()


def test_a_failure_is_shown_in_its_place(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise px.ExplorerError("read the tensors", "they are gone", "open the model again")

    monkeypatch.setattr("widgets.views.inspector.tensors_at", broken)
    shown = look(ACT)
    assert shown["state"] == "failed"
    assert "they are gone" in shown["error"]


def test_an_op_s_own_error_is_measured_when_asked(look: Any, head: InspectorHead, state: PageState) -> None:
    state.session.set([LAST], "int8")
    state.recipe_changed()
    state.watched = True
    look(LAST)
    assert head.error["state"] == "idle"
    assert head.answer({"id": 1, "type": "error"})["ok"]
    until(lambda: head.error["state"] == "ready", 30)
    state.jobs.cancel()
    local = state.session.compare(view="local").loc[LAST]
    assert head.error["figures"][0]["big"] == f"{local['sqnr_db']:.1f} dB"
    assert head.error["figures"][0]["kind"] == ("emulated" if local["emulated"] else "measured")
    assert [plot.name for plot in head.body.children][-1] == "inspector-error"
    table = head.plots["error"].data
    assert set(table["series"]) == {"output in FP32", "error in its precision"}
    assert head.plots["error"].figure.data[0].name == "output in FP32"
    look(ACT)
    assert head.error["state"] == "idle"
    assert "inspector-error" not in [plot.name for plot in head.body.children]


def test_the_error_of_nothing_is_refused(head: InspectorHead) -> None:
    assert "no op is selected" in head.answer({"id": 1, "type": "error"})["error"]


def test_slices_lie_over_each_other(look: Any, head: InspectorHead, state: PageState, session: Any) -> None:
    labels = ["short"] * 20 + ["long"] * (SAMPLES - 20)
    state.range_set = session.range_set(slices=labels)
    look(FIRST, port="output")
    plot = head.plots["slices"]
    assert plot in head.body.children
    widest = max(("short", "long"), key=lambda label: state.range_set.slices[label]["linear"].absmax)
    assert plot.figure.data[0].name.startswith(f"{widest} (to ")
    shares = plot.data.groupby("series")["share"].sum()
    assert np.allclose(shares, 1.0)  # nothing of a normal tensor lies 40 octaves below its largest


# -- what is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", formats_offered())
def test_every_format_is_drawn_and_told(name: str) -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) * 50
    judged = judge_as(seen(x, row=64), name)
    drawn, table = draw_magnitudes(judged.seen.range.histogram, judged.held)
    assert table["elements"].sum() == x.numel()
    assert len(drawn.to_json()) < 100_000
    assert all(each["big"] for each in figures_of(judged, 4))


@pytest.mark.parametrize(
    ("name", "values"), [("fp8_e4m3", 126), ("fp8_e5m2", 123), ("fp4_e2m1", 7), ("int8", 127), ("int4", 7)]
)
def test_the_value_grid_holds_what_rounding_gives(name: str, values: int) -> None:
    kind = formats_offered()[name]
    reach = reach_of(grid_of(kind, 0.5, 0.0), 1, -40, 40)
    assert len(reach.values) == values
    assert not reach.thinned
    assert (np.diff(reach.values) > 0).all()
    kept = px.round_to(torch.tensor(reach.values / 0.5), name) if name.startswith("fp") else reach.values / 0.5
    assert np.array_equal(np.asarray(kept) * 0.5, reach.values)


def test_too_many_values_are_told_by_their_powers_of_two() -> None:
    reach = reach_of(grid_of(find_format("bf16"), 1.0, 0.0), 1, -10, 10)
    assert reach.thinned
    assert np.array_equal(reach.values, 2.0 ** np.arange(-10, 11))


def test_the_sides_of_an_asymmetric_format_differ() -> None:
    grid = grid_of(Scheme("uint8", symmetric=False), 0.1, 20.0)
    up, down = reach_of(grid, 1, -20, 20), reach_of(grid, -1, -20, 20)
    assert (len(up.values), len(down.values)) == (235, 20)
    assert 2.0**up.high == pytest.approx(23.55)
    assert 2.0**down.high == pytest.approx(2.05)


def test_what_becomes_of_a_column_is_what_becomes_of_its_elements() -> None:
    """Right to the columns that an end divides: a quarter of an octave each."""
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(3)) * 300
    judged = judge_as(seen(x), "fp8_e4m3")
    for kind in (find_format("fp8_e4m3"), Scheme("int8")):
        judged = judge_as(seen(x, kind), "assigned")
        _, table = draw_magnitudes(judged.seen.range.histogram, judged.held)
        counted = table.groupby("fate")["elements"].sum()
        said = forecast(Histogram.of(x), kind)
        for fate, share in (("saturated", said.saturated), ("flushed to zero", said.flushed)):
            ends = [2.0**judged.held.up.high, 2.0**judged.held.up.low]
            divided = sum(int(((x.abs() > end / 1.2) & (x.abs() < end * 1.2)).sum()) for end in ends)
            assert abs(counted.get(fate, 0) - share * x.numel()) <= divided
    assert counted["flushed to zero"] > 0


def test_under_many_scales_no_element_is_said_to_be_lost() -> None:
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(3))
    judged = judge_as(seen(x, Scheme("int8", granularity="token"), row=64), "assigned")
    _, table = draw_magnitudes(judged.seen.range.histogram, judged.held)
    assert set(table["fate"]) == {"held", LEAST}
    assert words_for(judged.kind) == "INT8, one scale per token"


@pytest.mark.parametrize(
    "x",
    [torch.zeros(8), torch.full((8,), math.nan), torch.tensor([math.inf, 1.0]), torch.tensor([3.0]),
     torch.tensor([1e-42, 1e38]), -torch.rand(16) - 1],
    ids=["zeros", "nan", "inf", "one", "far apart", "negative"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["fp16", "int8", "mxfp4"])
def test_strange_tensors_are_drawn_too(x: torch.Tensor, name: str) -> None:
    judged = judge_as(seen(x), name)
    drawn, table = draw_magnitudes(judged.seen.range.histogram, judged.held)
    assert drawn.to_json()
    finite = x[x.isfinite()]
    assert table["elements"].sum() == int((finite != 0).sum())
    told = {each["term"]: each for each in figures_of(judged, 1)}
    assert told["zeros"]["big"] == ("100 %" if not finite.any() and len(finite) else "0 %")
    assert ("no NaN" in told["zeros"]["sub"]) == bool(x.isfinite().all())


def test_channels_largest_first_or_in_their_order() -> None:
    sizes = np.array([1, 2, 0, 100, 0.001, 1], np.float32)
    judged = judge_as(seen(torch.tensor([100.0, 0.001])), "int8")
    _, table = draw_channels(sizes, judged.held, by_size=False)
    assert list(table["channel"]) == [0, 1, 2, 3, 4, 5]
    assert list(table["kind"][[3, 4]]) == [OUTLIERS, LOST]
    drawn, table = draw_channels(sizes, judged.held, by_size=True)
    assert list(table["absmax"]) == sorted(sizes, reverse=True)
    assert math.isfinite(min(min(trace.y) for trace in drawn.data if trace.y[0] is not None))


def test_a_channel_is_an_outlier_beside_the_median_only() -> None:
    assert list(find_outliers(np.array([1, 1, 7.9, 8], np.float32))) == [False, False, False, False]
    assert list(find_outliers(np.array([1, 1, 1, 8], np.float32))) == [False, False, False, True]
    assert not find_outliers(np.array([0, 0, 0, 8], np.float32)).any()


def test_the_outlier_of_the_model_is_found(session: Any, ranges: Any) -> None:
    (output,) = [each for each in tensors_at(session, session.recipe, ranges, FIRST) if each.port == "output"]
    assert output.range.channel_absmax is not None
    assert np.flatnonzero(find_outliers(output.range.channel_absmax)).tolist() == [OUTLIER]
