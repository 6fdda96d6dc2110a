"""Every case of the GPU kernels: tensors, the launches to try, what must come out, and what torch offers instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import Matrix
from benchmarks.cases import cases as model_cases
from explorer.formats import Quantized, Scheme, quantize
from explorer.kernels.cpu import scale_product
from explorer.kernels.stored import Int4Weight, store_int4
from explorer.kernels.triton import fp8_matmul as fp8
from explorer.kernels.triton import int8_matmul as int8
from explorer.kernels.triton import quantize_rows as rows
from explorer.kernels.triton import ranges
from explorer.kernels.triton import weight_only as weights
from explorer.kernels.triton.epilogue import Epilogue
from explorer.kernels.triton.packed import pack_int4, pack_int8
from explorer.kernels.triton.tuning import Config
from explorer.ranges import Counter, Histogram

BF16, E4M3 = torch.bfloat16, torch.float8_e4m3fn
FEW = 16
"""Rows up to which the weight is what takes the time, as in decoding."""
LAUNCH_BYTES = 16 << 20
"""What the memory moves in some microseconds: below, launching takes as long as reading, and no bar is set."""


@dataclass(frozen=True)
class Sizes:
    """How large the cases are, and where their tensors live.

    products: name and rows, depth and width. cubes: M, N and K of more FP8 products. activations: what is quantised.
    elements: what is counted.
    """

    device: str = "cuda"
    products: tuple[tuple[str, Matrix], ...] = field(default_factory=lambda: named_products())
    cubes: tuple[int, ...] = (4096, 8192)
    activations: tuple[tuple[int, int], ...] = ((1576, 768), (4096, 4096), (4096, 14336), (1, 4096))
    elements: int = 1 << 27


def named_products() -> tuple[tuple[str, Matrix], ...]:
    """Return the matrix products of ResNet-50, ViT-B, BERT-base and Llama-8B at prefill and decode, each shape once."""
    shapes = ((case.name, case.shape) for case in model_cases())
    return tuple((name, shape) for name, shape in shapes if isinstance(shape, Matrix))


@dataclass(frozen=True, eq=False)
class Case:
    """One kernel at one shape.

    run: launches it under a configuration, or under the tuned one. check: raises where what came out is wrong; what is
    right is computed at its first call. launches: what may be chosen. moved: bytes that must be read and written at
    least. operations: of the product, 0 where there is none. rivals: what else a user could call for the same result,
    by name. bar: a rival and how many times its speed is wanted, or "copy" and the share of a copy's bandwidth.
    """

    part: str
    name: str
    run: Callable[[Config | None], Any]
    check: Callable[[Any], None]
    launches: tuple[Config, ...]
    moved: int
    operations: int = 0
    rivals: dict[str, Callable[[], Any]] = field(default_factory=dict)
    bar: tuple[str, float] | None = None


def cases(sizes: Sizes) -> Iterator[Case]:
    """Every case, made when it is asked for, so that one at a time is in memory. FP8 products need sm_89."""
    torch.manual_seed(0)
    has_fp8 = sizes.device == "cpu" or torch.cuda.get_device_capability() >= (8, 9)
    for rows_columns in sizes.activations:
        for name in ("int8", "fp8_e4m3"):
            yield quantize_case(name, _normal(rows_columns, sizes.device).to(BF16))
    normal = _normal((sizes.elements,), sizes.device)
    octaves = torch.randint(-60, 60, normal.shape, device=sizes.device)
    for name, x in (("FP32", normal), ("BF16", normal.to(BF16)), ("FP32, 120 octaves", normal * 2.0**octaves)):
        yield range_case(name, x)
    for side in sizes.cubes if has_fp8 else ():
        x, weight = (_normal((side, side), sizes.device) for _ in range(2))
        yield from fp8_cases(f"cube of {side}", x, weight)
    for name, shape in sizes.products:
        weight = _normal((shape.width, shape.depth), sizes.device)
        x = _normal((shape.rows, shape.depth), sizes.device)
        yield int8_case(name, x, weight)
        if shape.rows > FEW and has_fp8 and shape.depth % FEW == shape.width % FEW == 0:
            yield from fp8_cases(name, x, weight)
        if shape.rows <= FEW:
            yield from weight_cases(name, x.to(BF16), weight)


def _normal(shape: tuple[int, ...], device: str) -> Tensor:
    return torch.randn(shape, device=device)


def quantize_case(name: str, x: Tensor) -> Case:
    """Activations [M, K] to a format, one scale a row."""
    scheme = Scheme(name, "token")
    return Case(
        "quantise rows",
        f"{name} {list(x.shape)} {x.dtype}",
        lambda config: rows.quantize_rows(x, name, config),
        partial(_check_quantized, cache(lambda: quantize(x.cpu(), scheme))),
        rows.candidates(x.shape[1]),
        x.nbytes + x.numel() + 4 * len(x),
        rivals={"torch operations": partial(quantize, x, scheme)},
        bar=("copy", 0.8) if x.nbytes > LAUNCH_BYTES else None,
    )


def _check_quantized(reference: Callable[[], Quantized], got: tuple[Tensor, Tensor]) -> None:
    """Against the CPU, whose division is IEEE's: on a GPU torch divides by a number by multiplying with its inverse."""
    wanted = reference()
    assert torch.equal(got[0].cpu().view(torch.int8), wanted.codes.view(torch.int8)), "codes differ"
    assert torch.equal(got[1].cpu(), wanted.scale), "scales differ"


