"""The values of several formats on one log2 axis, with the number and where each format takes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import traitlets

import explorer as px
from explorer.formats import BlockSpec, FloatSpec
from widgets.number_text import Exact, to_float, write_number
from widgets.one_number import Landing, finite, floor_log2
from widgets.views.lab_view import LabView
from widgets.views.view import script, style

Row = dict[str, Any]


class ValueGrid(LabView):
    """One lane per format: a tick for each value, shading where they are too many; zoom, hover, click."""

    _esm = script("shared", "numbers", "lane", "tip", "terms", "bits_words", "grid_axis", "grid_lanes", "value_grid")
    _css = style("bits", "grid")

    blocks = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def update(self, topics: frozenset[str]) -> None:
        lab = self.lab
        self.number = {"text": lab.text, **place(lab.number)}
        self.rows = [lane(name, landing, to_float(lab.unit(name))) for name, landing in lab.landings.items()]
        self.blocks = block_words(lab.formats)


def place(x: Exact) -> Row:
    """Where a number stands on the axis: its side, and log2 of its size where it has one."""
    if isinstance(x, float) and math.isnan(x):
        return {"special": "nan", "side": 0, "log2": None}
    side = int(math.copysign(1, to_float(x)))
    if isinstance(x, float) and math.isinf(x):
        return {"special": "inf", "side": side, "log2": None}
    size = abs(finite(x))
    if size == 0:
        return {"special": "zero", "side": side, "log2": None}
    exponent = floor_log2(size)
    rest = size / 2**exponent if exponent >= 0 else size * 2**-exponent
    return {"special": "", "side": side, "log2": exponent + math.log2(rest)}


def lane(name: str, landing: Landing, unit: float) -> Row:
    """The facts that a format's values follow from, and where the number lands in it."""
    spec = landing.spec
    facts: Row = {
        "name": name,
        "label": spec.label,
        "bits": spec.bits,
        "float": isinstance(spec, FloatSpec),
        "signed": spec.signed,
        "zero": not isinstance(spec, FloatSpec) or spec.has_zero,
        "unit": unit,
        "count": spec.finite_values,
        "largest": write_number(finite(spec.largest), 6).rstrip("…"),
        "landing": place(landing.value * finite(unit) if not isinstance(landing.value, float) else landing.value),
        "value": write_number(landing.value, 9),
        "code": landing.code,
        "outcome": landing.outcome,
    }
    if isinstance(spec, FloatSpec):
        facts |= {"mantissa": spec.mantissa_bits, "low": spec.min_exponent, "beyond": "Inf" if spec.has_inf else ""}
        facts["last"] = round((spec.largest / 2.0**spec.max_exponent - 1) / spec.epsilon)
        facts["high"] = spec.max_exponent
    else:
        facts |= {"mantissa": 0, "low": 0, "beyond": "", "tops": [spec.largest, -spec.smallest]}
    return facts


def block_words(shown: Sequence[str]) -> list[str]:
    """A sentence for each block format whose elements are on show."""
    blocks = [spec for spec in px.FORMATS.values() if isinstance(spec, BlockSpec) and spec.element in shown]
    return [_block_sentence(spec) for spec in blocks]


def _block_sentence(spec: BlockSpec) -> str:
    scale = px.FORMATS[spec.scale].label
    more = f", and one {px.FORMATS[spec.tensor_scale].label} scale for the tensor" if spec.tensor_scale else ""
    return f"{spec.label}: {spec.block} values of {px.FORMATS[spec.element].label} under one {scale} scale{more}"
