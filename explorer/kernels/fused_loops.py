"""The loops behind :mod:`explorer.kernels.fused`. Importing this file imports Numba. (Effect: JIT, cache on disk.)

They are compiled as C functions of one thread's share of the rows, and run on torch's own OpenMP threads
(:mod:`explorer.team`; docs/architecture.md has the figures).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import carray, njit
from torch import Tensor

from explorer.team import claim, compiled, pointer, run

SMALLEST_NORMAL = np.float32(np.finfo(np.float32).tiny)
LARGEST = np.float32(np.finfo(np.float32).max)
MAGNITUDE = np.int32(0x7FFFFFFF)
STEPS = np.float32(127.0)
ROUNDER = np.float32(3 << 22)
"""Added to a number below 2**22, it leaves that number, rounded half to even, in the low bits: nearly twice as fast as
rounding and converting."""
SMALL = 1 << 14
"""Elements below which waking the other threads costs more than their help."""
ROWS, COLUMNS, SHARE, ARRAYS = range(1, 5)
"""Places in a call's block of INT64, after the count of claimed shares: sizes, rows in a share, addresses of arrays."""


@njit(nogil=True, cache=True)
def quantize_share(x: Any, bits: Any, codes: Any, scale: Any, first: int, last: int) -> None:
    """Fill rows ``first`` to ``last`` of ``codes`` and ``scale`` from ``x`` [M, K]; ``bits`` is ``x`` seen as INT32."""
    columns = x.shape[1]
    for row in range(first, last):
        # The largest bit pattern without its sign is the largest magnitude. Unlike a float maximum it vectorises,
        # and Inf and NaN rank above every number.
        largest = np.int32(0)
        pattern, values, out = bits[row], x[row], codes[row]
        for column in range(columns):
            magnitude = np.int32(pattern[column] & MAGNITUDE)  # said aloud: Numba would widen it to 64 bits
            largest = magnitude if magnitude > largest else largest
        absmax = np.int32(largest).view(np.float32)
        step = np.float32(1.0)
        if absmax != 0:
            step = absmax / STEPS
            if step < SMALLEST_NORMAL:
                step = SMALLEST_NORMAL
        scale[row] = step
        inverse = np.float32(1.0) / step
        if absmax <= LARGEST:
            for column in range(columns):
                rounded = np.float32(values[column] * inverse) + ROUNDER
                out[column] = np.int8(np.float32(rounded).view(np.int32))
        else:
            for column in range(columns):
                out[column] = np.int8(0)


@njit(nogil=True, cache=True)
def scale_share(
    product: Any, row_scale: Any, column_scale: Any, bias: Any, addend: Any, adds: bool, first: int, last: int
) -> None:
    """Turn rows ``first`` to ``last`` of ``product`` [M, N] INT32 into ``product * row_scale * column_scale + bias``.

    And, where ``adds``, plus ``addend`` [M, N] FP32; each sum is rounded by itself. The FP32 results are written as
    their bits over the integers: one array read and written at one place is what a compiler can vectorise; two arrays
    on the same memory are not.
    """
    columns = product.shape[1]
    for row in range(first, last):
        factor = row_scale[row]
        if adds:  # two loops, each of which vectorises; a second pass over the row took 40 % longer
            for column in range(columns):
                scaled = np.float32(product[row, column]) * factor * column_scale[column]
                shifted = np.float32(scaled + bias[column])
                product[row, column] = np.float32(shifted + addend[row, column]).view(np.int32)
        else:
            for column in range(columns):
                scaled = np.float32(product[row, column]) * factor * column_scale[column]
                product[row, column] = np.float32(scaled + bias[column]).view(np.int32)


@compiled
def _quantize_team(call: Any) -> None:
    job = carray(call, (ARRAYS + 3,))
    rows, columns, share = job[ROWS], job[COLUMNS], job[SHARE]
    x = carray(pointer(job[ARRAYS]), (rows, columns), np.float32)
    bits = carray(pointer(job[ARRAYS]), (rows, columns), np.int32)
    codes = carray(pointer(job[ARRAYS + 1]), (rows, columns), np.int8)
    scale = carray(pointer(job[ARRAYS + 2]), (rows,), np.float32)
    first = claim(call) * share
    while first < rows:
        quantize_share(x, bits, codes, scale, first, min(first + share, rows))
        first = claim(call) * share


@compiled
def _scale_team(call: Any) -> None:
    job = carray(call, (ARRAYS + 5,))
    rows, columns, share = job[ROWS], job[COLUMNS], job[SHARE]
    product = carray(pointer(job[ARRAYS]), (rows, columns), np.int32)
    row_scale = carray(pointer(job[ARRAYS + 1]), (rows,), np.float32)
    column_scale = carray(pointer(job[ARRAYS + 2]), (columns,), np.float32)
    bias = carray(pointer(job[ARRAYS + 3]), (columns,), np.float32)
    addend, adds = carray(pointer(job[ARRAYS + 4]), (rows, columns), np.float32), job[ARRAYS + 4] != 0
    first = claim(call) * share
    while first < rows:
        scale_share(product, row_scale, column_scale, bias, addend, adds, first, min(first + share, rows))
        first = claim(call) * share


def quantize_rows(x: Tensor, codes: Tensor, scale: Tensor) -> None:
    """Fill ``codes`` [M, K] INT8 and ``scale`` [M] FP32 from ``x`` [M, K] FP32; all contiguous, on the CPU."""
    _run_rows(_quantize_team, x.shape, (x, codes, scale))


def scale_product(
    product: Tensor, row_scale: Tensor, column_scale: Tensor, bias: Tensor, addend: Tensor | None
) -> Tensor:
    """Return the scaled product, FP32 in the memory of ``product`` [M, N] INT32; all contiguous, on the CPU."""
    _run_rows(_scale_team, product.shape, (product, row_scale, column_scale, bias, addend))
    return product.view(torch.float32)


def _run_rows(work: Any, shape: torch.Size, arrays: tuple[Tensor | None, ...]) -> None:
    """Call ``work`` in torch's team of threads, each with its share of the rows, or alone where the job is small.

    An array that is not there has the address 0.
    """
    rows, columns = shape
    assert all(each is None or (each.is_contiguous() and each.is_cpu) for each in arrays), (
        "the loops see bare addresses"
    )
    threads = torch.get_num_threads() if rows * columns >= SMALL else 1
    run(work, threads, rows, columns, -(-rows // threads), *(0 if each is None else each.data_ptr() for each in arrays))