def int8_case(name: str, x: Tensor, weight: Tensor) -> Case:
    """INT8 codes times INT8 codes, with scales and a bias, FP32 out."""
    a, b = quantize(x, Scheme("int8", "token")), quantize(weight, Scheme("int8", "channel", axis=0))
    scales = a.scale.reshape(-1), b.scale.reshape(-1)
    bias, count = weight[:, 0].contiguous(), len(x)
    padded = torch.cat([a.codes, a.codes.new_zeros(32 - count, x.shape[1])]) if count <= FEW else a.codes

    def by_torch() -> Tensor:
        return scale_product(torch._int_mm(padded, b.codes.t())[:count], *scales, bias)

    def exact() -> Tensor:
        sums = (a.codes.double() @ b.codes.double().t()).to(torch.int32)  # of integers below 2**53: exact
        return scale_product(sums, *scales, bias)

    return Case(
        "int8 product",
        name,
        lambda config: int8.int8_matmul(a.codes, b.codes, *scales, Epilogue(bias), config),
        partial(_check_equal, cache(exact)),
        int8.candidates(count),
        a.codes.nbytes + b.codes.nbytes + 4 * count * len(weight),
        2 * count * weight.numel(),
        {"_int_mm + epilogue": by_torch, "BF16 linear": _bf16_linear(x, weight)},
        ("_int_mm + epilogue", 1.0),
    )


