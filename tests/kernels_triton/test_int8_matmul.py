"""INT8 products: sums exact, and the epilogue bit for bit that of plain torch."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.errors import PrecisionError
from explorer.formats import Quantized, quantize
from explorer.kernels import ACTIVATIONS, StaticScale
from explorer.kernels.carriers import STATIC
from explorer.kernels.cpu import scale_product
from explorer.kernels.triton.activations import activate_tensor
from explorer.kernels.triton.epilogue import Epilogue
from explorer.kernels.triton.int8_matmul import Static, candidates, int8_matmul
from explorer.kernels.triton.tuning import Config

HAS_GPU = torch.cuda.is_available()

SHAPES = ((1, 1, 1), (1, 64, 128), (5, 33, 70), (17, 31, 33), (40, 65, 64), (3, 8, 200), (0, 5, 7), (4, 0, 7))
SMALL = Config.of(4, 1, BLOCK_M=16, BLOCK_N=32, BLOCK_K=64, GROUP_M=2)
CURVES = {
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": partial(torch.nn.functional.gelu, approximate="tanh"),
    "silu": torch.nn.functional.silu,
}


def launches(rows: int) -> tuple[Config, ...]:
    """On a GPU the ends of the table, whose whole the benchmark checks; else what is quick to interpret."""
    return (candidates(rows)[0], candidates(rows)[-1]) if HAS_GPU else (SMALL,)


def operands(rows: int, columns: int, depth: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a = torch.randint(-127, 128, (rows, depth), dtype=torch.int8)
    b = torch.randint(-127, 128, (columns, depth), dtype=torch.int8)
    return tuple(t.to(device) for t in (a, b, torch.rand(rows), torch.rand(columns)))  # type: ignore[return-value]


def exact_sums(a: Tensor, b: Tensor) -> Tensor:
    return (a.cpu().long() @ b.cpu().long().t()).int()


def quantized(x: Tensor, fixed: StaticScale) -> Quantized:
    """x in UINT8 codes by plain torch."""
    scale, zero_point = (torch.tensor(float(part), device=x.device) for part in (fixed.scale, fixed.zero_point))
    return quantize(x, STATIC, scale, zero_point)


@pytest.mark.parametrize(("rows", "columns", "depth"), SHAPES)
@pytest.mark.parametrize("relu", [False, True])
def test_equals_plain_torch_bit_for_bit(rows: int, columns: int, depth: int, relu: bool, device: str) -> None:
    a, b, row_scale, column_scale = operands(rows, columns, depth, device)
    bias, addend = torch.randn(columns, device=device), torch.randn(rows, columns, device=device)
    scaled = scale_product(exact_sums(a, b), row_scale.cpu(), column_scale.cpu(), bias.cpu(), addend.cpu())
    epilogue = Epilogue(bias, "relu" if relu else "", addend)
    for config in launches(rows):
        got = int8_matmul(a, b, row_scale, column_scale, epilogue, config)
        assert torch.equal(got.cpu(), scaled.relu() if relu else scaled), config


@pytest.mark.parametrize(("rows", "columns", "depth"), SHAPES)
@pytest.mark.parametrize("zero_point", [0, 3, 128, 255])
def test_static_activations_equal_plain_torch_bit_for_bit(
    rows: int, columns: int, depth: int, zero_point: int, device: str
) -> None:
    _, b, _, column_scale = operands(rows, columns, depth, device)
    a = torch.randint(0, 256, (rows, depth), dtype=torch.uint8, device=device)
    bias, scale = torch.randn(columns, device=device), torch.tensor(0.037, device=device)
    sums = (a.cpu().long() - zero_point) @ b.cpu().long().t()
    wanted = sums.float() * scale.cpu() * column_scale.cpu() + bias.cpu()
    static = Static(torch.tensor(float(zero_point), device=device), b.sum(1, dtype=torch.int32))
    for config in launches(rows):
        got = int8_matmul(a, b, scale, column_scale, Epilogue(bias), config, static)
        assert torch.equal(got.cpu(), wanted), config


@pytest.mark.parametrize("addend", ["none", "floats", "codes"])
@pytest.mark.parametrize("activation", ["", *ACTIVATIONS])
@pytest.mark.parametrize("codes", [None, StaticScale(0.021, 128), StaticScale(0.5, 7)], ids=["fp32", "codes", "wide"])
def test_what_follows_equals_the_separate_steps_bit_for_bit(
    addend: str, activation: str, codes: StaticScale | None, device: str
) -> None:
    a, b, row_scale, column_scale = operands(5, 33, 70, device)
    row_scale *= 1e-3
    bias, other = torch.randn(33, device=device), torch.randn(5, 33, device=device)
    stored = quantized(other, StaticScale(0.03, 99))
    after = {"none": None, "floats": other, "codes": stored}[addend]
    steps = scale_product(exact_sums(a, b), row_scale.cpu(), column_scale.cpu(), bias.cpu()).to(device)
    steps = steps if after is None else steps + (stored.dequantize() if addend == "codes" else other)
    steps = activate_tensor(steps, activation) if activation else steps
    marks = None if codes is None else torch.tensor(codes.scale, device=device)
    for config in launches(5)[:1]:  # each combination is another kernel to compile
        epilogue = Epilogue(bias, activation, after, codes=codes, marks=marks)
        got = int8_matmul(a, b, row_scale, column_scale, epilogue, config)
        assert torch.equal(got, steps if codes is None else quantized(steps, codes).codes), config
        assert marks is None or marks.isfinite()


def test_a_nan_among_codes_marks_their_scale(device: str) -> None:
    a, b, row_scale, column_scale = operands(6, 20, 40, device)
    row_scale[1], row_scale[4] = torch.nan, torch.inf
    a[4, :] = b[0] = 1
    fixed = StaticScale(0.5, 7)
    marks = torch.tensor(fixed.scale, device=device)
    got = int8_matmul(a, b, row_scale, column_scale, Epilogue(codes=fixed, marks=marks), launches(6)[0])
    steps = scale_product(exact_sums(a, b), row_scale.cpu(), column_scale.cpu(), None)
    assert steps.isinf().any() and steps.isnan().any()
    assert marks.isnan() and torch.equal(got.cpu(), quantized(steps, fixed).codes)


@pytest.mark.parametrize("code", [127, -127])
def test_longest_sums_do_not_overflow(code: int, device: str) -> None:
    depth = 133_120
    a = torch.full((2, depth), code, dtype=torch.int8, device=device)
    b = torch.full((3, depth), 127, dtype=torch.int8, device=device)
    config = Config.of(4, 2, BLOCK_M=16, BLOCK_N=16, BLOCK_K=4096 if not HAS_GPU else 128, GROUP_M=1)
    got = int8_matmul(a, b, torch.ones(2, device=device), torch.ones(3, device=device), config=config)
    assert torch.equal(got.cpu(), torch.full((2, 3), code * 127 * depth).float())


@pytest.mark.parametrize("activation", CURVES)
@pytest.mark.parametrize("output", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_curves_and_outputs(activation: str, output: torch.dtype, device: str) -> None:
    """Within 4 ulps of FP32 for the curve (a GPU's exponential has 2), and half a step of the output."""
    a, b, _, column_scale = operands(9, 40, 50, device)
    row_scale = torch.logspace(-7, -2, 9, device=device)
    got = int8_matmul(a, b, row_scale, column_scale, Epilogue(None, activation, None, output), launches(9)[0])
    scaled = exact_sums(a, b).double() * row_scale.cpu().double()[:, None] * column_scale.cpu().double()
    wanted = CURVES[activation](scaled)
    # Where the curve nears zero from below, what is lost is relative to what it is the difference of.
    room = 2**-21 * scaled.abs() + torch.finfo(output).eps / 2 * wanted.abs() + torch.finfo(output).smallest_normal
    assert got.dtype == output
    assert ((got.cpu().double() - wanted).abs() <= room).all()


def test_rounding_to_bf16_is_to_nearest_even(device: str) -> None:
    """Sums with scale 1 are integers; those beyond 256 fall between BF16's values, half of them on ties."""
    a = torch.arange(-127, 128, dtype=torch.int8, device=device).unsqueeze(1)
    b = torch.tensor([[3], [5], [7], [127]], dtype=torch.int8, device=device)
    ones = torch.ones(255, device=device)
    got = int8_matmul(a, b, ones, ones[:4], Epilogue(output=torch.bfloat16), launches(255)[0])
    assert torch.equal(got.cpu(), exact_sums(a, b).bfloat16())


def test_nan_and_inf_stay_in_their_row(device: str) -> None:
    a, b, row_scale, column_scale = operands(6, 20, 40, device)
    row_scale[1], row_scale[4] = torch.nan, torch.inf
    a[4] = 0
    for activation in ("", *ACTIVATIONS):
        epilogue = Epilogue(None, activation)
        got = int8_matmul(a, b, row_scale, column_scale, epilogue, launches(6)[0]).cpu()
        assert got[[1, 4]].isnan().all(), "a NaN or Inf must never look like a number"
        assert got[[0, 2, 3, 5]].isfinite().all()


def test_rows_that_lie_apart(device: str) -> None:
    wide = torch.randint(-127, 128, (9, 96), dtype=torch.int8, device=device)
    a, b = wide[::2, 8:72], wide[1::2, 32:]
    ones = torch.ones(9, device=device)
    got = int8_matmul(a, b[:, :64], ones[:5], ones[:4], config=launches(5)[0])
    assert torch.equal(got.cpu(), exact_sums(a, b[:, :64]).float())


@pytest.mark.parametrize(
    ("a", "b", "scales", "found"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), (2, 2), "float32"),
        (torch.zeros(2, 3).char(), torch.zeros(2, 4).char(), (2, 2), "INT8"),
        (torch.zeros(3, 2).char().t(), torch.zeros(2, 3).char(), (2, 2), "strides"),
        (torch.zeros(2, 3).char(), torch.zeros(4, 3).char(), (2, 2), r"\[2\] and \[2\]"),
        (torch.zeros(1, 1).char().expand(2, 200_000).contiguous(), torch.zeros(1, 200_000).char(), (2, 1), "INT32"),
    ],
)
def test_what_does_not_fit_is_said(a: Tensor, b: Tensor, scales: tuple[int, int], found: str) -> None:
    with pytest.raises(PrecisionError, match=found):
        int8_matmul(a, b, torch.ones(scales[0]), torch.ones(scales[1]), config=SMALL)


def test_an_epilogue_that_does_not_fit_is_said(device: str) -> None:
    with pytest.raises(PrecisionError, match="no activation 'tanh'"):
        Epilogue(activation="tanh")
    with pytest.raises(PrecisionError, match="float64"):
        Epilogue(output=torch.float64)
    with pytest.raises(PrecisionError, match=r"bias has shape \[3\]"):
        Epilogue(torch.zeros(3)).fitted(2, 4)
    with pytest.raises(PrecisionError, match=r"addend has shape \[3\]"):
        Epilogue(addend=torch.zeros(3)).fitted(2, 4)
