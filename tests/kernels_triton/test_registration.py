"""Our GPU kernels as kernels of the table: against their emulated twins, and every refusal in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.formats import Quantized, quantize
from explorer.graph import capture
from explorer.kernels import (
    ACTIVATIONS,
    CARRIERS,
    Kernel,
    Post,
    Site,
    StaticScale,
    choose,
    cuda,
    cuda_casts,
    cuda_triton,
    cuda_weight_only,
    reference,
    triton,
)  # fmt: skip
from explorer.kernels import KERNELS as TABLE
from explorer.kernels.carriers import STATIC
from explorer.kernels.triton.activations import activate_tensor
from explorer.measure import Device
from explorer.precision import PRECISIONS

KERNELS = (*cuda_triton.KERNELS, *(k for k in cuda_weight_only.KERNELS if k.name.startswith("Triton")))
TORCHS = tuple(k for k in (*cuda.KERNELS, *cuda_weight_only.KERNELS) if not k.name.startswith("Triton"))
FIXED = StaticScale(0.03, 117)
AMPERE = Device("cuda", "invented sm_80", 1, (), (8, 0))
HOPPER = Device("cuda", "invented sm_90", 1, (), (9, 0))
BLACKWELL = Device("cuda", "invented sm_100", 1, (), (10, 0))
TURING = Device("cuda", "invented sm_75", 1, (), (7, 5))


def site_of(module: nn.Module, *inputs: Tensor) -> Site:
    graph = capture(module.eval(), inputs)
    (op,) = graph.rows
    constants = {name: graph.constants[name] for name in op.refs if name in graph.constants}
    shapes = {name: tuple(x.shape) for name, x in zip(graph.inputs, inputs, strict=True)}
    return Site(op, constants, shapes, frozenset(shapes))


def linear_site(rows: int, depth: int, width: int, bias: bool, device: str) -> tuple[Site, Tensor]:
    x = torch.randn(2, rows, depth)
    site = site_of(nn.Linear(depth, width, bias=bias), x)
    return replace(site, constants={name: tensor.to(device) for name, tensor in site.constants.items()}), x.to(device)


def twin_of(kernel: Kernel) -> Kernel:
    (twin,) = (k for k in reference.KERNELS if k.precision == kernel.precision and k.serves("linear"))
    return twin


def carried(kernel: Kernel, x: Tensor) -> Any:
    carrier = CARRIERS[kernel.takes]
    return carrier.convert(x, FIXED) if carrier.static else carrier.convert(x)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name} {kernel.precision}")
def test_takes_and_gives_what_its_precision_says(kernel: Kernel) -> None:
    precision, twin = PRECISIONS[kernel.precision], twin_of(kernel)
    assert kernel.gives == precision.output
    assert kernel.takes == twin.takes and kernel.kinds <= twin.kinds
    assert kernel in TABLE


@pytest.mark.parametrize(("rows", "depth", "width", "bias"), [(1, 128, 24, True), (5, 256, 33, False)])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name} {kernel.precision}")
def test_computes_what_its_twin_does(
    kernel: Kernel, rows: int, depth: int, width: int, bias: bool, device: str
) -> None:
    """INT8 bit for bit. The others add in another order, before one rounding to BF16."""
    if device == "cuda" and kernel.refuse(linear_site(1, 128, 8, bias, "cpu")[0], _this_gpu()):
        pytest.skip("this GPU is too old for it")
    site, x = linear_site(rows, depth, width, bias, device)
    assert kernel.refuse(site, HOPPER) == ""
    operand = carried(kernel, x)
    packed, twin = kernel.build(site), twin_of(kernel).build(site)
    got, wanted = packed.run(operand), twin.run(operand)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    assert packed.weight_bytes == twin.weight_bytes and packed.scale_bytes == twin.scale_bytes
    if kernel.precision.startswith("int8"):
        assert torch.equal(got, wanted)
    else:
        assert ((got - wanted).abs() <= 2 * 2**-8 * wanted.abs().max()).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch's own GPU kernels run on a GPU")
@pytest.mark.parametrize("kernel", TORCHS, ids=lambda kernel: f"{kernel.name} {kernel.precision}")
def test_torchs_kernels_compute_what_their_twins_do(kernel: Kernel) -> None:
    """INT8 bit for bit; the others within three roundings to BF16, of which torch makes one before it adds the bias."""
    site, x = linear_site(10, 256, 128, True, "cuda")
    if reason := kernel.refuse(site, _this_gpu()):
        pytest.skip(reason)
    operand = carried(kernel, x)
    got, wanted = kernel.build(site).run(operand), twin_of(kernel).build(site).run(operand)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    if kernel.precision == "int8":
        assert torch.equal(got, wanted)
    else:
        assert ((got - wanted).abs() <= 3 * 2**-8 * wanted.abs().max()).all()


def _this_gpu() -> Device:
    return Device("cuda", "this", 1, (), torch.cuda.get_device_capability())


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k.fuses], ids=lambda kernel: kernel.precision)
@pytest.mark.parametrize("activation", ["", *ACTIVATIONS])
@pytest.mark.parametrize(("addend", "codes"), [("", None), ("floats", FIXED), ("codes", FIXED), ("codes", None)])
def test_what_follows_equals_the_separate_steps_bit_for_bit(
    kernel: Kernel, activation: str, addend: str, codes: StaticScale | None, device: str
) -> None:
    site, x = linear_site(5, 48, 24, True, device)
    packed = kernel.build(site)
    other = torch.randn(24, 2, 5, device=device).movedim(0, -1)  # strided, as the residual of a patch embedding is
    term = CARRIERS["uint8:static"].convert(other, FIXED) if addend == "codes" else other
    before = other.clone()
    assert packed.extend is not None and {"addend", "codes", *ACTIVATIONS} == kernel.fuses
    run = packed.extend(Post(bool(addend), activation, codes))
    assert run is not None
    got = run(carried(kernel, x), *([term] if addend else []))
    steps = packed.run(carried(kernel, x))
    steps = steps if not addend else steps + (term.dequantize() if addend == "codes" else other)
    if activation:
        alone = cuda_triton.ACTIVATION_KERNELS[activation].build(site).run(steps)
        assert torch.equal(alone, activate_tensor(steps, activation))
        steps = alone
    if codes is None:
        assert torch.equal(got, steps)
    else:
        wanted = CARRIERS["uint8:static"].convert(steps, codes)
        assert torch.equal(got.codes, wanted.codes) and torch.equal(got.scale, wanted.scale)
        assert torch.equal(got.zero_point, wanted.zero_point) and got.scheme == STATIC
    assert torch.equal(other, before)


@pytest.mark.parametrize("name", ["int8:token", "fp8_e4m3:token", "fp8_e5m2:token"])
def test_carriers_convert_alike(name: str, device: str) -> None:
    scheme = CARRIERS[name].scheme
    assert scheme is not None
    x = torch.randn(2, 3, 40, device=device).bfloat16()
    same(cuda_casts.quantize_tokens(x, scheme), quantize(x.cpu(), scheme))


def test_groups_are_converted_alike(device: str) -> None:
    scheme = CARRIERS["fp8_e4m3:block128"].scheme
    assert scheme is not None
    x = torch.randn(2, 3, 256, device=device) * torch.logspace(-3, 3, 256, device=device)
    same(cuda_casts.quantize_groups(x, scheme), quantize(x.cpu(), scheme))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("special", [0.0, torch.inf, -torch.inf, torch.nan, 1e30])
def test_static_codes_are_converted_alike(dtype: torch.dtype, special: float, device: str) -> None:
    x = (torch.randn(3, 5, 430, device=device) * 10).to(dtype).transpose(0, 1)
    x[2, 1, 7] = special
    fixed = StaticScale(0.11, 131)
    got = cuda_casts.quantize_static(x, STATIC, fixed)
    wanted = quantize(x.cpu(), STATIC, torch.tensor(fixed.scale), torch.tensor(float(fixed.zero_point)))
    assert torch.equal(got.codes.cpu(), wanted.codes) and torch.equal(got.zero_point.cpu(), wanted.zero_point)
    assert torch.equal(got.scale.cpu(), wanted.scale) or (got.scale.isnan() and wanted.scale.isnan())


def same(got: Quantized, wanted: Quantized) -> None:
    assert torch.equal(got.dequantize().cpu(), wanted.dequantize()) and torch.equal(got.scale.cpu(), wanted.scale)
    assert (got.scheme, got.dtype, got.scale.shape) == (wanted.scheme, wanted.dtype, wanted.scale.shape)


@pytest.mark.parametrize(
    ("device", "precision", "depth", "reason"),
    [
        (TURING, "int8", 64, "our INT8 products need an sm_80 GPU; this is sm_75"),
        (TURING, "w4", 64, "our products with INT4 weights need an sm_80 GPU; this is sm_75"),
        (TURING, "int8_static", 64, "our INT8 products of static activations need an sm_80 GPU; this is sm_75"),
        (AMPERE, "fp8", 64, "our FP8 products need an sm_89 GPU; this is sm_80"),
        (AMPERE, "fp8_block", 128, "our FP8 products need an sm_89 GPU; this is sm_80"),
        (HOPPER, "fp8_block", 192, "blocks of 128 do not divide the 192 inputs of this op"),
        (HOPPER, "int8", 133_200, "our INT8 products need K <= 133144, for sums of INT32; here 133200"),
        (HOPPER, "w4_g128", 192, "groups of 128 do not divide the 192 inputs of this op"),
        (HOPPER, "w4", 48, "groups of 32 do not divide the 48 inputs of this op"),
    ],
)
def test_refusals_say_what_was_needed_and_found(device: Device, precision: str, depth: int, reason: str) -> None:
    site, _ = linear_site(4, depth, 16, True, "cpu")
    selection = choose(site, precision, device, KERNELS)
    assert selection.kernel is None
    assert selection.reason == reason


@pytest.mark.parametrize(
    ("device", "precision", "shape", "reason"),
    [
        (HOPPER, "int8", (8, 64, 64), "more than 16 rows; this op has 16"),
        (HOPPER, "int8", (32, 60, 64), "K, N % 8 == 0; here 60, 64"),
        (HOPPER, "fp8", (32, 64, 40), "K, N % 16 == 0; here 64, 40"),
        (HOPPER, "fp8_tensor", (32, 40, 64), "K, N % 16 == 0; here 40, 64"),
        (AMPERE, "fp8", (32, 64, 64), "row-scaled FP8 products need an sm_90 GPU; this is sm_80"),
        (AMPERE, "fp8_tensor", (32, 64, 64), "tensor-scaled FP8 products need an sm_89 GPU; this is sm_80"),
        (AMPERE, "fp8_block", (32, 128, 128), "block-scaled FP8 products need an sm_90 GPU; this is sm_80"),
        (BLACKWELL, "fp8_block", (32, 128, 128), "for sm_90 only; this is sm_100"),
        (HOPPER, "fp8_block", (32, 128, 200), "K, N % 128 == 0; here 128, 200"),
        (TURING, "tf32", (32, 64, 64), "TF32 needs an sm_80 GPU; this is sm_75"),
        (TURING, "w4", (2, 64, 64), "_weight_int4pack_mm needs an sm_80 GPU; this is sm_75"),
        (HOPPER, "w4", (2, 64, 60), "K % 32 == 0 and N % 8 == 0; here 64, 60"),
        (HOPPER, "w4", (40, 64, 64), "for up to 64 rows; this op has 80"),
        (HOPPER, "w4_g128", (2, 192, 64), "groups of 128 do not divide the 192 inputs"),
    ],
)
def test_torch_kernels_say_what_they_need(
    device: Device, precision: str, shape: tuple[int, int, int], reason: str
) -> None:
    selection = choose(linear_site(*shape, True, "cpu")[0], precision, device, TORCHS)
    assert selection.kernel is None
    assert reason in selection.reason


@pytest.mark.parametrize("precision", ["mxfp8", "mxfp6", "mxfp4", "nvfp4"])
def test_block_formats_need_newer_gpus(precision: str) -> None:
    selection = choose(linear_site(32, 64, 64, True, "cpu")[0], precision, HOPPER)
    assert selection.kernel is not None and selection.kernel.emulated
    assert "need an sm_100 GPU; this is sm_90" in selection.reason


def test_an_int8_convolution_is_emulated_and_says_why() -> None:
    selection = choose(site_of(nn.Conv2d(8, 8, 3), torch.randn(1, 8, 5, 5)), "int8", HOPPER)
    assert selection.kernel is not None and selection.kernel.emulated
    assert selection.reason == "torch has no INT8 convolution for GPUs"


def test_an_activation_kernel_serves_its_own_function_only() -> None:
    x = torch.randn(3, 8)
    sites = {"gelu": nn.GELU(), "gelu_tanh": nn.GELU(approximate="tanh"), "relu": nn.ReLU(), "silu": nn.SiLU()}
    for name, module in sites.items():
        site = site_of(module, x)
        taken = [key for key, k in cuda_triton.ACTIVATION_KERNELS.items() if not k.refuse(site, HOPPER)]
        assert taken == [name] and cuda_triton.ACTIVATION_KERNELS[name].serves(site.op.kind)
        assert "need an sm_80 GPU" in cuda_triton.ACTIVATION_KERNELS[name].refuse(site, TURING)


def test_int8_weights_never_run_on_the_naive_kernel() -> None:
    names = {k.name for k in TABLE if k.precision == "w8" and k.device == "cuda" and not k.emulated}
    assert names == {"Triton int8 weight only"}


class Product(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.linear(x, y)


def test_a_product_of_two_activations_is_refused() -> None:
    site = site_of(Product(), torch.randn(3, 64), torch.randn(5, 64))
    for kernel in KERNELS:
        assert "need a constant weight; this op multiplies two activations" in kernel.refuse(site, HOPPER)


def test_without_triton_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    triton.missing.cache_clear()
    site, _ = linear_site(4, 64, 16, True, "cpu")
    try:
        assert "need Triton, which is not installed" in choose(site, "int8", HOPPER, KERNELS).reason
    finally:
        triton.missing.cache_clear()
