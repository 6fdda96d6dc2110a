"""The bins of a range: a float's own sign, exponent and leading mantissa bits, so that finding one's bin is a shift."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from explorer.errors import PrecisionError

FP32_MANTISSA = 23
FINITE_EXPONENTS = 255
"""Exponent fields that hold finite FP32 values; the 256th is that of Inf and NaN."""
RANGE_BITS = 3
"""Leading mantissa bits of a range's bins: eight to the octave."""
CALIBRATION_BITS = 7
"""Leading mantissa bits where a threshold is sought: with sign and exponent the upper half of an FP32 pattern."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


def check_mantissa_bits(bits: int) -> None:
    """Returns when bins of so many leading mantissa bits can be counted, else raises ``PrecisionError``."""
    if not isinstance(bits, int) or isinstance(bits, bool) or not 0 <= bits <= 11:
        raise PrecisionError(f"a histogram of {bits!r} mantissa bits", "its counts would not fit", "0 to 11, such as 3")


def bins_per_sign(mantissa_bits: int) -> int:
    """How many bins hold the finite magnitudes of one sign."""
    return FINITE_EXPONENTS << mantissa_bits


@lru_cache(maxsize=16)
def bin_edges(mantissa_bits: int) -> Floats:
    """[bins_per_sign + 1] magnitudes: bin k holds edges[k] <= \\|x\\| < edges[k + 1]; the first is 0, the last 2**128.

    In the lowest octave (FP32's subnormals) the bins are of equal width, elsewhere 2**mantissa_bits to the octave.
    """
    patterns = np.arange(bins_per_sign(mantissa_bits) + 1, dtype=np.uint32) << np.uint32(FP32_MANTISSA - mantissa_bits)
    edges = patterns.view(np.float32).astype(np.float64)
    edges[-1] = 2.0**128
    edges.flags.writeable = False
    return edges
