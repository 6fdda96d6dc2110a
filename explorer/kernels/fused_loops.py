"""The loops behind :mod:`explorer.kernels.fused`. Importing this file imports Numba. (Effect: JIT, cache on disk.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

SMALLEST_NORMAL = np.float32(np.finfo(np.float32).tiny)
LARGEST = np.float32(np.finfo(np.float32).max)
MAGNITUDE = np.int32(0x7FFFFFFF)
STEPS = np.float32(127.0)


@njit(parallel=True, nogil=True, cache=True)
def quantize_rows(x: Any, bits: Any, codes: Any, scale: Any) -> None:
    """Fill ``codes`` and ``scale`` from ``x`` [M, K]; ``bits`` is ``x`` seen as INT32."""
    rows, columns = x.shape
    for row in prange(rows):
        # The largest bit pattern without its sign is the largest magnitude. Unlike a float maximum it vectorises,
        # and Inf and NaN rank above every number.
        largest = np.int32(0)
        pattern = bits[row]
        for column in range(columns):
            magnitude = np.int32(pattern[column] & MAGNITUDE)  # said aloud: Numba would widen it to 64 bits
            largest = magnitude if magnitude > largest else largest
        holder = np.empty(1, np.int32)
        holder[0] = largest
        absmax = holder.view(np.float32)[0]
        step = np.float32(1.0)
        if absmax != 0:
            step = absmax / STEPS
            if step < SMALLEST_NORMAL:
                step = SMALLEST_NORMAL
        scale[row] = step
        inverse = np.float32(1.0) / step
        values = x[row]
        out = codes[row]
        if absmax <= LARGEST:
            for column in range(columns):
                out[column] = np.int8(np.rint(values[column] * inverse))
        else:
            for column in range(columns):
                out[column] = np.int8(0)


@njit(parallel=True, nogil=True, cache=True)
def scale_product(product: Any, row_scale: Any, column_scale: Any, bias: Any, out: Any) -> None:
    """Fill ``out`` [M, N] with ``product * row_scale * column_scale + bias``."""
    rows, columns = product.shape
    for row in prange(rows):
        factor = row_scale[row]
        for column in range(columns):
            out[row, column] = np.float32(product[row, column]) * factor * column_scale[column] + bias[column]
