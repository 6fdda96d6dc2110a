"""The format lab: every bit of every format, messages that are checked and always answered, the grid, the frame."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

import widgets
from explorer.errors import PrecisionError
from explorer.formats import FloatSpec
from explorer.formats.codes import all_values
from tests.widgets.test_js import node  # noqa: F401  (a fixture)
from widgets import lab_state
from widgets.lab_state import SCALARS, LabState
from widgets.number_text import to_float
from widgets.views.number_bits import NumberBits
from widgets.views.section import Section
from widgets.views.value_grid import ValueGrid
from widgets.views.view import STATIC, Pane

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab() -> LabState:
    return LabState(0.1, list(SCALARS))


@pytest.fixture
def ask(lab: LabState) -> Ask:
    def send(kind: str, **fields: Any) -> dict[str, Any]:
        return lab_state.answer(lab, {"id": "t-1", "type": kind, **fields})

    return send


# -- bits ------------------------------------------------------------------------------------------------------------


def _codes(bits: int) -> list[int]:
    """Every code of a narrow format; of a wide one zeros, ones, each bit alone, and a mixed one."""
    if bits <= 8:
        return list(range(1 << bits))
    return [0, (1 << bits) - 1, *(1 << bit for bit in range(bits)), 0x2AAAAAAA % (1 << bits)]


@pytest.mark.parametrize("name", SCALARS)
def test_every_bit_toggles_to_the_codes_value(name: str) -> None:
    spec = SCALARS[name]
    lab = LabState(1, [name])
    for code in _codes(spec.bits):
        for bit in {0, spec.bits // 2, spec.bits - 1}:
            assert lab_state.answer(lab, {"id": 1, "type": "take", "format": name, "code": code})["ok"]
            assert lab_state.answer(lab, {"id": 2, "type": "flip", "format": name, "bit": bit})["ok"]
            landing = lab.landings[name]
            assert landing.code == code ^ (1 << (spec.bits - 1 - bit))
            assert landing.outcome == "exact"
            value = spec.decode(landing.code)
            assert to_float(landing.value) == value or math.isnan(value)


@pytest.mark.parametrize("name", SCALARS)
def test_rows_spell_out_their_bits(name: str, lab: LabState) -> None:
    row = NumberBits(lab).rows[list(SCALARS).index(name)]
    spec = SCALARS[name]
    assert row["name"] == name
    assert len(row["bits"]) == spec.bits == sum(count for _, count in row["parts"])
    assert Fraction(row["exact"]) == Fraction(spec.decode(int(row["bits"], 2)))
    if isinstance(spec, FloatSpec):
        f = row["formula"]
        sign = -1 if f["sign"] else 1
        assert sign * 2.0 ** (f["exponent"] - f["bias"]) * float(f["significand"].rstrip("…")) == pytest.approx(
            float(Fraction(row["exact"])), rel=1e-11
        )  # 12 digits of the significand are shown


def test_a_number_without_a_code_still_has_bits_to_click(ask: Ask, lab: LabState) -> None:
    assert ask("number", text="nan")["ok"]
    row = next(row for row in NumberBits(lab).rows if row["name"] == "fp4_e2m1")
    assert (row["bits"], row["kind"], row["formula"], row["error"]) == ("", "none", {}, None)
    assert ask("flip", format="fp4_e2m1", bit=3)["ok"]
    assert lab.number == Fraction(1, 2)


def test_every_nan_keeps_its_own_bits(ask: Ask, lab: LabState) -> None:
    assert ask("take", format="fp16", code=0xFE01)["ok"]
    assert lab.landings["fp16"].code == 0xFE01
    assert lab.landings["bf16"].kind == "nan"
    assert ask("number", text="nan")["ok"]
    assert lab.landings["fp16"].code == 0x7E00


def test_integers_stand_for_multiples_of_their_scale(ask: Ask, lab: LabState) -> None:
    assert ask("scale", text="1/127")["ok"]
    row = next(row for row in NumberBits(lab).rows if row["name"] == "int8")
    assert (row["exact"], row["formula"]["integer"], row["formula"]["scale"]) == ("13/127", 13, "1/127")
    assert ask("flip", format="int8", bit=7)["ok"]
    assert lab.number == Fraction(12, 127)
    assert lab.landings["fp32"].outcome == "rounded"
    for bad in ("0", "-1", "nan", "x"):
        assert not ask("scale", text=bad)["ok"]
    assert lab.scale == Fraction(1, 127)


def test_stepping_walks_over_every_value_and_stops_at_the_end(ask: Ask, lab: LabState) -> None:
    assert ask("take", format="fp8_e5m2", code=0xFC)["ok"]
    seen = [to_float(lab.number)]
    while (reply := ask("step", format="fp8_e5m2", by=1))["ok"]:
        seen.append(to_float(lab.number))
    assert "no value above" in reply["error"]
    assert seen == [-math.inf, *SCALARS["fp8_e5m2"].values, math.inf]


# -- messages --------------------------------------------------------------------------------------------------------

BAD: list[Any] = [
    None,
    {"id": "a", "type": "eval"},
    {"type": "number", "text": "1"},
    {"id": "a", "type": "number"},
    {"id": "a", "type": "number", "text": 1},
    {"id": "a", "type": "number", "text": "1" * 121},
    {"id": "a", "type": "number", "text": "1/0"},
    {"id": "a", "type": "flip", "format": "fp16", "bit": 16},
    {"id": "a", "type": "flip", "format": "fp16", "bit": -1},
    {"id": "a", "type": "flip", "format": "fp16", "bit": True},
    {"id": "a", "type": "flip", "format": "fp16", "bit": 1.0},
    {"id": "a", "type": "flip", "format": "mxfp4", "bit": 0},
    {"id": "a", "type": "flip", "format": ["fp16"], "bit": 0},
    {"id": "a", "type": "step", "format": "fp16", "by": 2},
    {"id": "a", "type": "step", "format": "fp16", "by": 0},
    {"id": "a", "type": "take", "format": "int4", "code": 16},
    {"id": "a", "type": "rounding", "mode": "odd", "seed": 0, "saturate": True},
    {"id": "a", "type": "rounding", "mode": "nearest", "seed": -1, "saturate": True},
    {"id": "a", "type": "rounding", "mode": "nearest", "seed": 0, "saturate": 1},
    {"id": "a", "type": "formats", "names": []},
    {"id": "a", "type": "formats", "names": "fp16"},
    {"id": "a", "type": "formats", "names": ["fp16", "fp99"]},
    {"id": "a", "type": "formats", "names": [["fp16"]]},
    {"id": "a", "type": "formats", "names": ["fp16"] * 99},
]


@pytest.mark.parametrize("content", BAD, ids=str)
def test_a_bad_message_is_answered_and_changes_nothing(content: Any, lab: LabState) -> None:
    view = NumberBits(lab)
    before = (view.number, view.rows)
    reply = lab_state.answer(lab, content)
    assert reply["ok"] is False
    assert 0 < len(reply["error"]) < 400
    assert (view.number, view.rows) == before


def test_views_of_one_lab_follow_it(lab: LabState, monkeypatch: pytest.MonkeyPatch) -> None:
    bits, grid = NumberBits(lab), ValueGrid(lab)
    sent: list[Any] = []
    monkeypatch.setattr(grid, "send", lambda reply, buffers=None: sent.append(reply))
    grid._handle_custom_msg({"id": "a", "type": "formats", "names": ["int8", "fp16"]}, [])
    grid._handle_custom_msg({"id": "b", "type": "number", "text": "oops"}, [])
    assert [reply["ok"] for reply in sent] == [True, False]
    assert [row["name"] for row in bits.rows] == [row["name"] for row in grid.rows] == ["fp16", "int8"]
    bits.set_state({"rows": [], "_esm": "alert(1)"})
    assert bits.rows
    bits.close()
    lab.set_number("7")
    assert bits.number["text"] == "0.1"
    assert grid.number["text"] == "7"


def test_what_crosses_is_plain_json_whatever_the_number(lab: LabState) -> None:
    bits, grid = NumberBits(lab), ValueGrid(lab)
    for text in ("nan", "-inf", "-0", "1e400", "1e-400", "1/3"):
        lab.set_number(text)
        for payload in (bits.number, bits.rows, grid.number, grid.rows, grid.blocks):
            assert len(json.dumps(payload, allow_nan=False)) < 20_000


# -- the grid --------------------------------------------------------------------------------------------------------


def test_the_grid_places_numbers_of_any_size(lab: LabState) -> None:
    grid = ValueGrid(lab)
    for text, log2 in (("-8", 3.0), ("1e400", 400 * math.log2(10)), ("1e-400", -400 * math.log2(10))):
        lab.set_number(text)
        assert grid.number["log2"] == pytest.approx(log2, rel=1e-14)
        assert grid.number["side"] == (-1 if text[0] == "-" else 1)
    assert any("MXFP4: 32 values of FP4-E2M1 under one E8M0 scale" in words for words in grid.blocks)


def test_the_browser_draws_exactly_the_formats_values(lab: LabState, node: str) -> None:  # noqa: F811
    """The page works its ticks and codes out of a few facts: they are the engine's values, every one."""
    lanes = [lane for lane in ValueGrid(lab).rows if lane["bits"] <= 16]
    code = (
        f"import({str(STATIC / 'grid_axis.js')!r}).then((g) => console.log(JSON.stringify({json.dumps(lanes)}.map("
        "(lane) => [1, -1].map((side) => Array.from({length: g.magnitudes(lane, side)}, (_, i) =>"
        " [g.codeAt(lane, i + 1, side), side * g.sizeAt(lane, i + 1)]))))))"
    )
    run = subprocess.run([node, "-e", code], capture_output=True, text=True, timeout=60, check=True)
    for lane, sides in zip(lanes, json.loads(run.stdout), strict=True):
        spec = SCALARS[lane["name"]]
        found = dict(sides[0] + sides[1])
        assert len(found) == spec.finite_values - int(lane["zero"])
        values = all_values(lane["name"]).tolist()
        assert all(values[code] == float(value) for code, value in found.items())


