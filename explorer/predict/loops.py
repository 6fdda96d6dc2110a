# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""The loop that multiplies an error with gradients on a CPU. Importing this imports Numba. (Effect: JIT, threads.)

Result, FP32's result and all gradients are read once, in chunks that stay in the first cache. A sample is one share of
the work, so the number of threads changes no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import carray, cfunc, njit
from torch import Tensor

from explorer.team import CALL, claim, pointer, run

_CHUNK = 2048


def contract(given: Tensor, wanted: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Return the sums over elements of gradient * (given - wanted), FP32 [n, probes].

    given: [n, elements] FP32 or BF16; wanted and each of the gradients: [n, elements] FP32; all contiguous. Chunks are
    added in FP64. NaN and Inf go through.
    """
    n, elements = wanted.shape
    places = np.array([x.data_ptr() for x in gradients], np.int64)
    sums = np.empty((n, len(gradients)), np.float32)
    narrow = int(given.dtype == torch.bfloat16)
    block = (given.data_ptr(), wanted.data_ptr(), places.ctypes.data, n, elements, len(gradients), narrow)
    run(_team, min(torch.get_num_threads(), n), *block, sums.ctypes.data)
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


@cfunc(CALL, cache=True)
def _team(call: Any) -> None:
    """One thread's work on a block of INT64: samples claimed, given, wanted, gradients, n, elements, probes, whether
    given is BF16, sums."""
    job = carray(call, (9,), np.int64)
    n, elements, probes, narrow = job[4], job[5], job[6], job[7]
    gradients = carray(pointer(job[3]), (probes,), np.int64)
    buffer, difference = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    totals = np.empty(probes, np.float64)
    sample: Any = claim(call)
    while sample < n:
        totals[:] = 0.0
        for start in range(0, elements, _CHUNK):
            here, place = min(_CHUNK, elements - start), sample * elements + start
            wanted = carray(pointer(job[2] + 4 * place), (here,), np.float32)
            if narrow:
                codes = carray(pointer(job[1] + 2 * place), (here,), np.uint16)
                _widen(codes, buffer.view(np.uint32)[:here])
                _subtract(buffer[:here], wanted, difference[:here])
            else:
                _subtract(carray(pointer(job[1] + 4 * place), (here,), np.float32), wanted, difference[:here])
            for probe in range(probes):
                gradient = carray(pointer(gradients[probe] + 4 * place), (here,), np.float32)
                totals[probe] += _dot(gradient, difference[:here])
        sums = carray(pointer(job[8] + 4 * probes * sample), (probes,), np.float32)
        for probe in range(probes):
            sums[probe] = np.float32(totals[probe])
        sample = claim(call)
