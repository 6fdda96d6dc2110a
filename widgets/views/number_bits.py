"""One number through any format, bit by bit: its code, what the code means, its neighbours, and what was lost."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import traitlets

from explorer.formats import IntSpec
from widgets.lab_state import SCALARS
from widgets.number_text import Exact, to_float, write_exactly, write_number
from widgets.one_number import MODES, Landing
from widgets.views.lab_view import LabView
from widgets.views.view import script, style

Row = dict[str, Any]
SHORT = 27
"""Significant digits of a value on show: FP32's 0.1 has just as many."""


class NumberBits(LabView):
    """A number, how it is rounded, and one row of bits for each format; every bit is a button."""

    _esm = script("shared", "numbers", "lane", "tip", "terms", "bits_words", "bits_row", "number_bits")
    _css = style("bits")

    catalogue = traitlets.List(traitlets.List()).tag(sync=True)

    def update(self, topics: frozenset[str]) -> None:
        lab = self.lab
        self.catalogue = [[name, spec.label] for name, spec in SCALARS.items()]
        self.number = {
            "text": lab.text,
            "exact": write_number(lab.number, 60),
            "mode": lab.rounding.mode,
            "modes": list(MODES),
            "seed": lab.rounding.seed,
            "saturate": lab.rounding.saturate,
            "scale": write_exactly(lab.scale),
        }
        self.rows = [row(name, landing, lab.unit(name)) for name, landing in lab.landings.items()]


def row(name: str, landing: Landing, unit: Fraction) -> Row:
    """One format's row; numbers of integer formats are multiplied by ``unit``, the scale."""
    spec, code = landing.spec, landing.code
    return {
        "name": name,
        "label": spec.label,
        "bits": "" if code is None else format(code, f"0{spec.bits}b"),
        "parts": parts(landing),
        "hex": "" if code is None else f"0x{code:0{-(-spec.bits // 4)}X}",
        "value": _shown(landing.value, unit),
        "exact": write_exactly(_times(landing.value, unit)),
        "kind": landing.kind,
        "outcome": landing.outcome,
        "words": words(landing, unit),
        "formula": formula(landing, unit),
        "below": _shown(landing.below, unit, 12),
        "above": _shown(landing.above, unit, 12),
        "error": _error(landing, unit),
    }


def parts(landing: Landing) -> list[list[Any]]:
    """What the bits are, from the left: [part, how many]."""
    spec = landing.spec
    if isinstance(spec, IntSpec):
        return [["sign", 1], ["integer", spec.bits - 1]] if spec.signed else [["integer", spec.bits]]
    counts = [["sign", int(spec.signed)], ["exponent", spec.exponent_bits], ["mantissa", spec.mantissa_bits]]
    return [part for part in counts if part[1]]


def formula(landing: Landing, unit: Fraction) -> Row:
    """The numbers of (-1)^s x 2^(e - bias) x 1.m, or of an integer times its scale; empty without a finite value."""
    spec, fields = landing.spec, landing.fields
    if fields is None or fields.kind in ("inf", "nan"):
        return {}
    if isinstance(spec, IntSpec):
        weight = 1 << (spec.bits - 1)
        return {"sign": fields.sign, "weight": weight, "integer": fields.mantissa, "scale": write_exactly(unit)}
    low = fields.exponent == 0 and spec.has_zero
    significand = Fraction(fields.mantissa, 1 << spec.mantissa_bits) + (0 if low else 1)
    return {
        "sign": fields.sign if spec.signed else None,
        "exponent": 1 if low else fields.exponent,
        "bias": spec.bias,
        "significand": write_number(significand, 12),
        "subnormal": low,
    }


def words(landing: Landing, unit: Fraction) -> str:
    """What the error alone does not say about the number's way into the format; empty where it says all."""
    smallest = _shown(Fraction(landing.spec.smallest_positive), unit, 6)
    told = {
        "exact": "",
        "rounded": "",
        "saturated": f"saturated: {_limit_words(landing, unit)}",
        "overflowed": f"overflowed: beyond the last value it becomes {'NaN' if landing.kind == 'nan' else 'Inf'}",
        "flushed": f"flushed to zero: the smallest value above zero is {smallest}",
        "none": f"{landing.spec.label} has no code for {_missing(landing)}",
    }[landing.outcome]
    chance = landing.chance_up
    drawn = "" if chance is None else f"rounded up in {float(100 * chance):.3g} % of draws, else down"
    return "; ".join(filter(None, (told, drawn)))


def _limit_words(landing: Landing, unit: Fraction) -> str:
    below = to_float(landing.number) < 0
    if below and not landing.spec.signed:
        return "the format has no negative values"
    limit = landing.spec.smallest if below else landing.spec.largest
    last = _shown(Fraction(limit), unit, 6).replace("-", "\u2212")
    return f"beyond {last}, the last value on this side"


def _missing(landing: Landing) -> str:
    """What a format lacks that the number needed."""
    number = to_float(landing.number)
    return "NaN" if math.isnan(number) else "zero: it becomes NaN" if number == 0 else "a minus: it becomes NaN"


def _error(landing: Landing, unit: Fraction) -> Row | None:
    """What was lost: value minus number as text, relative to the number, and in steps of the format there."""
    error, ulp = landing.error, landing.ulp
    if error is None or ulp is None or landing.code is None:
        return None
    number = Fraction(landing.number)
    relative = _float_or_none(abs(error / number)) if number else None
    return {"text": _shown(error, unit, 3).rstrip("…"), "relative": relative, "ulps": _float_or_none(abs(error / ulp))}


def _float_or_none(x: Fraction) -> float | None:
    """None beyond FP64: JSON has no Inf."""
    near = to_float(x)
    return near if math.isfinite(near) else None


def _times(x: Exact, unit: Fraction) -> Exact:
    return x if isinstance(x, float) else x * unit


def _shown(x: Exact | None, unit: Fraction, digits: int = SHORT) -> str:
    return "" if x is None else write_number(_times(x, unit), digits)
