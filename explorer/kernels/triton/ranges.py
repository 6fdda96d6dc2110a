"""The range of a tensor counted in one read on the GPU: every figure of ``ranges.Histogram``, exact, and no waiting.

All that the kernels add up are integers, so the order in which programs finish changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import torch
import triton
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.kernels.triton import range_buffer as places
from explorer.kernels.triton.casts import IS_INTERPRETED
from explorer.kernels.triton.launch import cores, on_device
from explorer.kernels.triton.range_narrow import count_narrow_kernel
from explorer.kernels.triton.range_wide import MOST_TILES, TILES, count_wide_kernel
from explorer.kernels.triton.shared_counters import WORDS
from explorer.kernels.triton.tuning import Config, Problem, choose

if TYPE_CHECKING:
    from explorer.ranges import Histogram

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
BITS = 3
"""Leading mantissa bits of the bins, those of ``ranges.RANGE_BITS``."""
_FEW_CORES = 2
"""Where there is no GPU: how many programs share the work."""


@dataclass(eq=False)
class RangeCounts:
    """What was counted, on the device where the tensors live; ``read`` waits for it, nothing else does.

    buffer: INT64, see ``range_buffer``; patterns: INT64 [65536], from the first BF16 tensor on. Any number of tensors
    may be counted into one.
    """

    buffer: Tensor
    patterns: Tensor | None = field(default=None)

    @classmethod
    def empty(cls, device: torch.device | str) -> RangeCounts:
        """The counts of no elements."""
        return cls(torch.zeros(places.SIZE, dtype=torch.int64, device=device))

    def add(self, x: Tensor, config: Config | None = None) -> None:
        """Count x too: FP32, BF16 or FP16, any shape and strides; never modified. Else raises ``PrecisionError``."""
        if x.dtype not in FLOATS or x.device.type != self.buffer.device.type:
            found = f"x is {x.dtype} on {x.device}, the counts are on {self.buffer.device}"
            raise PrecisionError("count a range", found, "float32, bfloat16 or float16 on the device of the counts")
        flat = _flatten(x.detach())
        if not flat.numel():
            return
        if flat.dtype == torch.bfloat16 and self.patterns is None:
            self.patterns = torch.zeros(places.PATTERNS, dtype=torch.int64, device=flat.device)
        if config is None:
            scratch = cache(lambda: RangeCounts(torch.zeros_like(self.buffer), _zeros_like(self.patterns)))
            problem = Problem("count_range", (_size_class(flat.numel()),), str(x.dtype))
            # Counting twice must not count here.
            config = choose(problem, candidates(flat.dtype), lambda config: scratch()._launch(flat, config), flat)
        self._launch(flat, config)

    def _launch(self, flat: Tensor, config: Config) -> None:
        elements, block = flat.numel(), config["BLOCK"]
        assert block >= 32 * config.warps and block % 256 == 0, "every element is in one thread, and in one chunk"
        tiles = triton.cdiv(elements, block)
        programs = min(tiles, config["PROGRAMS"] * _cores(flat))
        options = {"BLOCK": block, "num_warps": config.warps, "num_stages": config.stages, "enable_fp_fusion": False}
        with on_device(flat):
            if flat.dtype == torch.bfloat16:
                bits, counted = flat.view(torch.int16), self.buffer[places.SPECIAL :]
                count_narrow_kernel[(programs,)](
                    bits, self.patterns, counted, _scratch(programs, flat), elements, **options
                )
            else:
                groups = triton.cdiv(tiles, TILES)
                programs = max(min(programs, groups), triton.cdiv(groups, MOST_TILES // TILES))
                scratch = _scratch(programs, flat)
                count_wide_kernel[(programs,)](flat, self.buffer, scratch, elements, TILES=TILES, **options)

    def read(self) -> Histogram:
        """Everything counted so far. Waits for the device."""
        from explorer.ranges import Histogram

        patterns = None if self.patterns is None else self.patterns.cpu().numpy()
        return Histogram(BITS, *places.read(self.buffer.cpu().numpy(), patterns))


def count_range(x: Tensor) -> RangeCounts:
    """Return the counts of x, on its device and without waiting; see :meth:`RangeCounts.add`."""
    counts = RangeCounts.empty(x.device)
    counts.add(x)
    return counts


@cache
def candidates(dtype: torch.dtype = torch.float32) -> tuple[Config, ...]:
    """The launches worth trying: PROGRAMS to a multiprocessor, which has room for six.

    An element of FP32 takes nine registers for its sums and extremes, one of BF16 two.
    """
    narrow = ((4096, 8, 4), (4096, 16, 2), (8192, 16, 2), (2048, 8, 4), (2048, 4, 6))
    wide = ((1024, 8, 2), (1024, 8, 1), (1024, 4, 2), (512, 4, 3), (1024, 16, 2))
    shapes = narrow if dtype == torch.bfloat16 else wide
    return tuple(Config.of(warps, 2, BLOCK=block, PROGRAMS=programs) for block, warps, programs in shapes)


def _scratch(programs: int, x: Tensor) -> Tensor:
    """The counters of the interpreter's programs; on a GPU nothing, since they are in shared memory."""
    if not IS_INTERPRETED:
        return torch.empty(0, dtype=torch.int32, device=x.device)
    return torch.zeros(programs, WORDS, dtype=torch.int32, device=x.device)


def _cores(x: Tensor) -> int:
    return cores(x.device.index) if x.device.type == "cuda" else _FEW_CORES


def _zeros_like(x: Tensor | None) -> Tensor | None:
    return None if x is None else torch.zeros_like(x)


def _flatten(x: Tensor) -> Tensor:
    """x as one dimension, in the order of its memory where it is dense."""
    dense = torch.empty_like(x, device="meta").stride() == x.stride()
    return x.as_strided((x.numel(),), (1,)) if dense else x.reshape(-1)


def _size_class(elements: int) -> int:
    """The power of 16 that holds so many elements: a launch good for a million is good for two."""
    return int(16 ** math.ceil(math.log(max(elements, 2), 16)))
