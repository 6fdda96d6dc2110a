"""What the chosen format of an op can hold of the tensor that it judges: from where to where, and what is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from explorer.formats import BlockSpec, Scheme, Spec, find_format
from explorer.kernels import CARRIERS, StaticScale
from explorer.ranges import Histogram, TensorRange, forecast, scale_from_histogram
from explorer.ranges.grids import make_grid

MANY_SCALES = {
    "token": "one scale per token",
    "channel": "one scale per channel",
    "group": "one scale per group",
    "square": "one scale per square",
    "block": "one scale per block",
}


@dataclass(frozen=True)
class JudgedTensor:
    """A tensor on its way into a format. ``value`` names it; ``port`` is ``"input"`` or ``"output"`` of the op.

    ``carrier``: the form that the op takes or gives; ``fixed``: its static scale; ``row``: the elements of a token.
    """

    op: str
    value: str
    port: str
    carrier: str
    fixed: StaticScale | None = None
    row: int = 1


@dataclass(frozen=True)
class Band:
    """From which magnitude to which a format holds a tensor (log2; infinite where there is no end), and the forecast.

    Where many scales are found from the data, the ends are those under the scale of the largest magnitude,
    whose step is the widest. saturated, flushed: shares of all elements. sqnr_db: inf when nothing is lost, -inf when
    something overflows to Inf. words: the format and its scale. scale, zero_point: those of the ends.
    """

    low: float
    high: float
    saturated: float
    flushed: float
    sqnr_db: float
    words: str
    scale: float = 1.0
    zero_point: float = 0.0


def judged_tensors(session: Any, recipe: Any, range_set: Any) -> Iterator[JudgedTensor]:
    """The tensors to judge the recipe by, op after op, as far as their ranges are known.

    A product (linear, convolution, matmul) is judged by the activation that it multiplies, for that is what it is given
    in the format; every other op by its output. A product that gives FP16, by its output too, which may overflow.
    """
    plan = session.plan_of(recipe)
    for step in plan.steps:
        yield from tensors_of(plan, step, range_set)


def tensors_of(plan: Any, step: Any, range_set: Any) -> Iterator[JudgedTensor]:
    """Those of one op of a plan, by its step."""
    if step.kernel is None:
        return
    given = is_product(step) and next((name for name in step.site.operands if name in range_set.values), None)
    if given:
        carrier = step.takes.get(given, "fp32")
        fixed = plan.scales.get(given) if CARRIERS[carrier].static else None
        shape = plan.shapes.get(given, ())
        yield JudgedTensor(step.op.id, given, "input", carrier, fixed, shape[-1] if shape else 1)
    if step.op.name in range_set.values and (not given or step.gives == "fp16"):
        yield JudgedTensor(step.op.id, step.op.name, "output", step.gives or "fp32")


def is_product(step: Any) -> bool:
    """Whether an op multiplies what a scheme would quantise; attention's own products stay inside its kernel."""
    return step.op.role == "compute" and step.op.kind != "attention" and bool(step.site.operands)


def judge(tensor: JudgedTensor, range_set: Any) -> Band:
    """The band of a tensor, and the forecast of what its format does to it."""
    carrier = CARRIERS[tensor.carrier]
    kind = carrier.scheme or find_format(carrier.format)
    return find_band(range_set.values[tensor.value], kind, tensor.fixed, tensor.row)


def find_band(seen: TensorRange, kind: Scheme | Spec, fixed: StaticScale | None = None, row: int = 1) -> Band:
    """The band of a tensor under a scheme or as a plain cast. ``row``: how many elements share a scale where no format
    or group says so, of a token or a channel; ``fixed``: the scale, where it was found beforehand."""
    if not isinstance(kind, Scheme) or not kind.scaled:
        return _plain_band(seen, kind.spec if isinstance(kind, Scheme) else kind)
    if fixed is not None:
        scale, zero_point = fixed.scale, float(fixed.zero_point)
        found = forecast(seen, kind, scale, zero_point)
    else:
        scale, zero_point = _largest_scale(seen.histogram, kind)
        found = forecast(seen, kind, elements_per_scale=row if kind.granularity in ("token", "channel") else None)
    low, high = _ends(kind, scale, zero_point)
    return Band(low, high, found.saturated, found.flushed, found.sqnr_db, words_of(kind), scale, zero_point)


def _plain_band(seen: TensorRange, spec: Spec) -> Band:
    found = forecast(seen, spec)
    grid = make_grid(spec)  # type: ignore[arg-type]  # a plain cast is never to a block format
    low, high = _log2(float(grid.zero_range[1])), _log2(float(grid.range[1]))
    return Band(low, high, found.saturated, found.flushed, found.sqnr_db, spec.label)


def _largest_scale(histogram: Histogram, scheme: Scheme) -> tuple[float, float]:
    """The scale that the largest magnitude asks for."""
    if isinstance(scheme.spec, BlockSpec):
        return (histogram.absmax / float(scheme.element.largest) or 1.0), 0.0
    whole = replace(scheme, granularity="tensor", axis=None, group=None)
    scale, zero_point = scale_from_histogram(histogram, whole)
    return float(scale), 0.0 if zero_point is None else float(zero_point)


def _ends(scheme: Scheme, scale: float, zero_point: float) -> tuple[float, float]:
    kind = scheme.element if isinstance(scheme.spec, BlockSpec) else scheme
    grid = make_grid(kind, scale, zero_point)
    below, above = (float(end) for end in grid.range)
    flushed = min(abs(float(end)) for end in grid.zero_range)
    return _log2(flushed), _log2(max(above, -below))


def words_of(scheme: Scheme) -> str:
    """The format with where its scale comes from: "INT8, one scale per token"."""
    many = MANY_SCALES.get(scheme.granularity, "one scale, found beforehand" if not scheme.dynamic else "one scale")
    return f"{scheme.spec.label}, {many}"


def _log2(x: float) -> float:
    return math.log2(x) if 0 < x < math.inf else (-math.inf if x <= 0 else math.inf)
