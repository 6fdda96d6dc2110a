"""Searching the scale of a weight: group by group in bounded memory, never worse than the scale of min and max."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import Quantized, Scheme, fake_quantize, find_scale, quantize, scale_shape
from explorer.weights.groups import Fit, Groups
from explorer.weights.half_quadratic import NORM, fit_half_quadratic, lp_error
from explorer.weights.squared import fit_squared, squared_error

Method = Literal["nearest", "mse", "hqq"]

METHODS: Mapping[Method, str] = {
    "nearest": "scale from the smallest and largest value",
    "mse": "scale (and zero point) of least squared error",
    "hqq": "half-quadratic: zero point (where it is no float: scale) of least error in the norm p = 0.7",
}
"""How a weight's scale can be found, each rounding to nearest afterwards."""

_SEARCHES: dict[str, tuple[Callable[[Groups], Fit], Callable[[Tensor], Tensor]]] = {
    "mse": (fit_squared, squared_error),
    "hqq": (fit_half_quadratic, lp_error),
}
_CHUNK = 1 << 19  # elements searched at once: a few tensors of this size are all the memory that it takes


def quantize_weight(weight: Tensor, scheme: Scheme, method: Method = "nearest") -> Quantized:
    """``weight`` under the scheme, its scale found by ``method``: ``quantize`` with what ``search_scale`` returns."""
    if method == "nearest":
        return quantize(weight, replace(scheme, dynamic=True, calibrator="minmax"))
    scale, zero_point = search_scale(weight, scheme, method)
    return quantize(weight, replace(scheme, dynamic=False), scale, zero_point)


def search_scale(weight: Tensor, scheme: Scheme, method: Method = "mse") -> tuple[Tensor, Tensor | None]:
    """The scale of ``weight`` under the scheme, and its zero point (None when symmetric), found by search.

    weight: FP32, BF16, FP16 or FP64, any shape that the scheme fits; never modified. scheme: with a scale per group,
    channel, token or tensor, dynamic or static; the result goes with it as ``replace(scheme, dynamic=False)`` into
    ``quantize``. Shapes and dtype are those of ``find_scale``, which is also where the search starts.

    ``"mse"`` lowers each group's squared error, ``"hqq"`` its sum of |error|**0.7; a group where the search finds
    nothing better, as quantised in the end, keeps ``find_scale``'s: so also groups that are constant, zero, or hold
    NaN or Inf. Deterministic. Memory beyond the result: some tensors of half a million elements, or of one group where
    that is larger. Raises ``PrecisionError`` for an unknown method and for schemes that do not fit or take no scale.
    """
    _check(scheme, method)
    scale, zero_point = find_scale(weight, scheme)
    if method == "nearest" or weight.numel() == 0:
        return scale, zero_point
    rows = _split_rows(weight.detach(), scheme)
    per_row = replace(scheme, granularity="group" if scheme.group else "token", axis=None, dynamic=False)
    steps = scale.reshape(-1, 1).clone()
    zeros = None if zero_point is None else zero_point.reshape(-1, 1).clone()
    size = max(1, _CHUNK // rows.shape[1])
    for start in range(0, len(rows), size):
        at = slice(start, start + size)
        found, found_zero = _search_rows(rows[at], steps[at], None if zeros is None else zeros[at], per_row, method)
        steps[at] = found
        if zeros is not None and found_zero is not None:
            zeros[at] = found_zero
    shape = scale_shape(weight.shape, scheme)
    return steps.reshape(shape), None if zeros is None else zeros.reshape(shape)


@dataclass(frozen=True)
class WeightError:
    """How far a quantised weight is from the weight.

    mse: mean of error**2. sqnr_db: 20 log10(|weight| / |error|), infinite when equal. lp: mean of |error|**0.7, which
    the half-quadratic method lowers. largest: of |error|. NaN where either holds NaN; empty: no error.
    """

    mse: float
    sqnr_db: float
    lp: float
    largest: float


def weight_error(weight: Tensor, quantized: Quantized) -> WeightError:
    """The error of ``quantized`` as a copy of ``weight``; both of one shape, else ``PrecisionError``."""
    if weight.shape != quantized.codes.shape:
        found = f"shapes {list(weight.shape)} and {list(quantized.codes.shape)}"
        raise PrecisionError("the error of a quantised weight", found, "quantize_weight(weight, scheme) of this weight")
    values = weight.detach().double()
    error = quantized.dequantize().double().sub_(values).abs_()
    if not error.numel():
        return WeightError(0.0, math.inf, 0.0, 0.0)
    noise, signal = float(error.square().sum()), float(values.square().sum())
    sqnr_db = math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else -math.inf
    return WeightError(noise / error.numel(), sqnr_db, float(error.pow(NORM).mean()), float(error.max()))


def _check(scheme: Scheme, method: str) -> None:
    if method not in get_args(Method):
        raise PrecisionError(f"weight method {method!r}", "there is no such method", " or ".join(get_args(Method)))
    if not scheme.scaled or scheme.granularity not in ("tensor", "channel", "token", "group"):
        found = "a block format defines its own scales" if scheme.scaled else f"{scheme.spec.label} takes no scale"
        found = "scales of squares are not searched" if scheme.granularity == "square" else found
        raise PrecisionError(f"search the scale of {scheme}", found, "Scheme('int4', 'group', group=32)")


def _split_rows(weight: Tensor, scheme: Scheme) -> Tensor:
    """weight as [scales, elements that share one], a view where its strides allow."""
    if scheme.granularity == "tensor":
        return weight.reshape(1, -1)
    if scheme.axis is not None:
        return weight.movedim(scheme.axis, 0).reshape(weight.shape[scheme.axis], -1)
    return weight.reshape(-1, scheme.group or weight.shape[-1])


def _search_rows(
    values: Tensor, step: Tensor, zero: Tensor | None, scheme: Scheme, method: str
) -> tuple[Tensor, Tensor | None]:
    """Scales and zero points [rows, 1] of ``values`` [rows, n], those found where they are better than those given."""
    fit, measure = _SEARCHES[method]
    groups = Groups.measure(values, step, zero, scheme)
    scale, zero_point = groups.scale_of(fit(groups))

    def error(scale: Tensor, zero_point: Tensor | None) -> Tensor:
        kept = fake_quantize(values.to(step.dtype), scheme, scale, zero_point)
        return measure((kept - values) / step)

    better = (error(scale, zero_point) < error(step, zero)) & scale.isfinite()
    kept_scale = torch.where(better, scale, step)
    if zero is None or zero_point is None:
        return kept_scale, None
    return kept_scale, torch.where(better, zero_point, zero)
