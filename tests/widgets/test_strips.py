"""Range strips: bytes on one axis that are true to the histograms, bands that are true to the formats."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from explorer.formats import Scheme
from explorer.kernels import StaticScale
from explorer.ranges import Histogram, TensorRange, forecast
from tests.widgets.conftest import Ask, until
from tests.widgets.fake import FakeSession
from tests.widgets.fake_analyses import WIDE
from widgets import messages, payloads, strips
from widgets.bands import JudgedTensor, judge, judged_tensors
from widgets.sharing import state_of
from widgets.state import PageState

QKV, NORM = "blocks.0.attn.qkv/linear", "blocks.0.norm2/layer_norm"


def histogram(*values: float) -> Histogram:
    return Histogram.of(torch.tensor(values))


def test_the_axis_ends_with_the_largest_octave_and_leaves_out_the_rarest_small_ones() -> None:
    one = histogram(*[1.0] * 20_000, 2.0**-20)
    assert strips.find_axis([one, histogram(-6.0)]) == strips.Axis(0, 3, 2)
    wide = strips.find_axis([histogram(2.0**-30, 1.0, 2.0**20)])
    assert (wide.low, wide.octaves, wide.per_octave) == (20 - strips.MOST_OCTAVES + 1, strips.MOST_OCTAVES, 1)
    assert strips.find_axis([histogram(0.0)]).octaves > 0


def test_one_tensor_that_nears_inf_leaves_the_others_their_room() -> None:
    usual = [histogram(2.0**-6, 1.0, 2.0**at) for at in range(9)]
    axis = strips.find_axis([*usual, histogram(1.0, 3e38)])
    assert axis == strips.find_axis(usual)
    found = strips.columns(histogram(1.0, 3e38, 2e38), axis)
    assert found[-1] == 255 and np.flatnonzero(found).tolist() == [12, axis.columns - 1]


def test_columns_hold_every_element_and_none_else() -> None:
    axis = strips.Axis(-2, 4, 2)
    found = strips.columns(histogram(1.0, 1.4, -1.5, 3.9, 2.0**-9, 0.0), axis)
    # Half octaves from 2**-2: what is below the axis counts in the first, 1 and 1.4 in the fifth, 1.5 in the sixth.
    assert np.flatnonzero(found).tolist() == [0, 4, 5, 7]
    assert found[4] == 255
    assert found[5] == round(255 * math.sqrt(1 / 2))
    assert not strips.columns(histogram(0.0, math.nan), axis).any()


def test_a_count_of_one_in_a_million_still_shows() -> None:
    many = torch.full((1_000_000,), 1.0)
    found = strips.columns(Histogram.of(torch.cat([many, torch.tensor([7.0])])), strips.Axis(0, 3, 2))
    assert found[-1] == 1


def band(values: torch.Tensor, carrier: str, **more: Any) -> Any:
    held = SimpleNamespace(values={"x": TensorRange(Histogram.of(values))})
    return judge(JudgedTensor("op", "x", "input", carrier, **more), held)


def test_bands_are_those_of_the_formats() -> None:
    x = torch.linspace(-3, 3, 4001)
    fp16 = band(x, "fp16")
    # FP16 rounds to Inf from 65520 on, and to zero below half its smallest subnormal.
    assert (2**fp16.high, fp16.low) == (pytest.approx(65520), -25)
    token = band(x, "int8:token", row=16)
    assert 2**token.high == pytest.approx(127.5 / 127 * 3)
    assert 2**token.low == pytest.approx(0.5 / 127 * 3)
    assert token.sqnr_db == forecast(Histogram.of(x), Scheme("int8", "token"), elements_per_scale=16).sqnr_db
    static = band(x, "uint8:static", fixed=StaticScale(0.01, 128))
    assert 2**static.high == pytest.approx(1.285)
    assert static.saturated == pytest.approx(float(((x < -1.285) | (x > 1.275)).float().mean()), abs=0.02)
    assert band(x, "fp32").sqnr_db == math.inf
    assert "one scale per token" in token.words


def test_products_are_judged_by_their_input_and_others_by_their_output(state: PageState, session: FakeSession) -> None:
    found = {one.op: one for one in judged_tensors(session, session.recipe, state.range_set)}
    before = session.ids[session.ids.index(QKV) - 1]
    assert (found[QKV].port, found[QKV].value) == ("input", before)
    assert (found[NORM].port, found[NORM].value) == ("output", NORM)
    assert found["blocks.0.attn/attention"].port == "output"


def test_a_product_that_gives_fp16_is_judged_by_its_output_too(ask: Ask, state: PageState) -> None:
    ask("set", ops=[WIDE], precision="fp16")
    assert state.wait(10)
    found = strips.bands(state)["ops"][state.session.ids.index(WIDE)]
    assert found[2] == 0
    assert found[6] == pytest.approx(2 / 512, rel=1e-3)


def test_strips_cross_small_and_strict(ask: Ask, state: PageState) -> None:
    ask("preset", name="int8-dynamic")
    assert state.wait(10)
    about, heights = strips.strips(state)
    shown = strips.bands(state)
    json.dumps([about, shown], allow_nan=False)
    assert about["state"] == "ready"
    assert len(heights) == len(state.session.ids) * about["columns"]
    assert about["columns"] <= 2 * strips.FINE_OCTAVES
    assert all(one is not None for one in shown["ops"])
    at = state.session.ids.index(QKV)
    low, high, saturated, flushed, sqnr, words, output = shown["ops"][at]
    assert shown["words"][words] == "INT8, one scale per token"
    assert low < high and saturated == 0 and flushed > 0 and sqnr > 20 and output is None


def test_the_band_follows_the_recipe_and_the_data_stay(ask: Ask, state: PageState) -> None:
    before = strips.strips(state)
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    at = state.session.ids.index(QKV)
    assert strips.bands(state)["ops"][at][4] != "exact"
    ask("undo")
    assert strips.bands(state)["ops"][at][4] == "exact"
    assert strips.strips(state) == before


def test_ranges_come_first_at_opening_and_a_click_meanwhile_is_measured_before_them(session: FakeSession) -> None:
    state = state_of(session)
    session.gate.clear()
    messages.answer(state, {"id": 0, "type": "hello"})
    until(lambda: session.calls == ["range_set"])
    assert messages.answer(state, {"id": 1, "type": "set", "ops": [QKV], "precision": "int8"})["ok"]
    session.gate.set()
    assert state.wait(10)
    assert session.calls == ["range_set", "evaluate", "latency", "range_set", "range_set", "map", "map"]
    assert strips.strips(state)[0]["state"] == "ready"


def test_ranges_that_fail_are_told_and_stop_nothing(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError("too large to look at")

    monkeypatch.setattr(session, "range_set", refuse)
    state = state_of(session)
    messages.answer(state, {"id": 0, "type": "hello"})
    assert state.wait(10)
    assert strips.strips(state) == ({"state": "failed", "error": "too large to look at"}, b"")
    assert not state.missing
    assert payloads.delta(state)["latency"]["kind"] == "measured"


def test_a_forecast_that_fails_is_told_and_stops_nothing(
    ask: Ask, state: PageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ValueError("no such grid")

    monkeypatch.setattr("widgets.analysing.judge", refuse)
    ask("set", ops=[QKV], precision="int8")
    assert state.wait(10)
    assert state.message == f"{QKV} has no forecast: no such grid"
    assert not state.missing
    assert strips.bands(state)["ops"][state.session.ids.index(QKV)] is None
