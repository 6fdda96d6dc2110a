"""Compile every kernel for a GPU that is not here: `python compile_ahead.py 90` prints one JSON line for each.

The interpreter accepts much that the compiler refuses (types above all), so this is the other half of the check.
Nothing is launched: the functions run on CPU tensors up to the point where Triton would call the driver.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class AbsentGpu:
    """The part of a driver that compiling needs."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


compile_or_launch = JITFunction.run


def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
    kernel = compile_or_launch(self, *args, grid=grid, warmup=True, **options)
    code = kernel.asm["ptx"]
    line = {
        "kernel": self.fn.__name__,
        "wgmma": "wgmma.mma_async" in code,
        "mma": "mma.sync" in code,
        "copies": "cp.async" in code,
        "activation": options.get("ACTIVATION"),
        "rounds_each_step": not any(word in code for word in ("fma.rn.f32", ".ftz", "div.full", "div.approx")),
        "shared_bytes": kernel.metadata.shared,
        "binary_bytes": len(kernel.asm["cubin"]),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return kernel


def compile_all(capability: int) -> None:
    """Call every kernel once on each of its paths."""
    from explorer.formats import Quantized, Scheme, quantize
    from explorer.kernels import ACTIVATIONS, StaticScale
    from explorer.kernels.carriers import STATIC
    from explorer.kernels.triton import fp8_matmul as fp8
    from explorer.kernels.triton import int8_matmul as int8
    from explorer.kernels.triton import quantize_rows as rows
    from explorer.kernels.triton import weight_only as weights
    from explorer.kernels.triton.activations import activate_tensor
    from explorer.kernels.triton.epilogue import Epilogue
    from explorer.kernels.triton.packed import pack_int4, pack_int8
    from explorer.kernels.triton.quantize_static import quantize_static as static_codes
    from explorer.kernels.triton.ranges import RangeCounts, candidates

    for name, width in (("int8", 1024), ("fp8_e4m3", 20_000), ("fp8_e5m2", 100)):
        rows.quantize_rows(torch.zeros(32, width, dtype=torch.bfloat16), name)
    static_codes(torch.zeros(4096), StaticScale(0.5, 3))
    bias = torch.zeros(256)
    for depth, activation in ((512, "gelu"), (100, "silu"), (512, "relu")):
        a, b = torch.zeros(128, depth).char(), torch.zeros(256, depth).char()
        epilogue = Epilogue(bias, activation, torch.zeros(128, 256), torch.bfloat16)
        int8.int8_matmul(a, b, torch.ones(128), torch.ones(256), epilogue, int8.candidates(128)[-1])
    one, fixed = torch.ones(()), StaticScale(0.5, 3)
    static = int8.Static(one, torch.zeros(256, dtype=torch.int32))
    residual = Quantized(torch.zeros(128, 256).byte(), one, one, STATIC, torch.float32)
    epilogue = Epilogue(bias, "relu", residual, codes=fixed, marks=torch.ones(()))
    int8.int8_matmul(a.view(torch.uint8), b, one, torch.ones(256), epilogue, int8.candidates(128)[-1], static)
    for activation in ACTIVATIONS:
        activate_tensor(bias, activation)
    if capability >= 89:
        a, b = (torch.zeros(size, 512).to(torch.float8_e4m3fn) for size in (128, 256))
        epilogue = Epilogue(bias.bfloat16(), output=torch.bfloat16)
        fp8.fp8_matmul(a, b, torch.ones(128), torch.ones(256), epilogue, fp8.candidates(128)[-1])
        fp8.fp8_matmul(a, b, torch.ones(128, 4), torch.ones(2, 4), epilogue, fp8.candidates(128)[-1])
    weight = torch.randn(256, 512)
    for group, symmetric, dtype in ((32, True, torch.bfloat16), (128, False, torch.float16)):
        packed = pack_int4(quantize(weight, Scheme("int4", "group", group=group, symmetric=symmetric)))
        weights.weight_only_matmul(torch.zeros(1, 512, dtype=dtype), packed, config=weights.candidates(1, packed)[1])
        packed8 = pack_int8(quantize(weight, Scheme("int8", "channel", axis=0)))
        weights.weight_only_matmul(torch.zeros(1, 512, dtype=dtype), packed8, config=weights.candidates(1, packed8)[1])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        RangeCounts.empty("cpu").add(torch.zeros(40_960, dtype=dtype), candidates(dtype)[0])


if __name__ == "__main__":
    assert not triton.knobs.runtime.interpret
    driver.set_active(AbsentGpu(int(sys.argv[1])))
    JITFunction.run = compile_only
    compile_all(int(sys.argv[1]))