# -- the frame -------------------------------------------------------------------------------------------------------


def test_the_lab_shows_its_views_and_keeps_its_sections_folded() -> None:
    page = widgets.FormatLab("1/3", formats=["fp16", "e8m0"])
    assert [row["name"] for row in page.number_bits.rows] == ["fp16", "e8m0"]
    assert page.children[:2] == (page.number_bits, page.value_grid)
    assert all(len(one.children) == 1 for one in page.sections)
    with pytest.raises(PrecisionError, match="no scalar format"):
        widgets.FormatLab(formats=["mxfp4"])


def test_a_section_makes_its_body_once_and_says_what_failed() -> None:
    made: list[Pane] = []

    def make() -> Pane:
        if not made:
            made.append(NumberBits())
            raise PrecisionError("open the section", "it broke on purpose", "once more")
        made.append(NumberBits())
        return made[-1]

    one = Section("A title", make)

    def turn(**fields: Any) -> dict[str, Any]:
        return one.head.answer({"id": 1, "type": "turn", **fields})

    assert "on purpose" in turn(open=True)["error"]
    assert one.head.opened is False
    assert turn(open=True)["ok"] and turn(open=False)["ok"] and turn(open=True)["ok"]
    assert one.children == (one.head, made[1])
    assert len(made) == 2
    assert not turn(open="yes")["ok"]
    assert one.head.opened is True
