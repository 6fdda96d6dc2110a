"""What a launch needs to know of the device: which one is current, and what its cores can cast. (Effect: device.)"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
import triton
from torch import Tensor

from explorer.kernels.triton.casts import IS_INTERPRETED


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """Make x's GPU the current one, which is where Triton launches."""
    if x.device.type != "cuda" or x.device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(x.device)


def has_fp8_cast(x: Tensor) -> bool:
    """Whether kernels on x may use the GPU's FP8 casts: sm_89 and later; never the interpreter's, which are wrong."""
    if IS_INTERPRETED:
        return False
    if x.device.type == "cuda":
        return capability(x.device.index) >= (8, 9)
    return bool(triton.runtime.driver.active.get_current_target().arch >= 89)  # compiling for a GPU that is not here


@cache
def capability(index: int) -> tuple[int, int]:
    """The compute capability of the GPU of this index."""
    major, minor = torch.cuda.get_device_capability(index)
    return major, minor


@cache
def device_key(index: int) -> str:
    """What must be equal for a tuned launch to be as good again: the GPU and the compiler."""
    major, minor = capability(index)
    return f"{torch.cuda.get_device_name(index)}, sm_{major}{minor}, Triton {triton.__version__}"


@cache
def cores(index: int) -> int:
    """The streaming multiprocessors of the GPU of this index."""
    return int(torch.cuda.get_device_properties(index).multi_processor_count)


def power_of_two(size: int, smallest: int = 1) -> int:
    """The smallest power of two that is at least ``size`` and ``smallest``."""
    return max(smallest, 1 << max(size - 1, 0).bit_length())
