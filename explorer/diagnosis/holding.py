"""The tensors at an op as its precision holds them, and which of them its error comes from. (Effect: runs one op.)"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from explorer.compare import PairError
from explorer.diagnosis.evidence import Held, Sides, Weights
from explorer.diagnosis.limits import limit
from explorer.formats import Scheme, quantize, round_to
from explorer.graph import ModelGraph
from explorer.kernels import CARRIERS, Product, StaticScale, as_float, bind
from explorer.kernels.stored import store_int4, store_int8
from explorer.observe import RangeSet, ports
from explorer.precision import PRECISIONS, Precision
from explorer.ranges import forecast
from explorer.ranges.calibrators import scale_from_histogram
from explorer.run import Plan, Step

ROWS = 1024
"""Rows of a weight that are stored in several ways to compare them: enough for a mean error."""
RIVALS = ("minmax", "mse")
"""Calibrators to compare the one in use with: all of the range, and the least squared error."""
Outside = Mapping[str, Mapping[str, float]]
WAYS = ("w4_g128", "w4", "w4_mse", "w4_hqq", "w8", "bf16")
"""Ways to store a weight, the fewest bits first."""


def hold(plan: Plan, op: str, precision: Precision, ranges: RangeSet, outside: Outside) -> tuple[Held, ...]:
    """Return the floating tensors at an op in the forms that ``plan`` gives them: output, inputs, weights.

    outside: by value, the share of the elements beyond its static scale's ends, by slice of the data.
    """
    step = plan.step_of[op]
    found = []
    for port, name in ports(plan.graph, op).items():
        known = ranges.weights.get(name) if name in plan.graph.constants else ranges.values.get(name)
        if known is None:
            continue
        scheme, fixed = _form(plan, step, port, name, precision)
        scale, zero_point = (None, None) if fixed is None else (fixed.scale, float(fixed.zero_point))
        expected = forecast(known, scheme, scale, zero_point, _per_scale(plan, name, scheme))
        source = _source(plan.graph, name)
        found.append(Held(port, source, known, scheme, expected, outside.get(name, {}) if fixed else {}))
    return tuple(found)


def _form(plan: Plan, step: Step, port: str, name: str, precision: Precision) -> tuple[Scheme, StaticScale | None]:
    """How the op holds a tensor, and its static scale where it has one."""
    if port.startswith("input:") and name in step.takes:
        carrier = CARRIERS[step.takes[name]]
        return carrier.scheme or Scheme(carrier.format), plan.scales[name] if carrier.static else None
    product = step.site.product
    if product is not None and precision.weight is not None and _is_weight(step, name, product):
        return precision.weight, None
    return Scheme(CARRIERS[step.gives].format if step.gives else "fp32"), None


def _per_scale(plan: Plan, name: str, scheme: Scheme) -> int | None:
    """How many elements of a tensor share a scale, where a forecast asks for it."""
    shape = plan.shapes.get(name) or tuple(plan.graph.constants[name].shape)
    return {"token": shape[-1] if shape else 1, "channel": math.prod(shape[1:])}.get(scheme.granularity)


def _is_weight(step: Step, name: str, product: Product) -> bool:
    """Whether a constant of the op is the weight of its product, which may be a transposed view of it."""
    return name in step.site.constants and step.site.constants[name].data_ptr() == product.weight.data_ptr()


def _source(graph: ModelGraph, name: str) -> str:
    """The op that makes a value, looking through views; the name of an input or of a weight."""
    while name in graph.producer:
        op = graph.producer[name]
        flowing = [ref for ref in op.refs if ref not in graph.constants]
        if op.role != "view" or not flowing:
            return op.id
        name = flowing[0]
    return graph.parameters.get(name, name)


@torch.no_grad()
def find_sides(plan: Plan, op: str, precision: Precision, inputs: tuple[Any, ...], ranges: RangeSet) -> Sides:
    """Return where the error of a product comes from, on the ``inputs`` of one batch, in FP32."""
    step = plan.step_of[op]
    exact, product = bind(step.site, torch.float32), step.site.product
    wanted, named = exact(*inputs), list(zip(step.site.inputs, inputs, strict=True))

    def under(scales: Mapping[str, StaticScale]) -> float:
        return PairError.of(wanted, exact(*(_rounded(step, name, x, scales) for name, x in named))).sqnr_db

    static = [name for name, carrier in step.takes.items() if CARRIERS[carrier].static]
    rivals = {way: under(_found_by(way, static, ranges)) for way in RIVALS} if static else {}
    if product is None:
        return Sides(under(plan.scales), math.inf, rivals)
    other = bind(replace(step.site, constants=_with_stored_weight(step, product, precision)), torch.float32)
    return Sides(under(plan.scales), PairError.of(wanted, other(*inputs)).sqnr_db, rivals)


def _found_by(calibrator: str, values: list[str], ranges: RangeSet) -> dict[str, StaticScale]:
    """The static scales that a calibrator finds in all the data."""
    carrier = CARRIERS["uint8:static"].scheme
    assert carrier is not None
    scheme = replace(carrier, calibrator=calibrator)  # type: ignore[arg-type]  # the scheme checks it
    found = {name: scale_from_histogram(ranges.values[name].histogram, scheme) for name in values}
    return {
        name: StaticScale(float(scale), 0 if zero_point is None else round(float(zero_point)))
        for name, (scale, zero_point) in found.items()
    }


def _rounded(step: Step, name: str, x: Any, scales: Mapping[str, StaticScale]) -> Any:
    """An input as the op holds it, in FP32."""
    carrier = CARRIERS[step.takes.get(name, "fp32")]
    if carrier.name == "fp32":
        return x
    return as_float(carrier.convert(x, scales[name]) if carrier.static else carrier.convert(x))


def _with_stored_weight(step: Step, product: Product, precision: Precision) -> dict[str, Tensor]:
    """The op's constants, the weight as the precision stores it."""
    constants = dict(step.site.constants)
    for name, tensor in constants.items():
        if _is_weight(step, name, product):
            weight = store(product.weight, precision)
            constants[name] = weight if tensor.shape == weight.shape else weight.t()
    return constants


