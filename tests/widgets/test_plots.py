"""The plot: what it shows, saves and answers, and that plotly is asked for as late and as seldom as possible."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from widgets.plots import make_figure
from widgets.views.plot import Plot, library

TRACES = [
    {"type": "scatter", "name": "up", "x": np.arange(3.0), "y": [1.0, float("nan"), 3.0]},
    {"type": "bar", "name": "down", "x": ["a", "b"], "y": [2, 1]},
]


@pytest.fixture
def clicks() -> list[str]:
    return []


@pytest.fixture
def plot(clicks: list[str]) -> Iterator[Plot]:
    plot = Plot("sums of 0.1 / FP16", on_click=clicks.append)
    plot.show(make_figure("x", "y", TRACES, title="two series"))
    yield plot
    plot.close()


def ask(plot: Plot, kind: str, **fields: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Delivers a message as the comm would; returns what the plot sent back, words and bytes."""
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "send", lambda words, buffers=None: sent.append((words, buffers)))
        plot._handle_custom_msg({"id": "a", "type": kind, **fields}, [])
    (reply,) = sent
    return reply


def test_a_page_that_comes_late_gets_the_figure_as_it_is_now(plot: Plot) -> None:
    drawn = json.loads(plot.get_state()["drawn"])
    assert [trace["name"] for trace in drawn["data"]] == ["up", "down"]
    assert drawn["layout"]["title"]["text"] == "two series"
    plot.show(make_figure("x", "y"))
    assert json.loads(plot.get_state()["drawn"])["data"] == []


def test_the_browser_cannot_write_the_figure(plot: Plot) -> None:
    before = plot.drawn
    plot.set_state({"drawn": "{}", "_esm": "alert(1)"})
    assert plot.drawn == before


def test_plotly_travels_when_it_is_asked_for(plot: Plot) -> None:
    words, (packed,) = ask(plot, "library")
    assert words == {"id": "a", "ok": True, "type": "library"}
    assert len(packed) < 2_500_000
    assert b"window.Plotly" in gzip.decompress(packed)
    assert library() is packed
    assert len(str(plot.get_state())) < 50_000


def test_the_page_that_is_saved_needs_no_connection(plot: Plot) -> None:
    words, (page,) = ask(plot, "html")
    assert words["ok"]
    assert b"two series" in page
    assert b"<script src" not in page
    assert b"window.Plotly" in page
    assert b'"paper_bgcolor":"#ffffff"' in page
    assert json.loads(plot.drawn)["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_the_table_is_what_the_points_say_or_what_was_given(plot: Plot) -> None:
    _, (table,) = ask(plot, "csv")
    found = pd.read_csv(BytesIO(table), index_col=0)
    assert list(found["series"]) == ["up"] * 3 + ["down"] * 2
    assert list(found["x"]) == ["0.0", "1.0", "2.0", "a", "b"]
    given = pd.DataFrame({"op": ["a"], "sqnr_db": [31.5]})
    plot.show(plot.figure, given)
    assert plot.data is given
    _, (table,) = ask(plot, "csv")
    assert pd.read_csv(BytesIO(table), index_col=0).equals(given)


def test_an_empty_plot_has_an_empty_table() -> None:
    plot = Plot("empty")
    assert list(plot.data.columns) == ["series", "x", "y"]
    assert plot.data.empty


def test_a_click_says_what_the_point_stands_for(plot: Plot, clicks: list[str]) -> None:
    assert plot.takes_clicks
    words, _ = ask(plot, "click", of="blocks.0/linear")
    assert words["ok"]
    assert clicks == ["blocks.0/linear"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"of": 7}, "of must be text"), ({"of": "a" * 1001}, "at most 1000"), ({"curve": 0, "point": 1}, "takes of")],
)
def test_a_click_on_nothing_is_refused(plot: Plot, clicks: list[str], fields: dict[str, Any], said: str) -> None:
    words, _ = ask(plot, "click", **fields)
    assert not words["ok"]
    assert said in words["error"]
    assert clicks == []


def test_a_plot_without_a_listener_takes_no_clicks() -> None:
    plot = Plot("quiet")
    assert not plot.takes_clicks
    assert "takes no clicks" in ask(plot, "click", of="a")[0]["error"]


@pytest.mark.parametrize(
    ("name", "file"), [("sums of 0.1 / FP16", "sums-of-0.1-FP16"), ("../etc/passwd", "etc-passwd"), ("//", "plot")]
)
def test_a_name_is_a_file_name(name: str, file: str) -> None:
    assert Plot(name).name == file


def test_plotly_is_not_imported_before_a_figure_is_made() -> None:
    script = "import sys, widgets.lab_panels as lab; lab.panels(); assert 'plotly' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
