"""What a user of torch could call on a CPU for the same product: torch's own quantised operators, and torchao."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

CHANNELS_LAST = "torch FP32, channels_last in and out"
BARE = "torch._int_mm, bare"
ENGINES = ("onednn", "fbgemm", "x86")
Rival = tuple[str, str, str, Callable[[], Any]]
"""Name, precision, role and call, as in ``Candidate``."""


def linear_rivals(module: nn.Module, x: Tensor) -> Iterator[Rival]:
    """Yield torch's dynamic INT8 with each of its engines, torchao's, and the bare INT8 product."""
    assert isinstance(module, nn.Linear)
    weight, bias = module.weight.detach(), module.bias
    operators = torch.ops.quantized
    quantized = _per_channel(weight)
    for engine in _engines():
        packed = _with_engine(engine, partial(operators.linear_prepack, quantized, bias))
        yield f"quantized::linear_dynamic, {engine}", "int8", "rival", partial(operators.linear_dynamic, x, packed)
    if importlib.util.find_spec("torchao") is not None:
        yield "torchao, eager dynamic INT8", "int8", "rival", partial(_by_torchao(module), x)
    codes = torch.randint(-127, 128, x.shape, dtype=torch.int8)
    columns = torch.randint(-127, 128, weight.shape, dtype=torch.int8).t()
    yield BARE, "int8", "bare", partial(torch._int_mm, codes, columns)


def conv_rivals(module: nn.Module, x: Tensor) -> Iterator[Rival]:
    """Yield FP32 in channels_last, and torch's static INT8 with each of its engines; neither with a cast."""
    assert isinstance(module, nn.Conv2d)
    wide = x.contiguous(memory_format=torch.channels_last)
    last = copy.deepcopy(module).to(memory_format=torch.channels_last)
    yield CHANNELS_LAST, "fp32", "rival", partial(last, wide)
    (scale, zero), given = _range_scale(x), _range_scale(module(x))
    codes = torch.quantize_per_tensor(wide, scale, zero, torch.quint8)
    settings = list(module.stride), [module.padding[0], module.padding[1]], [1, 1], 1  # type: ignore[list-item]
    for engine in _engines():
        pack = partial(torch.ops.quantized.conv2d_prepack, _per_channel(module.weight.detach()), module.bias, *settings)
        call = partial(torch.ops.quantized.conv2d, codes, _with_engine(engine, pack), *given)
        yield f"quantized::conv2d, {engine}", "int8_static", "rival", call


def _engines() -> list[str]:
    """The engines of torch's quantised operators that this build has."""
    return [name for name in ENGINES if name in torch.backends.quantized.supported_engines]


def _range_scale(x: Tensor) -> tuple[float, int]:
    """Scale and zero point of UINT8 codes from the least to the largest value."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = (high - low) / 255 or 1.0
    return scale, round(-low / scale)


def _per_channel(weight: Tensor) -> Tensor:
    scale = (weight.abs().flatten(1).amax(1) / 127).clamp_min(1e-12)
    return torch.quantize_per_channel(weight, scale.double(), torch.zeros(len(scale)).long(), 0, torch.qint8)


def _with_engine(engine: str, pack: Callable[[], Any]) -> Any:
    """Return what ``pack`` makes under an engine of torch's (a setting of the process: set and restored)."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pack()
    finally:
        torch.backends.quantized.engine = before


def _by_torchao(module: nn.Linear) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        holder = nn.Sequential(copy.deepcopy(module))
        quantize_(holder, Int8DynamicActivationInt8WeightConfig())
    return holder
