# mypy: disable-error-code="untyped-decorator"
"""The loop that counts many channels at once. Importing this imports Numba. (Effect: JIT, cache on disk.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

MAGNITUDE, INFINITY = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)
HIDDEN_BIT = np.uint32(0x800000)


@njit(nogil=True, cache=True)
def count_rows(bits: Any, shift: Any, bottoms: Any, counts: Any, seen: Any) -> None:
    """Add the finite elements of each row of ``bits`` [R, n] to ``counts`` [R, 2, K], from the row's bottom bin on.

    bottoms: INT64 [R]; seen: INT64 [R] counts the finite elements, those below the bottom and FP32's subnormals too.
    """
    lowest_normal = np.int64(HIDDEN_BIT >> shift)
    for row in range(bits.shape[0]):
        positive, negative = counts[row, 0], counts[row, 1]
        bottom = bottoms[row]
        lowest = max(bottom, lowest_normal)
        for i in range(bits.shape[1]):
            pattern = bits[row, i]
            magnitude = pattern & MAGNITUDE
            if magnitude < INFINITY:
                seen[row] += 1
                place = np.int64(magnitude >> shift)
                if place >= lowest:
                    side = positive if pattern == magnitude else negative
                    side[place - bottom] += 1