def _bf16_linear(x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    return partial(torch.nn.functional.linear, x.to(BF16), weight.to(BF16))


def _check_equal(reference: Callable[[], Tensor], got: Tensor) -> None:
    assert torch.equal(got, reference()), f"differs by up to {(got - reference()).abs().max()}"


def fp8_cases(name: str, x: Tensor, weight: Tensor) -> Iterator[Case]:
    """FP8 codes times FP8 codes with scales of rows, and of blocks of 128, BF16 out."""
    a, b = x.to(E4M3), weight.to(E4M3)
    (count, depth), width, device = x.shape, len(weight), x.device
    blocks, tall = -(-depth // fp8.BLOCK), -(-width // fp8.BLOCK)
    of_rows = torch.rand(count, device=device), torch.rand(width, device=device)
    of_blocks = torch.rand(count, blocks, device=device), torch.rand(tall, blocks, device=device)

    def by_torch() -> Tensor:
        return torch._scaled_mm(a, b.t(), of_rows[0][:, None], of_rows[1][None, :], out_dtype=BF16)

    for label, scales in (("rows", of_rows), ("blocks", of_blocks)):
        yield Case(
            "fp8 product",
            f"{name}, scales of {label}",
            lambda config, scales=scales: fp8.fp8_matmul(a, b, *scales, Epilogue(output=BF16), config),  # type: ignore[misc,call-arg]
            partial(_check_near, cache(partial(_product, _values(a, scales[0]), _values(b, scales[1]))), 2**-12),
            fp8.candidates(count, label == "blocks"),
            a.nbytes + b.nbytes + 2 * count * width,
            2 * count * weight.numel(),
            {"BF16 linear": _bf16_linear(x, weight), "_scaled_mm by rows": by_torch},
            ("BF16 linear", 1.5) if label == "rows" and min(count, width, depth) >= 4096 else None,
        )


def _values(codes: Tensor, scale: Tensor) -> Callable[[], Tensor]:
    """A function that gives the FP64 values of FP8 codes under scales of rows or of blocks."""
    tall = -(-codes.shape[0] // scale.shape[0]) if scale.ndim == 1 or len(scale) == len(codes) else fp8.BLOCK
    wide = codes.shape[1] if scale.ndim == 1 else fp8.BLOCK
    spread = scale.reshape(len(scale), -1).double().repeat_interleave(tall, 0).repeat_interleave(wide, 1)
    return lambda: codes.double() * spread[: codes.shape[0], : codes.shape[1]]


def _product(left: Callable[[], Tensor], right: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """The FP64 product, and that of the magnitudes."""
    x, w = left(), right()
    return x @ w.t(), x.abs() @ w.abs().t()


def _check_near(reference: Callable[[], tuple[Tensor, Tensor]], share: float, got: Tensor) -> None:
    """Within ``share`` of the sums of magnitudes, and half a step of BF16."""
    exact, magnitudes = reference()
    worst = float(((got.double() - exact).abs() / (magnitudes * share + exact.abs() * 2**-8)).max())
    assert worst <= 1.0, f"{worst:.2f} times the error allowed"


def weight_cases(name: str, x: Tensor, weight: Tensor) -> Iterator[Case]:
    """BF16 activations times INT4 weights in groups of 32 and 128, and INT8 weights; BF16 out."""
    bf16 = {"BF16 linear": _bf16_linear(x, weight)}
    for precision, group in (("w4", 32), ("w4_g128", 128)):
        stored = store_int4(weight, precision)
        rivals = {**bf16, "_weight_int4pack_mm": _int4_by_torch(x, stored)}
        yield _weight_case(f"INT4 in groups of {group}, {name}", x, stored.values, pack_int4(stored), rivals)
    codes = quantize(weight, Scheme("int8", "channel", axis=0))
    yield _weight_case(f"INT8, {name}", x, codes.dequantize, pack_int8(codes), bf16)


def _weight_case(
    name: str, x: Tensor, values: Callable[[], Tensor], packed: Any, rivals: dict[str, Callable[[], Any]]
) -> Case:
    held = packed.codes.nbytes + packed.scale.nbytes
    return Case(
        "weight only",
        name,
        lambda config: weights.weight_only_matmul(x, packed, Epilogue(output=BF16), config),
        partial(_check_near, cache(partial(_product, x.double, lambda: values().double())), 2**-16),
        weights.candidates(len(x), packed),
        held + x.nbytes + 2 * len(x) * packed.shape[0],
        2 * len(x) * packed.shape[0] * packed.shape[1],
        rivals,
        ("copy", 0.7) if "INT4" in name and held > LAUNCH_BYTES else None,
    )


def _int4_by_torch(x: Tensor, stored: Int4Weight) -> Callable[[], Tensor]:
    """Torch's own INT4 product, of the same stored weight: two codes a byte, the even one in the high half."""

    @cache
    def pack() -> tuple[Tensor, Tensor]:
        both = torch.stack([stored.scale.t(), torch.zeros_like(stored.scale).t()], dim=2).contiguous()
        pairs = (stored.codes[:, ::2] << 4 | stored.codes[:, 1::2]).contiguous()
        return torch._convert_weight_to_int4pack(pairs, 8), both

    def run() -> Tensor:
        packed, scales = pack()
        return torch._weight_int4pack_mm(x, packed, stored.group, scales)

    return run


def range_case(name: str, x: Tensor) -> Case:
    """The range of a flat tensor."""
    return Case(
        "range",
        f"{x.numel()} elements, {name}",
        partial(_count, x),
        partial(_check_counts, cache(partial(_histogram, x))),
        ranges.candidates(x.dtype),
        x.nbytes,
        rivals={"torch.aminmax": partial(torch.aminmax, x)},
        bar=("copy", 0.8) if "octaves" not in name else None,
    )


def _count(x: Tensor, config: Config | None) -> ranges.RangeCounts:
    counts = ranges.RangeCounts.empty(x.device)
    counts.add(x, config)
    return counts


def _histogram(x: Tensor) -> Histogram:
    counter = Counter(ranges.BITS, compiled=False)
    counter.see(x)
    return Histogram(ranges.BITS, *counter.read())


def _check_counts(reference: Callable[[], Histogram], got: ranges.RangeCounts) -> None:
    assert got.read() == reference(), "the counts differ"
