"""The format lab's experiments: what they say for known settings, that the latest win, and that errors show."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import numpy as np
import pytest

from explorer.arithmetic import compare_promotion
from widgets.lab_panels import CastFlow, DelayedScale, LongSum, Promotion, SoftmaxOverflow, panels
from widgets.panels.cast_flow import CHAINS, DATA, make_data
from widgets.panels.experiment import Experiment, number, percent
from widgets.panels.long_sum import TERMS, make_terms

Panel = Experiment[Any, Any]


def text(html: str) -> str:
    """HTML as a reader sees it."""
    return re.sub(r"<[^>]+>", "", html)


@pytest.fixture
def shown() -> Iterator[Callable[[Any], Any]]:
    """``shown(make)`` makes a panel, which is closed at the end."""
    made: list[Panel] = []

    def make(kind: Callable[[], Panel]) -> Panel:
        made.append(kind())
        return made[-1]

    yield make
    for panel in made:
        panel.close()


@pytest.mark.parametrize(("title", "make"), panels())
def test_a_panel_shows_its_result_as_soon_as_it_is_made(title: str, make: Any, shown: Any) -> None:
    panel = shown(make)
    assert title
    assert panel.message.value == ""
    results = [
        child.value for child in panel.children if isinstance(child, ipywidgets.HTML) and child is not panel.message
    ]
    assert results
    assert all(len(text(result)) > 20 for result in results)


@pytest.mark.parametrize(("title", "make"), panels())
def test_every_choice_of_a_panel_gives_a_result(title: str, make: Any, shown: Any) -> None:
    panel = shown(make)
    menus = [widget for widget in vars(panel).values() if isinstance(widget, ipywidgets.Dropdown)]
    assert menus
    for menu in menus:
        for label in menu._options_labels:
            if label != "1,000,000":
                menu.label = label
                assert panel.wait(20)
                assert panel.message.value == "", (title, label)


def test_a_long_sum_names_the_step_at_which_it_stalls(shown: Any) -> None:
    panel = shown(LongSum)
    words = text(panel.words.value)
    assert "BF16 stands still after 276 terms, at 32" in words
    assert "FP16 stands still after 2,207 terms, at 256" in words
    assert [trace.name for trace in panel.plot.figure.data] == ["FP32", "BF16", "FP16", "exact"]
    panel.method.label = "and with Kahan's correction"
    assert panel.wait(20)
    assert len(panel.plot.figure.data) == 7
    assert "FP16 with Kahan ends at 1,000; exact is 1,000. It is off by nothing" in text(panel.words.value)


def test_a_sum_that_breaks_says_how(shown: Any) -> None:
    panel = shown(LongSum)
    panel.terms.label, panel.count.label = "at random from 0 to 1", "1,000,000"
    panel.method.label = "and with Kahan's correction"
    assert panel.wait(30)
    words = text(panel.words.value)
    assert re.search(r"FP16 with Kahan passes its largest value, 65,504, after 13\d,\d{3} terms", words)
    assert "all is NaN" in words


def test_terms_that_vanish_are_named(shown: Any) -> None:
    panel = shown(LongSum)
    panel.formats.buttons["fp8_e4m3"].value = True
    panel.terms.label = "always 0.0001"
    assert panel.wait(20)
    assert "FP8-E4M3 cannot hold the terms" in text(panel.words.value)


def test_the_chart_of_errors_has_only_what_a_logarithmic_axis_shows(shown: Any) -> None:
    panel = shown(LongSum)
    panel.shown.label = "how far off it is"
    assert panel.wait(20)
    assert [trace.name for trace in panel.plot.figure.data] == ["FP32", "BF16", "FP16"]
    for trace in panel.plot.figure.data:
        assert (np.asarray(trace.y) > 0).all()
        assert (np.diff(trace.x) > 0).all()


def test_no_format_is_a_message_and_not_a_failure(shown: Any) -> None:
    panel = shown(LongSum)
    for button in panel.formats.buttons.values():
        button.value = False
    assert panel.wait(20)
    assert "no format is chosen" in panel.message.value
    panel.formats.buttons["bf16"].value = True
    assert panel.wait(20)
    assert panel.message.value == ""
    assert [trace.name for trace in panel.plot.figure.data] == ["BF16", "exact"]


@pytest.mark.parametrize("kind", TERMS.values())
def test_terms_are_the_same_every_time(kind: str) -> None:
    assert np.array_equal(make_terms(kind, 50), make_terms(kind, 50))
    assert make_terms(kind, 50).shape == (50,)


def test_softmax_says_where_inf_and_nan_are_born(shown: Any) -> None:
    panel = shown(SoftmaxOverflow)
    words = text(panel.words.value)
    assert (
        "Inf in e = exp(x) (exp(12) is 162,755, and the format ends at 65,504) and NaN in e / sum (Inf / Inf)" in words
    )
    assert text(panel.tables.value).count("born here") == 2
    panel.scale.value = 11.0
    assert panel.wait(20)
    assert "Inf in sum of e" in text(panel.words.value)
    assert "no NaN tells" in text(panel.words.value)
    panel.format.value = "bf16"
    assert panel.wait(20)
    assert "nothing overflows at this scale" in text(panel.words.value)
    assert "born here" not in panel.tables.value


def test_log_sum_exp_is_shown_step_by_step(shown: Any) -> None:
    panel = shown(SoftmaxOverflow)
    panel.what.value = "log-sum-exp"
    assert panel.wait(20)
    assert "max + log(sum)" in text(panel.tables.value)


def test_casts_count_every_value_once(shown: Any) -> None:
    panel = shown(CastFlow)
    for chain in CHAINS:
        panel.preset.value = chain
        assert panel.wait(20)
        assert panel.chain.value == chain
        for counts in re.findall(r"aria-label='([^']+)'", panel.flow.value):
            parts = [int(part.replace(",", "")) for part in re.findall(r"(\d[\d,]*) (?!became subnormal)", counts)]
            assert sum(parts) == 20_000, counts


def test_casts_tell_what_came_back(shown: Any) -> None:
    panel = shown(CastFlow)
    panel.chain.value = "bf16 → fp32, BF16"
    assert panel.wait(20)
    assert "20,000 of 20,000 values (100 %) are what went in" in text(panel.words.value)
    panel.data.label = next(label for label in DATA if label.startswith("spread"))
    panel.chain.value = "fp32 fp16"
    panel.saturate.value = False
    assert panel.wait(20)
    assert "became Inf" in text(panel.flow.value)


@pytest.mark.parametrize("data", DATA.values())
def test_data_are_the_same_every_time(data: str) -> None:
    assert (make_data(data) == make_data(data)).all()


@pytest.mark.parametrize(
    ("chain", "said"),
    [("fp32", "two or more"), ("fp32 fp99", "no format has this name"), ("fp32 int8", "needs a scale"),
     ("fp32 " * 13, "too long to show"), ("<b>fp32</b> bf16", "&lt;b&gt;fp32")],
)  # fmt: skip
def test_a_chain_that_is_none_is_a_message(chain: str, said: str, shown: Any) -> None:
    panel = shown(CastFlow)
    panel.chain.value = chain
    assert panel.wait(20)
    assert said in panel.message.value
    panel.chain.value = "fp32 bf16"
    assert panel.wait(20)
    assert panel.message.value == ""


def test_delayed_scaling_saturates_at_the_jump_and_remembers_it(shown: Any) -> None:
    panel = shown(DelayedScale)
    amax, holds, crosses, delayed, own = panel.plot.figure.data
    jump = panel.at.value
    assert np.argmax(amax.y) == jump
    assert jump in crosses.x
    assert amax.y[jump] > 10 * holds.y[jump]
    assert np.argmin(delayed.y) == jump
    assert own.y[jump] > 30 > 10 > delayed.y[jump]
    raised = [step for step in range(len(holds.y)) if holds.y[step] > 10 * holds.y[jump]]
    assert raised == list(range(jump + 1, jump + 1 + panel.window.value))
    words = text(panel.words.value)
    assert f"At step {jump}" in words
    assert f"The window remembers: for {panel.window.value} steps" in words


def test_a_margin_as_wide_as_the_jump_saves_it(shown: Any) -> None:
    panel = shown(DelayedScale)
    panel.times.value, panel.margin.value = 64, 8
    assert panel.wait(20)
    assert "nothing saturates" in text(panel.words.value)
    panel.times.value, panel.margin.value = 1, 0
    assert panel.wait(20)
    assert "scaled as those before" in text(panel.words.value)


def test_promotion_marks_every_difference_in_both_tables(shown: Any) -> None:
    panel = shown(Promotion)
    panel.dtypes.label = "all"
    assert panel.wait(20)
    differ = int(compare_promotion()["differ"].sum())
    assert panel.tables.value.count("px-differ") == 2 * differ
    assert f"{differ} of 340 pairs differ" in text(panel.tables.value)
    panel.right.value = True
    assert panel.wait(20)
    assert "the tensor with dimensions decides" in text(panel.tables.value)


def test_a_failure_of_any_step_is_shown_and_the_panel_lives_on(shown: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Breaking(Experiment[str, str]):
        def __init__(self) -> None:
            self.where = ipywidgets.Dropdown(options=["nowhere", "settings", "compute", "show"])
            super().__init__("breaks", {"where": self.where}, [])

        def settings(self) -> str:
            return self._at("settings", self.where.value)

        def compute(self, settings: str) -> str:
            return self._at("compute", settings)

        def show(self, result: str) -> None:
            self._at("show", result)

        def _at(self, place: str, where: str) -> str:
            if where == place:
                raise ZeroDivisionError(f"<broken in {place}>")
            return where

    panel = shown(Breaking)
    for place in ("settings", "compute", "show"):
        panel.where.value = place
        assert panel.wait(20)
        assert f"&lt;broken in {place}&gt;" in panel.message.value
        assert "px-computing" not in panel._dom_classes
        panel.where.value = "nowhere"
        assert panel.wait(20)
        assert panel.message.value == ""
    assert len(caplog.records) == 3


def test_the_latest_settings_win(shown: Any) -> None:
    gate = threading.Event()

    class Slow(Experiment[str, str]):
        def __init__(self) -> None:
            self.what = ipywidgets.Dropdown(options=["first", "slow", "last"])
            self.results: list[str] = []
            super().__init__("is slow", {"what": self.what}, [])

        def settings(self) -> str:
            return str(self.what.value)

        def compute(self, settings: str) -> str:
            assert settings != "slow" or gate.wait(10)
            return settings

        def show(self, result: str) -> None:
            self.results.append(result)

    panel = shown(Slow)
    panel.what.value = "slow"
    assert "px-computing" in panel._dom_classes
    panel.what.value = "last"
    gate.set()
    assert panel.wait(20)
    assert panel.results == ["first", "last"]
    assert "px-computing" not in panel._dom_classes


def test_the_text_above_a_panel_cannot_be_written_by_the_browser(shown: Any) -> None:
    about = shown(Promotion).children[0]
    before = about.about
    about.set_state({"about": "<script>alert(1)</script>"})
    assert about.about == before


@pytest.mark.parametrize(
    ("value", "said"),
    [(float("nan"), "NaN"), (float("-inf"), "\N{MINUS SIGN}Inf"), (0.0, "0"), (65504.0, "65,504"),
     (-0.25, "\N{MINUS SIGN}0.25"),
     (1.5e-9, "1.5×10<sup>\N{MINUS SIGN}9</sup>"), (162754.79, "162,755"), (3.4e38, "3.4×10<sup>38</sup>")],
)  # fmt: skip
def test_numbers_in_words(value: float, said: str) -> None:
    assert number(value) == said
    assert percent(0.0) == "nothing"
    assert percent(-0.99744) == "99.74 %"
