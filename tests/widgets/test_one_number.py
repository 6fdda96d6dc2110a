"""One number: read and written exactly, brought to a format with one rounding, and what happened to it in a word."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch

from explorer.errors import PrecisionError
from widgets.lab_state import SCALARS
from widgets.number_text import read_number, to_float, to_odd_float, write_exactly, write_number
from widgets.one_number import Rounding, land

# -- numbers as text ---------------------------------------------------------------------------------------------------

READ = {
    "0.1": Fraction(1, 10),
    " +1e-5 ": Fraction(1, 10**5),
    "−3.5": Fraction(-7, 2),
    ".5": Fraction(1, 2),
    "1/3": Fraction(1, 3),
    "-2.5/1e2": Fraction(-1, 40),
    "0x1.8p-3": Fraction(3, 16),
    "-0X.8P1": Fraction(-1),
    "1e400": Fraction(10**400),
    "0": Fraction(0),
}


@pytest.mark.parametrize("text", READ)
def test_numbers_are_read_exactly(text: str) -> None:
    assert read_number(text) == READ[text]
    assert isinstance(read_number(text), Fraction)


def test_specials_are_read() -> None:
    assert math.isnan(to_float(read_number("NaN")))
    assert read_number("-inf") == -math.inf
    assert read_number("∞") == math.inf
    assert math.copysign(1, to_float(read_number("-0"))) == -1
    assert math.copysign(1, to_float(read_number("-0.0e5"))) == -1


@pytest.mark.parametrize(
    "text",
    ["", " ", "abc", "1/0", "1/2/3", "1e", "0x", "--1", "1e401", "1e-401", "1e99999", "1e999999999", "7" * 121, "2**3"],
)
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(PrecisionError, match=r"^read .*Try: 0\.1"):
        read_number(text)


def test_numbers_are_written_with_their_digits_or_a_mark() -> None:
    assert write_number(Fraction(1, 3), 5) == "0.33333…"
    assert write_number(Fraction(1, 8), 5) == "0.125"
    assert write_number(Fraction(10**20), 5) == "1e20"
    assert write_exactly(Fraction(1, 3)) == "1/3"
    assert write_exactly(Fraction(0.1)) == "0.1000000000000000055511151231257827021181583404541015625"
    assert [write_exactly(x) for x in (math.nan, -math.inf, -0.0)] == ["nan", "-inf", "-0"]


@pytest.mark.parametrize("text", ["1e-320", "1/3", "-1/3", "1e400", "5e-324", "1e-400", "-1e-400", "1", "0.1"])
def test_the_odd_float_is_exact_or_odd_and_beside_the_number(text: str) -> None:
    x = read_number(text)
    y = to_odd_float(x)
    if Fraction(y) != x:
        assert int(abs(y) / math.ulp(y)) % 2 == 1
        assert Fraction(math.nextafter(y, -math.inf)) < x
        assert y == math.copysign(torch.finfo(torch.float64).max, y) or x < Fraction(math.nextafter(y, math.inf))


# -- one number through one format -------------------------------------------------------------------------------------


def test_a_decimal_is_rounded_once() -> None:
    # FP64 rounds this to the tie between two FP32 values, and the tie goes to 1; the number itself lies above the tie.
    above_tie = read_number("1.00000005960464477539062500001")
    assert to_float(above_tie) == 1 + 2**-24
    assert land(above_tie, SCALARS["fp32"], Rounding()).value == 1 + 2**-23


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("mode", ["nearest", "toward_zero", "up", "down", "stochastic"])
def test_every_number_lands_beside_itself(name: str, mode: Any) -> None:
    spec = SCALARS[name]
    for text in ("0.1", "1/3", "2.7", "1"):
        landing = land(read_number(text), spec, Rounding(mode))
        assert landing.error is not None and landing.ulp is not None
        assert abs(landing.error) < landing.ulp or landing.outcome == "saturated"
        if landing.chance_up is not None:
            assert 0 < landing.chance_up < 1


OUTCOMES = [
    ("65520", "fp16", True, "saturated", "normal"),
    ("65520", "fp16", False, "overflowed", "inf"),
    ("65519", "fp16", True, "rounded", "normal"),
    ("65504", "fp16", True, "exact", "normal"),
    ("500", "fp8_e4m3", False, "overflowed", "nan"),
    ("1e-8", "fp16", True, "flushed", "zero"),
    ("1e-7", "fp16", True, "rounded", "subnormal"),
    ("nan", "fp16", True, "exact", "nan"),
    ("nan", "int8", True, "none", "none"),
    ("nan", "fp4_e2m1", True, "none", "none"),
    ("inf", "int8", True, "saturated", "integer"),
    ("-inf", "fp16", False, "exact", "inf"),
    ("-1", "uint8", True, "saturated", "integer"),
    ("0", "e8m0", True, "none", "nan"),
    ("-3", "e8m0", True, "none", "nan"),
    ("1e400", "fp32", False, "overflowed", "inf"),
    ("1e400", "fp32", True, "saturated", "normal"),
    ("-1e-400", "fp32", True, "flushed", "zero"),
    ("-0", "fp32", True, "exact", "zero"),
]


@pytest.mark.parametrize(("text", "name", "saturate", "outcome", "kind"), OUTCOMES)
def test_what_happened_has_a_word(text: str, name: str, saturate: bool, outcome: str, kind: str) -> None:
    landing = land(read_number(text), SCALARS[name], Rounding("nearest", saturate))
    assert (landing.outcome, landing.kind) == (outcome, kind)


def test_the_chance_of_rounding_up_is_how_often_it_does() -> None:
    draws = [land(Fraction(3, 10), SCALARS["fp8_e4m3"], Rounding("stochastic", True, seed)) for seed in range(400)]
    assert {landing.chance_up for landing in draws} == {Fraction(3, 5)}
    ups = sum(landing.value > Fraction(3, 10) for landing in draws if isinstance(landing.value, Fraction))
    assert abs(ups - 240) < 4 * math.sqrt(400 * 0.24)  # four standard deviations of 400 draws