def store(weight: Tensor, precision: Precision) -> Tensor:
    """Return what a weight [out, ...] stands for once it is stored in a precision, FP32 of its shape."""
    rows = weight.reshape(weight.shape[0], -1)
    if precision.weight is None:
        return round_to(weight, precision.compute, saturate=False)
    if precision.name in PRECISIONS and precision.weight.format == "int4":
        return store_int4(rows, precision.name).values().reshape(weight.shape)
    if precision.name == "w8":
        return store_int8(weight)[0].dequantize()
    if precision.weight.granularity == "block":
        return quantize(weight, replace(precision.weight, axis=1)).dequantize()
    return quantize(rows, precision.weight).dequantize().reshape(weight.shape)


def compare_weights(step: Step, precision: Precision, able: frozenset[str]) -> Weights | None:
    """Return how the weight of a product fares in its precision, and in others where it has outliers; None without a
    weight in codes."""
    product, scheme = step.site.product, precision.weight
    if product is None or scheme is None or not scheme.scaled or scheme.granularity not in ("channel", "group"):
        return None
    weight = product.weight[:ROWS].float()
    group = scheme.group or weight[0].numel()
    spread = _spread(weight.reshape(-1, group))
    outlying = spread >= limit("group_ratio") * _normal_spread(group)
    others = WAYS if outlying else ()  # some of these search for their scales, which takes time
    ways = (precision.name, *(name for name in others if name in able and name != precision.name))
    sqnr_db = {name: PairError.of(weight, store(weight, _precision(name, precision))).sqnr_db for name in ways}
    return Weights(sqnr_db, group, spread, _normal_spread(group))


def _precision(name: str, own: Precision) -> Precision:
    return own if name == own.name else PRECISIONS[name]


def _spread(groups: Tensor) -> float:
    """The median over groups [groups, group] of the largest magnitude over the group's median magnitude."""
    sizes = groups.abs()
    typical = sizes.median(1).values
    ratio = sizes.amax(1) / torch.where(typical > 0, typical, torch.ones(()))
    return float(ratio[typical > 0].median()) if bool((typical > 0).any()) else 1.0


def _normal_spread(group: int) -> float:
    """The same of normally distributed numbers: the median of the largest of ``group``, over the median magnitude."""
    normal = NormalDist()
    return normal.inv_cdf((1 + 0.5 ** (1 / group)) / 2) / normal.inv_cdf(0.75)
