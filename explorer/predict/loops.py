# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""The loop that multiplies errors with gradients on a CPU. Importing this imports Numba. (Effect: JIT, threads.)

All results of an op, FP32's result and all gradients are read once, in chunks that stay in the first cache. A sample is
one share of the work, so the number of threads changes no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import carray, njit
from torch import Tensor

from explorer.team import claim, compiled, pointer, run

_CHUNK = 1024


def contract(given: Sequence[Tensor], wanted: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Return the sums over elements of gradient * (given - wanted), FP32 [results, n, probes].

    given: results, each [n, elements], FP32 or BF16; wanted and each of the gradients: [n, elements] FP32; all
    contiguous. Chunks are added in FP64. NaN and Inf go through.
    """
    n, elements = wanted.shape
    results = np.array([[x.data_ptr(), x.dtype == torch.bfloat16] for x in given], np.int64)
    places = np.array([x.data_ptr() for x in gradients], np.int64)
    sums = np.empty((len(given), n, len(gradients)), np.float32)
    sizes = (len(given), n, elements, len(gradients))
    block = (results.ctypes.data, wanted.data_ptr(), places.ctypes.data, *sizes, sums.ctypes.data)
    run(_team, min(torch.get_num_threads(), n), *block)
    return torch.from_numpy(sums)


@njit(nogil=True)
def _widen(codes: Any, out: Any) -> None:
    """BF16 bits -> FP32 bits."""
    for i in range(codes.size):
        out[i] = np.uint32(codes[i]) << np.uint32(16)


@njit(nogil=True)
def _subtract(given: Any, wanted: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = given[i] - wanted[i]


@njit(nogil=True, fastmath={"reassoc", "contract"})
def _dot(x: Any, y: Any) -> Any:
    total = np.float32(0.0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@compiled
def _team(call: Any) -> None:
    """One thread's work on a block of INT64: samples claimed, results (of each its address and whether it is BF16),
    wanted, gradients, number of results, n, elements, probes, sums."""
    job = carray(call, (9,), np.int64)
    count, n, elements, probes = job[4], job[5], job[6], job[7]
    results = carray(pointer(job[1]), (count, 2), np.int64)
    gradients = carray(pointer(job[3]), (probes,), np.int64)
    sums = carray(pointer(job[8]), (count, n, probes), np.float32)
    buffer, difference = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    totals = np.empty((count, probes), np.float64)
    sample: Any = claim(call)
    while sample < n:
        totals[:] = 0.0
        for start in range(0, elements, _CHUNK):
            here, place = min(_CHUNK, elements - start), sample * elements + start
            wanted = carray(pointer(job[2] + 4 * place), (here,), np.float32)
            for result in range(count):
                if results[result, 1]:
                    codes = carray(pointer(results[result, 0] + 2 * place), (here,), np.uint16)
                    _widen(codes, buffer.view(np.uint32)[:here])
                    _subtract(buffer[:here], wanted, difference[:here])
                else:
                    floats = carray(pointer(results[result, 0] + 4 * place), (here,), np.float32)
                    _subtract(floats, wanted, difference[:here])
                for probe in range(probes):
                    gradient = carray(pointer(gradients[probe] + 4 * place), (here,), np.float32)
                    totals[result, probe] += _dot(gradient, difference[:here])
        for result in range(count):
            for probe in range(probes):
                sums[result, sample, probe] = np.float32(totals[result, probe])
        sample = claim(call)
