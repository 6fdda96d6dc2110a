"""Running sums in a narrow format, one rounding per operation. Imports Numba. (Effect: JIT, cache on disk.)

A sum or difference of two values of a format is formed in FP64 and then rounded to the format. These are two roundings,
and they give what one rounding of the exact result gives: FP64 has 53 bits, the formats at most p = 24, and a first
rounding to 2p + 2 bits or more is innocuous for +, -, *, / and square root.
Source: Figueroa, "When is double rounding innocuous?", SIGNUM Newsletter 30(3), 1995.

``rounding`` is what :func:`round_scalar` needs of a format: 1.5 * 2**(52 - mantissa bits), the smallest normal value,
the largest value, and what takes the place of anything larger.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

PLAIN, KAHAN, NEUMAIER = range(3)
EXPONENT = np.int64(0x7FF0000000000000)
LEVELS = 64
"""Sums of 1, 2, 4, ... terms that wait for their partner: enough for 2**64 terms."""


@njit(nogil=True, cache=True)
def round_scalar(x: float, rounding: Any) -> float:
    """``x`` at the nearest value of the format, ties to even: adding 1.5 * 2**(52 - mantissa) binades leaves its steps.

    NaN stays, the sign of zero stays; beyond the largest value and at Inf it is what ``rounding`` says.
    """
    steps, smallest_normal, largest, beyond = rounding
    if math.isnan(x):
        return x
    if math.isinf(x):
        return math.copysign(beyond, x)
    power = np.int64(np.float64(x).view(np.int64) & EXPONENT).view(np.float64)
    shift = max(power, smallest_normal) * steps
    rounded = math.copysign((x + shift) - shift, x)
    return rounded if abs(rounded) <= largest else math.copysign(beyond, x)


@njit(nogil=True, cache=True)
def add_in_order(terms: Any, marks: Any, sums: Any, rounding: Any, method: int) -> tuple[int, int]:
    """Fills ``sums`` with the running sum after ``marks`` terms (ascending, from 1 to all of them).

    Returns after how many terms the sum took its last value, and after how many it was no longer finite (0: never).
    """
    total = correction = shown = 0.0
    mark = changed = broken = 0
    for index in range(terms.size):
        term = terms[index]
        before = shown
        if method == PLAIN:
            total = round_scalar(total + term, rounding)
            shown = total
        elif method == KAHAN:
            wanted = round_scalar(term - correction, rounding)
            larger = round_scalar(total + wanted, rounding)
            correction = round_scalar(round_scalar(larger - total, rounding) - wanted, rounding)
            total = shown = larger
        else:
            larger = round_scalar(total + term, rounding)
            big, small = (total, term) if abs(total) >= abs(term) else (term, total)
            lost = round_scalar(round_scalar(big - larger, rounding) + small, rounding)
            correction = round_scalar(correction + lost, rounding)
            total = larger
            shown = round_scalar(total + correction, rounding)
        if shown != before and not (math.isnan(shown) and math.isnan(before)):
            changed = index + 1
        if broken == 0 and not math.isfinite(shown):
            broken = index + 1
        if index + 1 == marks[mark]:
            sums[mark] = shown
            mark += 1
    return changed, broken


@njit(nogil=True, cache=True)
def add_in_pairs(terms: Any, marks: Any, sums: Any, rounding: Any) -> tuple[int, int]:
    """As :func:`add_in_order`, but a sum of 2**k terms waits for the next one of as many; seen at the marks only."""
    waiting = np.zeros(LEVELS)
    mark = changed = broken = 0
    before = 0.0
    for index in range(terms.size):
        carried, level, count = terms[index], 0, index
        while count & 1:
            carried = round_scalar(waiting[level] + carried, rounding)
            level, count = level + 1, count >> 1
        waiting[level] = carried
        if index + 1 == marks[mark]:
            shown, started, count = 0.0, False, index + 1
            for rank in range(LEVELS):
                if (count >> rank) & 1:
                    shown = round_scalar(waiting[rank] + shown, rounding) if started else waiting[rank]
                    started = True
            sums[mark] = shown
            if shown != before and not (math.isnan(shown) and math.isnan(before)):
                changed = index + 1
            if broken == 0 and not math.isfinite(shown):
                broken = index + 1
            before, mark = shown, mark + 1
    return changed, broken
