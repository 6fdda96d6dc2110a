"""Every kernel writes all of its output, and nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.formats import Scheme, quantize
from explorer.kernels.triton.epilogue import Epilogue
from explorer.kernels.triton.fp8_matmul import candidates as fp8_launches
from explorer.kernels.triton.fp8_matmul import fp8_matmul
from explorer.kernels.triton.int8_matmul import candidates as int8_launches
from explorer.kernels.triton.int8_matmul import int8_matmul
from explorer.kernels.triton.packed import pack_int4, pack_int8
from explorer.kernels.triton.quantize_rows import quantize_rows
from explorer.kernels.triton.tuning import Config
from explorer.kernels.triton.weight_only import candidates as weight_only_launches
from explorer.kernels.triton.weight_only import weight_only_matmul

HAS_GPU = torch.cuda.is_available()
NEEDS_FP8 = pytest.mark.skipif(
    HAS_GPU and torch.cuda.get_device_capability() < (8, 9), reason="FP8 products need an sm_89 GPU"
)
ROWS, COLUMNS, DEPTH = 5, 33, 96
MARGIN = 4096
POISON = 0x5B


class Rooms:
    """Stands for ``torch.empty``: the middle of a larger block of memory, all of it poisoned."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Tensor, int]] = []

    def empty(self, *size: Any, dtype: torch.dtype = torch.float32, device: Any = "cpu") -> Tensor:
        shape = tuple(size[0]) if isinstance(size[0], (tuple, list)) else size
        count = math.prod(shape) * dtype.itemsize
        block = torch.full((count + 2 * MARGIN,), POISON, dtype=torch.uint8, device=device)
        self.blocks.append((block, count))
        return block[MARGIN : MARGIN + count].view(dtype).view(shape)

    def check(self) -> None:
        """Raise where the margins were written to, or a run of the middle was not."""
        assert self.blocks
        for block, count in self.blocks:
            assert (block[:MARGIN] == POISON).all() and (block[MARGIN + count :] == POISON).all()
            untouched = (block[MARGIN : MARGIN + count] == POISON).float().mean()
            assert untouched < 0.1, "by chance one byte in 256 looks untouched"


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rooms]:
    kept = Rooms()
    monkeypatch.setattr(torch, "empty", kept.empty)
    yield kept
    monkeypatch.undo()
    kept.check()


def small(depth: int | None = 64, **blocks: int) -> tuple[Config, ...]:
    return (Config.of(4, 1, BLOCK_M=16, BLOCK_N=32, **({} if depth is None else {"BLOCK_K": depth}), **blocks),)


@pytest.mark.parametrize("format", ["int8", "fp8_e4m3"])
def test_quantised_rows(format: str, device: str, rooms: Rooms) -> None:
    quantize_rows(torch.randn(ROWS, 75, device=device), format, Config.of(4, 1, ROWS=4, BLOCK=128))
    quantize_rows(torch.randn(ROWS, 75, device=device), format, Config.of(4, 1, ROWS=4, BLOCK=32))


def test_int8_product(device: str, rooms: Rooms) -> None:
    a, b = (torch.randint(-127, 128, (size, DEPTH), dtype=torch.int8, device=device) for size in (ROWS, COLUMNS))
    scales = torch.rand(ROWS, device=device), torch.rand(COLUMNS, device=device)
    for config in int8_launches(ROWS) if HAS_GPU else small(GROUP_M=2):
        int8_matmul(a, b, *scales, config=config)


@NEEDS_FP8
@pytest.mark.parametrize("output", [torch.float32, torch.bfloat16], ids=str)
def test_fp8_product(output: torch.dtype, device: str, rooms: Rooms) -> None:
    a, b = (torch.randn(size, DEPTH, device=device).to(torch.float8_e4m3fn) for size in (ROWS, COLUMNS))
    for config in fp8_launches(ROWS) if HAS_GPU else small(128, GROUP_M=2):
        for shapes in (((ROWS,), (COLUMNS,)), ((ROWS, 1), (1, 1))):
            scales = (torch.rand(shape, device=device) for shape in shapes)
            fp8_matmul(a, b, *scales, Epilogue(output=output), config)


@pytest.mark.parametrize("pack", ["int4", "int8"])
def test_weight_only_product(pack: str, device: str, rooms: Rooms) -> None:
    """With K split, the parts are such memory too."""
    weight = torch.randn(COLUMNS, DEPTH, device=device)
    make: Callable[[], Any] = {
        "int4": lambda: pack_int4(quantize(weight, Scheme("int4", "group", group=32))),
        "int8": lambda: pack_int8(quantize(weight, Scheme("int8", "channel", axis=0))),
    }[pack]
    packed = make()
    depth = None if pack == "int4" else 32
    few = (*small(depth, SPLIT=1), *small(depth, SPLIT=2))
    for config in weight_only_launches(ROWS, packed) if HAS_GPU else few:
        weight_only_matmul(torch.randn(ROWS, DEPTH, device=device).bfloat16(), packed, Epilogue(), config)
