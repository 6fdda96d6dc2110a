"""The loops behind :mod:`explorer.kernels.fused`. Importing this file imports Numba. (Effect: JIT, cache on disk.)

They run on torch's own OpenMP threads. A pool of Numba's would share the cores with torch's, and each product would
wait for the other pool to stop spinning (docs/architecture.md has the figures). So the loops are compiled as C
functions of one thread's share of the rows, and torch's OpenMP library calls them in its team.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

SMALLEST_NORMAL = np.float32(np.finfo(np.float32).tiny)
LARGEST = np.float32(np.finfo(np.float32).max)
MAGNITUDE = np.int32(0x7FFFFFFF)
STEPS = np.float32(127.0)
ROUNDER = np.float32(3 << 22)
"""Added to a number below 2**22, it leaves that number, rounded half to even, in the low bits: nearly twice as fast as
rounding and converting."""
SMALL = 1 << 14
"""Elements below which waking the other threads costs more than their help."""
ROWS, COLUMNS, SHARE, NEXT, ARRAYS = range(5)
"""Places in a call's block of INT64: sizes, rows in a share, the next share, then the addresses of the arrays."""


@intrinsic  # type: ignore[untyped-decorator]
def _claim(typing_context: Any, call: Any) -> Any:
    """Take the next share of a call, atomically: the threads of a team ask for work until there is none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(64)
        slot = builder.gep(arguments[0], [ir.Constant(integer, NEXT)])
        return builder.atomic_rmw("add", slot, ir.Constant(integer, 1), "monotonic")

    return types.int64(types.CPointer(types.int64)), generate


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    """An address held as an integer, as a pointer: Numba's documented way into its code generator."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


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
def scale_share(product: Any, row_scale: Any, column_scale: Any, bias: Any, first: int, last: int) -> None:
    """Turn rows ``first`` to ``last`` of ``product`` [M, N] INT32 into ``product * row_scale * column_scale + bias``.

    The FP32 results are written as their bits over the integers: one array read and written at one place is what a
    compiler can vectorise; two arrays on the same memory are not.
    """
    columns = product.shape[1]
    for row in range(first, last):
        factor = row_scale[row]
        for column in range(columns):
            scaled = np.float32(product[row, column]) * factor * column_scale[column]
            product[row, column] = np.float32(scaled + bias[column]).view(np.int32)


@njit(nogil=True, cache=True)
def scale_add_share(
    product: Any, row_scale: Any, column_scale: Any, bias: Any, addend: Any, first: int, last: int
) -> None:
    """As :func:`scale_share`, and adds ``addend`` [M, N] FP32 to the result, each sum rounded by itself."""
    columns = product.shape[1]
    for row in range(first, last):
        factor = row_scale[row]
        for column in range(columns):
            scaled = np.float32(product[row, column]) * factor * column_scale[column]
            shifted = np.float32(scaled + bias[column])
            product[row, column] = np.float32(shifted + addend[row, column]).view(np.int32)


TEAM_CALL = types.void(types.CPointer(types.int64))


@cfunc(TEAM_CALL, cache=True)
def _quantize_team(call: Any) -> None:
    job = carray(call, (ARRAYS + 3,))
    rows, columns, share = job[ROWS], job[COLUMNS], job[SHARE]
    x = carray(_pointer(job[ARRAYS]), (rows, columns), np.float32)
    bits = carray(_pointer(job[ARRAYS]), (rows, columns), np.int32)
    codes = carray(_pointer(job[ARRAYS + 1]), (rows, columns), np.int8)
    scale = carray(_pointer(job[ARRAYS + 2]), (rows,), np.float32)
    first = _claim(call) * share
    while first < rows:
        quantize_share(x, bits, codes, scale, first, min(first + share, rows))
        first = _claim(call) * share


@cfunc(TEAM_CALL, cache=True)
def _scale_team(call: Any) -> None:
    job = carray(call, (ARRAYS + 4,))
    rows, columns, share = job[ROWS], job[COLUMNS], job[SHARE]
    product = carray(_pointer(job[ARRAYS]), (rows, columns), np.int32)
    row_scale = carray(_pointer(job[ARRAYS + 1]), (rows,), np.float32)
    column_scale = carray(_pointer(job[ARRAYS + 2]), (columns,), np.float32)
    bias = carray(_pointer(job[ARRAYS + 3]), (columns,), np.float32)
    first = _claim(call) * share
    while first < rows:
        scale_share(product, row_scale, column_scale, bias, first, min(first + share, rows))
        first = _claim(call) * share


@cfunc(TEAM_CALL, cache=True)
def _scale_add_team(call: Any) -> None:
    job = carray(call, (ARRAYS + 5,))
    rows, columns, share = job[ROWS], job[COLUMNS], job[SHARE]
    product = carray(_pointer(job[ARRAYS]), (rows, columns), np.int32)
    row_scale = carray(_pointer(job[ARRAYS + 1]), (rows,), np.float32)
    column_scale = carray(_pointer(job[ARRAYS + 2]), (columns,), np.float32)
    bias = carray(_pointer(job[ARRAYS + 3]), (columns,), np.float32)
    addend = carray(_pointer(job[ARRAYS + 4]), (rows, columns), np.float32)
    first = _claim(call) * share
    while first < rows:
        scale_add_share(product, row_scale, column_scale, bias, addend, first, min(first + share, rows))
        first = _claim(call) * share


def quantize_rows(x: Tensor, codes: Tensor, scale: Tensor) -> None:
    """Fill ``codes`` [M, K] INT8 and ``scale`` [M] FP32 from ``x`` [M, K] FP32; all contiguous, on the CPU."""
    _run(_quantize_team, x.shape, (x, codes, scale))


def scale_product(
    product: Tensor, row_scale: Tensor, column_scale: Tensor, bias: Tensor, addend: Tensor | None
) -> Tensor:
    """Return the scaled product, FP32 in the memory of ``product`` [M, N] INT32; all contiguous, on the CPU."""
    arrays = (product, row_scale, column_scale, bias)
    if addend is None:
        _run(_scale_team, product.shape, arrays)
    else:
        _run(_scale_add_team, product.shape, (*arrays, addend))
    return product.view(torch.float32)


def _run(work: Any, shape: torch.Size, arrays: tuple[Tensor, ...]) -> None:
    """Call ``work`` in torch's team of threads, or alone where the job is small or there is no such team."""
    rows, columns = shape
    assert all(each.is_contiguous() and each.is_cpu for each in arrays), "the loops see bare addresses"
    threads = torch.get_num_threads() if rows * columns >= SMALL else 1
    share = -(-rows // threads)
    job = (ctypes.c_int64 * (ARRAYS + len(arrays)))(rows, columns, share, 0, *(each.data_ptr() for each in arrays))
    team = _openmp()
    if team is None or threads == 1:
        work.ctypes(ctypes.cast(job, ctypes.POINTER(ctypes.c_int64)))
    else:
        team.GOMP_parallel(ctypes.c_void_p(work.address), job, threads, 0)


@cache
def _openmp() -> Any:
    """Return the OpenMP library that torch has loaded, where it is GNU's (Linux), whose binary interface is stable."""
    path = Path(torch.__file__).parent / "lib" / "libgomp.so.1"
    if not path.exists():
        return None
    library = ctypes.CDLL(str(path))
    library.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    library.GOMP_parallel.restype = None
    return library
