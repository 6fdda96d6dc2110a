"""Rounding of a tensor to the values of a format: to nearest, in a direction or at random, with a gradient if asked."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats.blocks import round_blocks
from explorer.formats.catalog import find_format
from explorer.formats.directed import Rounding, round_by_ordinals
from explorer.formats.spec import BlockSpec, Spec
from explorer.formats.steps import check_float, common_largest, common_smallest, round_elements, rounds_quickly

Seed = int | torch.Generator


def round_to(
    x: Tensor,
    format: str | Spec,
    saturate: bool = True,
    rounding: Rounding = "nearest",
    seed: Seed | None = None,
    straight_through: bool = False,
) -> Tensor:
    """``x`` rounded to values of the format.

    x: any shape, strides and device, FP32, BF16, FP16 or FP64; never modified. The result has its shape and dtype, its
    strides too where x is dense and the rounding is not stochastic. FP64 is rounded once, not through FP32.

    rounding: ``nearest``, ties to even; ``toward_zero``; ``up``, toward +Inf; ``down``; or ``stochastic``: one of the
    two neighbours, the one farther from zero with a probability of x's distance from the other in steps, exact to
    2**(mantissa bits - 52) (integers: 2**(bits - 52)), among subnormals too.
    seed: for stochastic rounding and only there. An int gives the same result each time, whatever the strides of x, on
    one kind of device; a ``torch.Generator`` on x's device goes on drawing.

    Edge cases: NaN stays NaN; the sign of zero stays, for signed integers too (unsigned: +0); subnormals are exact.
    What rounds to beyond the largest value, and Inf: the largest with ``saturate``; else Inf where the format has it,
    NaN where it has only NaN (E4M3, E8M0), and the largest where it has neither (FP6, FP4, integers). A finite value
    that its direction takes back from there is the largest in any case. Where the dtype of x cannot hold the largest
    value (FP16's 65504 in BF16), it is the largest that both hold.
    E8M0, a format of scales, has neither zero nor sign: those become NaN, and positive values below 2**-127 become
    that. Its ties go to the larger value, for lack of an even one.
    With ``torch.set_flush_denormal(True)`` torch itself loses FP32 subnormals; other values are not affected.
    Block formats: blocks along the last dimension, to nearest and saturating.

    straight_through: the result's gradient with respect to x is 1 from the format's smallest to its largest value and 0
    outside, where the result no longer follows x, and at NaN; for block formats, whose scales follow x, 1 everywhere.
    Else the result has no gradient.

    Raises ``PrecisionError`` for an unknown format or rounding, a seed that is missing or not wanted, and a dtype that
    is no such float.
    Source: the format's ``source``; IEEE 754-2019 sections 4.3.1, 4.3.2 and 7.4.
    """
    spec = find_format(format)
    check_float(x, f"round to {spec.name}")
    generator = _take_seed(x, spec, rounding, seed)
    if isinstance(spec, BlockSpec):
        _check_block(spec, rounding, saturate)
    if straight_through:
        rounded: Tensor = _StraightThrough.apply(  # type: ignore[no-untyped-call]
            x, spec, saturate, rounding, generator
        )
        return rounded
    return _round(x, spec, saturate, rounding, generator)


class _StraightThrough(torch.autograd.Function):
    """Rounds forward; backward lets the gradient through where the format reaches."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, spec: Spec, saturate: bool, rounding: Rounding, generator: torch.Generator | None
    ) -> Tensor:
        ctx.spec = spec
        if not spec.is_block:
            ctx.save_for_backward(x)
        return _round(x, spec, saturate, rounding, generator)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        if ctx.spec.is_block:
            return gradient, None, None, None, None
        (x,) = ctx.saved_tensors
        is_inside = (x >= common_smallest(ctx.spec, x.dtype)) & (x <= common_largest(ctx.spec, x.dtype))
        return torch.where(is_inside, gradient, 0.0), None, None, None, None


def _round(x: Tensor, spec: Spec, saturate: bool, rounding: Rounding, generator: torch.Generator | None) -> Tensor:
    if isinstance(spec, BlockSpec):
        return round_blocks(x, spec)
    if rounding == "nearest" and rounds_quickly(spec):
        return round_elements(x, spec, saturate)
    return round_by_ordinals(x, spec, rounding, saturate, generator)


def _take_seed(x: Tensor, spec: Spec, rounding: Rounding, seed: Seed | None) -> torch.Generator | None:
    """The generator to draw from, None where nothing is drawn."""
    asked = f"round to {spec.name}, {rounding}"
    if rounding not in get_args(Rounding):
        raise PrecisionError(asked, "there is no such rounding", " or ".join(get_args(Rounding)))
    if (seed is None) == (rounding == "stochastic"):
        found, try_ = ("no seed is given", "seed=0") if seed is None else ("a seed is given", "rounding='stochastic'")
        raise PrecisionError(asked, found, try_)
    if seed is None or isinstance(seed, int):
        return None if seed is None else torch.Generator(x.device).manual_seed(seed)
    if not isinstance(seed, torch.Generator):
        raise PrecisionError(asked, f"seed={seed!r}", "an int or a torch.Generator")
    if seed.device.type != x.device.type:
        raise PrecisionError(asked, f"x is on {x.device}, the generator on {seed.device}", "a generator on x's device")
    return seed


def _check_block(spec: BlockSpec, rounding: Rounding, saturate: bool) -> None:
    if rounding != "nearest":
        raise PrecisionError(
            f"round to {spec.name}, {rounding}", "block formats round to nearest", "rounding='nearest'"
        )
    if not saturate:
        raise PrecisionError(f"round to {spec.name}, saturate=False", "elements of blocks saturate", "saturate=True")
