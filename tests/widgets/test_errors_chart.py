"""The errors chart: three errors per op as the engine measures them, what is marked, and a click that selects an op."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from explorer.compare import Birth
from tests.widgets.conftest import until
from tests.widgets.small import ACT, FIRST, LAST, state_on
from widgets.charts.errors import BROKEN, LINES, MARKS, OpErrors, draw_errors
from widgets.state import PageState
from widgets.views.errors_chart import ErrorsChart, figures_of, measure_errors

DB = math.inf


@pytest.fixture
def session(small: Any) -> Any:
    small.reset()
    return small


@pytest.fixture
def state(session: Any) -> Iterator[PageState]:
    state = state_on(session)
    yield state
    state.jobs.cancel()
    assert state.wait(20)


def found(**changes: Any) -> OpErrors:
    """Errors of five ops: one healed, one amplified, one in FP32, one exact, one broken."""
    table = pd.DataFrame(
        {
            "layer": ["blocks.0.a", "blocks.0.b", "blocks.1.a", "blocks.1.b", "head"],
            "precision": ["int8", "int8", "fp32", "bf16", "fp16"],
            "local": [20.0, 40.0, math.nan, DB, -DB],
            "isolated": [60.0, 30.0, math.nan, DB, -DB],
            "isolated_kl": [1e-6, 2e-4, math.nan, 0.0, math.nan],
            "behaviour": ["heals", "amplifies", "", "", ""],
            "cumulative": [20.0, 22.0, 25.0, 24.0, -DB],
        },
        index=pd.Index(["a0", "b0", "a1", "b1", "head"], name="op"),
    )
    born = Birth("head", "inf", 12, 3, "net.py:7", "    return self.head(x)\n", False)
    return OpErrors(**({"table": table, "born": born, "samples": 64, "total": 397, "emulated": False} | changes))


def trace(figure: Any, name: str) -> Any:
    (one,) = [each for each in figure.data if each.name == name]
    return one


def test_three_lines_with_gaps_where_nothing_is_lost() -> None:
    figure = draw_errors(found(), "sqnr")
    ops = {name: list(trace(figure, title).customdata) for name, (title, _) in LINES.items()}
    assert ops == {"local": ["a0", "b0"], "isolated": ["a0", "b0"], "cumulative": ["a0", "b0", "a1", "b1"]}
    assert list(trace(figure, LINES["cumulative"][0]).y) == [20.0, 22.0, 25.0, 24.0]


def test_what_heals_amplifies_and_breaks_is_marked() -> None:
    figure = draw_errors(found(), "sqnr")
    marked = {name: list(trace(figure, title).customdata) for name, (title, _) in MARKS.items()}
    assert marked == {"heals": ["a0"], "amplifies": ["b0"]}
    broken = trace(figure, BROKEN[0])
    assert list(broken.customdata) == ["head"]
    assert list(broken.y) == [20.0]
    assert "first NaN or Inf: head" in figure.layout.annotations[0].text
    assert figure.layout.shapes[0].x0 == 4
    calm = draw_errors(found(born=None), "sqnr")
    assert not calm.layout.annotations


def test_the_relative_error_is_the_same_in_another_unit() -> None:
    figure = draw_errors(found(), "relative")
    assert list(trace(figure, LINES["local"][0]).y) == pytest.approx([0.1, 0.01])
    assert figure.layout.yaxis.type == "log"
    assert "20.0 dB, relative error 10 %" in trace(figure, LINES["local"][0]).hovertext[0]


def test_nothing_finite_is_drawn_too() -> None:
    only = found()
    table = only.table.assign(local=math.nan, isolated=math.nan, cumulative=-DB, behaviour="")
    for unit in ("sqnr", "relative"):
        figure = draw_errors(OpErrors(table, only.born, 64, 64, True), unit)
        assert [each.name for each in figure.data] == [BROKEN[0]]


def test_the_words_name_the_worst_and_the_first_to_break() -> None:
    words = {each["term"]: each for each in figures_of(found())}
    assert words["local"]["big"] == "NaN or Inf at worst"
    assert words["local"]["sub"] == "head"
    assert words["amplifies"]["sub"] == "b0"
    assert words["first NaN or Inf"]["big"] == "head"
    assert "12 elements in 3 samples; net.py:7: return self.head(x)" in words["first NaN or Inf"]["sub"]
    assert {each["kind"] for each in words.values()} == {"measured"}
    assert {each["kind"] for each in figures_of(found(emulated=True))} == {"emulated"}


def test_it_measures_when_asked_and_a_click_selects_the_op(state: PageState, session: Any) -> None:
    chart = ErrorsChart(state)
    assert chart.head.errors["state"] == "baseline"
    session.set([FIRST, LAST], "int8")
    state.recipe_changed()
    assert chart.head.errors["state"] == "idle"
    assert chart.head.body.children == ()
    state.watched = True
    assert chart.head.answer({"id": 1, "type": "compute"})["ok"]
    until(lambda: chart.head.errors["state"] == "ready", 30)
    state.jobs.cancel()
    assert chart.head.body.children == (chart.head.plot,)
    local = trace(chart.head.plot.figure, LINES["local"][0])
    assert list(local.customdata) == [FIRST, LAST]
    reply = chart.head.plot.answer({"id": 1, "type": "click", "of": local.customdata[1]})
    assert reply["ok"]
    assert state.selection == (LAST,)
    assert "no op 'nobody'" in chart.head.plot.answer({"id": 1, "type": "click", "of": "nobody"})["error"]
    assert chart.head.answer({"id": 1, "type": "unit", "value": "relative"})["ok"]
    assert chart.head.plot.figure.layout.yaxis.type == "log"
    assert not chart.head.answer({"id": 1, "type": "unit", "value": "ulps"})["ok"]
    session.undo()
    state.recipe_changed()
    assert chart.head.errors["state"] == "baseline"
    assert chart.head.body.children == ()
    chart.close()


def test_the_table_is_the_engine_s(session: Any) -> None:
    session.set([FIRST, LAST], "int8")
    given = measure_errors(session, session.recipe, progress=None, cancel=None)
    assert list(given.table.index) == [FIRST, ACT, LAST]
    local, cumulative = session.compare(view="local"), session.compare(view="cumulative")
    assert np.allclose(given.table.loc[[FIRST, LAST], "local"], local["sqnr_db"])
    assert np.allclose(given.table["cumulative"], cumulative["sqnr_db"])
    assert math.isnan(given.table.loc[ACT, "local"])
    assert given.born is None
    assert figures_of(given)[0]["big"] == f"{local['sqnr_db'].min():.1f} dB at worst"


def test_a_failure_is_said_in_the_chart(state: PageState, session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session.set([LAST], "int8")
    state.recipe_changed()
    chart = ErrorsChart(state)
    state.watched = True
    monkeypatch.setattr(type(session), "errors", lambda *_, **__: (_ for _ in ()).throw(ValueError("no luck")))
    assert chart.head.answer({"id": 1, "type": "compute"})["ok"]
    until(lambda: chart.head.errors["state"] == "failed", 30)
    assert chart.head.errors["error"] == "no luck"
    chart.close()
