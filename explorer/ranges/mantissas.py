# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator,return-value,no-any-return"
"""Which mantissa bits the elements of each sign and octave use, as compiled loops. Importing this imports Numba.

Most octaves have all bits in use after a few hundred elements; what is left to look at are the few elements that are
smaller or larger than those of such octaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from explorer.ranges.sweeps import gather

MANTISSA = np.uint32(0x7FFFFF)
EXPONENT_SHIFT = np.uint32(23)
ALL = np.int64(0xFFFFFFFF)
FIRST = 256
"""Elements that are all looked at in a chunk whose signs were not seen before."""


@njit(nogil=True)
def find_filled(masks: Any, filled: Any) -> None:
    """The longest run of octaves whose mantissa bits are all in use, in each sign that there is: the first magnitude's
    pattern, the one after the last, and which signs those are, positive 1 and negative 2."""
    positive, negative = _any(masks[:256]), _any(masks[256:])
    best, start, length = 0, 1, 0
    for exponent in range(1, 255):
        used = masks[exponent] if positive else MANTISSA
        used = used & masks[256 + exponent] if negative else used
        length = length + 1 if used == MANTISSA else 0
        if length > best:
            best, start = length, exponent - length + 1
    filled[0], filled[1] = start << 23, (start + best) << 23
    filled[2] = np.int64(positive) + 2 * np.int64(negative)


@njit(nogil=True)
def add_masks(address: Any, chunk: Any, facts: Any, picked: Any, masks: Any, filled: Any) -> None:
    """Or the mantissas of a chunk's elements, which are at ``address``, into ``masks`` [512] by sign and exponent.

    facts: which signs there are as in ``filled``, twice the least magnitude's pattern less one, and the largest's.
    """
    signs, least, top = facts
    target = np.int64(picked.ctypes.data)
    if signs & ~filled[2] and _add(chunk[:FIRST], masks):
        find_filled(masks, filled)
    new = False
    if signs & ~filled[2]:
        new = _add(picked[: gather(address, chunk.size, np.int64(0), ALL, target)], masks)
    else:
        if least < 2 * filled[0] - 1:
            new = _add(picked[: gather(address, chunk.size, np.int64(0), 2 * filled[0] - 1, target)], masks)
        if top >= filled[1]:
            new |= _add(picked[: gather(address, chunk.size, 2 * filled[1] - 1, ALL, target)], masks)
    if new:
        find_filled(masks, filled)


@njit(nogil=True)
def _add(chunk: Any, masks: Any) -> bool:
    """Whether one of the elements has a new bit."""
    new = np.uint32(0)
    for i in range(chunk.size):
        place, mantissa = chunk[i] >> EXPONENT_SHIFT, np.uint32(chunk[i] & MANTISSA)
        new |= np.uint32(mantissa & ~masks[place])
        masks[place] |= mantissa
    return new != 0


@njit(nogil=True)
def _any(masks: Any) -> bool:
    used = np.uint32(0)
    for place in range(masks.size):
        used |= masks[place]
    return used != 0
