# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator,return-value,no-any-return"
# mypy: disable-error-code="assignment,var-annotated"
"""Which mantissa bits the elements of each sign and octave use, as compiled loops. Importing this imports Numba.

Most octaves have all bits in use after a few hundred elements; what is left to look at are the few elements that are
smaller or larger than those of such octaves, which each sign has its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from explorer.ranges import places as at
from explorer.ranges.folds import gather

MANTISSA = np.uint32(0x7FFFFF)
EXPONENT_SHIFT = np.uint32(23)
MAGNITUDE, SIGN = np.int64(at.MAGNITUDE), np.int64(0x80000000)
FIRST = 256
"""Elements that are all looked at in a chunk whose signs were not seen before."""


@njit(nogil=True)
def find_filled(masks: Any, filled: Any) -> None:
    """Of each sign, positive first, the longest run of octaves whose mantissa bits are all in use: its first pattern
    and how many there are, with those of the octave above whose bits are lower ones that are all in use (a bounded
    activation never fills its last octave). Then which signs there are, positive 1 and negative 2."""
    filled[4] = 0
    for sign in range(2):
        best, start, length, used = 0, 1, 0, np.uint32(0)
        for exponent in range(255):
            mask = masks[256 * sign + exponent]
            used |= mask
            length = length + 1 if mask == MANTISSA and exponent > 0 else 0
            if length > best:
                best, start = length, exponent - length + 1
        beyond = np.int64(masks[256 * sign + start + best])
        length = (best << 23) + ((beyond + 1) & ~beyond)
        filled[2 * sign], filled[2 * sign + 1] = (256 * sign + start) << 23, length
        filled[4] += (1 + sign) * np.int64(used != 0)


@njit(nogil=True)
def add_masks(address: Any, chunk: Any, extremes: Any, picked: Any, masks: Any, filled: Any) -> None:
    """Or the mantissas of a chunk's elements, which are at ``address``, into ``masks`` [512] by sign and exponent.

    extremes: as a sweep writes them.
    """
    above, high, least = extremes[0], extremes[1], extremes[2]
    signs = np.int64(above > 0) + 2 * np.int64(high > SIGN)
    if signs & ~filled[4] and _add(chunk[:FIRST], masks):
        find_filled(masks, filled)
    if signs & ~filled[4] or _is_outside(above, least, filled[:2]) or _is_outside(high, least, filled[2:4]):
        size = gather(address, chunk.size, filled[0], filled[1], filled[2], filled[3], np.int64(picked.ctypes.data))
        if _add(picked[:size], masks):
            find_filled(masks, filled)


@njit(nogil=True)
def _is_outside(top: Any, least: Any, filled: Any) -> bool:
    """Whether elements of a sign may be outside its filled octaves; top: its largest pattern, of the other sign if it
    has none, least: twice the least magnitude's of both signs less one."""
    start = filled[0] & MAGNITUDE
    is_there = top >= filled[0] - start + 1
    return is_there and (top >= filled[0] + filled[1] or least < 2 * start - 1)


@njit(nogil=True)
def _add(chunk: Any, masks: Any) -> bool:
    """Whether one of the elements has a new bit."""
    new = np.uint32(0)
    for i in range(chunk.size):
        place, mantissa = chunk[i] >> EXPONENT_SHIFT, np.uint32(chunk[i] & MANTISSA)
        new |= np.uint32(mantissa & ~masks[place])
        masks[place] |= mantissa
    return new != 0
