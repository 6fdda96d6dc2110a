"""Activation functions on sixteen lanes. Importing this imports llvmlite.

``gelu_tanh`` and ``silu`` are x times a number between 0 and 1 that is computed with a small *relative* error on the
negative side too, where the textbook forms (1 + erf, 1 + tanh) cancel: for every finite x with a result above 1e-30 in
magnitude the error is at most 4 ulp of the exact value; below that, at most 1e-34. Where the factor on the negative
side would be denormal it is 0: a denormal costs more than all the rest.

``gelu`` is accurate in absolute terms, as torch's is, and not in ulp where the result is tiny: the error is at most
2.1e-7 * |x| + 2e-45, and at most 4e-7. From -5.75 down the result is 0.

-0 stays -0 and NaN stays NaN. -Inf gives NaN as torch has it, but 0 from ``gelu`` and ``relu``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.vectors import Vectors

EXP = (
    1.0,
    1.0,
    0.49999991059303284,
    0.16666419804096222,
    0.041668228805065155,
    0.008374834433197975,
    0.0013836818980053067,
)
"""e**r on |r| <= ln(2) / 2: relative error 2e-9."""
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.693145751953125, 1.4286068203094173e-06
GELU_END = 5.75
ROOT = (
    0.8408964276313782,
    -0.16773413121700287,
    -0.05019543692469597,
    0.0046378872357308865,
    0.003823020262643695,
    -6.94931804900989e-05,
    -0.0002824998809956014,
    4.76482673548162e-05,
    -6.906143426022027e-07,
    -3.651439044460858e-07,
    2.0282218571310295e-08,
)
"""The fourth root of P(normal > a) on 0 <= a <= GELU_END in powers of a; its fourth power is within 6e-8.

The first is 0.5**0.25 in FP32. The others are a minimax fit of the fourth power in FP64, by least squares reweighted
with the errors (Lawson), under weights 1 + (a / 5)**4; they were rounded one by one from the highest power down, those
below being fitted again each time. Then a few units in the last place were tried at random on each, so that FP32 gives
exactly 0 at GELU_END. (That can be: GELU_END has few bits and divides the first coefficient.)
"""
TANH_END, SILU_END = 9.9375, 87.0
"""The |x| of either function from which on its factor on the negative side is 0; there it is still a normal number."""
SPARE = 0.0625
"""How far beyond its end a function is evaluated. (A clamp at the very end would be optimised away again, since what
lies beyond is not used; and denormals would be computed there in vain.)"""
SLOPE = 1.5957691216057308
"""Twice the square root of 2 / pi."""
CUBIC = 0.044715


def relu(v: Vectors, x: Any) -> Any:
    """max(x, 0); -0 stays -0 and NaN stays NaN, as in torch."""
    zero = v.floats(0.0)
    return v.builder.select(v.builder.fcmp_ordered("<", x, zero), zero, x)


def gelu(v: Vectors, x: Any) -> Any:
    """x * P(normal < x), as max(x, 0) - a * P(normal > a) with a = |x|: no choice between two sides.

    The tail P(normal > a) falls by eight powers of ten, its fourth root by two: a short polynomial follows that without
    cancelling, and its absolute error shrinks with the tail when it is raised to the fourth power again.
    """
    a = v.least(v.magnitude(x), v.floats(GELU_END))
    root = v.polynomial(a, ROOT)
    square = v.builder.fmul(root, root)
    below = v.builder.fmul(a, square)
    return v.fused(v.builder.fneg(below), square, relu(v, x))


def gelu_tanh(v: Vectors, x: Any) -> Any:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))), which is x times a logistic function.

    The exponent is kept in two floats: one has too few bits for e to its power.
    """
    a = v.least(v.magnitude(x), v.floats(TANH_END + SPARE))
    square, rest = _square(v, a)
    cubic, slope = v.floats(SLOPE * CUBIC), v.floats(SLOPE)
    grown = v.builder.fmul(cubic, square)
    factor = v.builder.fadd(grown, slope)
    part = v.builder.fsub(factor, grown)
    lost = v.builder.fadd(
        v.builder.fsub(grown, v.builder.fsub(factor, part)), v.builder.fsub(slope, part)
    )  # Knuth's two-sum
    lost = v.builder.fadd(lost, v.fused(cubic, square, v.builder.fneg(grown)))
    lost = v.fused(cubic, rest, lost)
    lost = v.fused(v.floats(_residue(SLOPE * CUBIC)), square, lost)
    lost = v.builder.fadd(lost, v.floats(_residue(SLOPE)))
    exponent = v.builder.fmul(a, factor)
    below = v.fused(a, lost, v.fused(a, factor, v.builder.fneg(exponent)))
    decay = exp(v, v.builder.fneg(exponent), v.builder.fneg(below))
    return _times_logistic(v, x, _end(v, x, TANH_END, decay))


def silu(v: Vectors, x: Any) -> Any:
    """x / (1 + exp(-x))."""
    a = v.least(v.magnitude(x), v.floats(SILU_END + SPARE))
    return _times_logistic(v, x, _end(v, x, SILU_END, exp(v, v.builder.fneg(a), None)))


def exp(v: Vectors, x: Any, rest: Any) -> Any:
    """e**(x + rest), for a rest that is small beside x (None: 0). Finite x only."""
    power = v.rounded(v.builder.fmul(x, v.floats(LOG2_E)))
    reduced = v.fused(power, v.floats(-LN2_HIGH), x)
    reduced = v.fused(power, v.floats(-LN2_LOW), reduced)
    if rest is not None:
        reduced = v.builder.fadd(reduced, rest)
    return v.times_power(v.polynomial(reduced, EXP), power)


EMITTERS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu}


def _times_logistic(v: Vectors, x: Any, decay: Any) -> Any:
    """x times the logistic function of the number whose exp(-magnitude) is ``decay`` and whose sign is that of x."""
    one = v.floats(1.0)
    negative = v.builder.fcmp_ordered("<", x, v.floats(0.0))
    above = v.builder.fmul(x, v.builder.select(negative, decay, one))
    return v.builder.fdiv(above, v.builder.fadd(one, decay))


def _end(v: Vectors, x: Any, end: float, factor: Any) -> Any:
    """``factor`` where |x| < end, else 0; 0 for NaN."""
    inside = v.builder.fcmp_ordered("<", v.magnitude(x), v.floats(end))
    return v.builder.select(inside, factor, v.floats(0.0))


def _square(v: Vectors, a: Any) -> tuple[Any, Any]:
    """a * a as FP32 rounds it, and what that lost."""
    square = v.builder.fmul(a, a)
    return square, v.fused(a, a, v.builder.fneg(square))


def _residue(value: float) -> float:
    """What rounding ``value`` to FP32 loses."""
    return value - float(np.float32(value))
