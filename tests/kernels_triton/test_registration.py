"""Our GPU kernels as kernels of the table: against their emulated twins, and every refusal in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.graph import capture
from explorer.kernels import CARRIERS, Kernel, Post, Site, choose, reference, triton
from explorer.kernels.cuda_triton import KERNELS, quantize_tokens
from explorer.measure import Device
from explorer.precision import PRECISIONS

AMPERE = Device("cuda", "invented sm_80", 1, (), (8, 0))
HOPPER = Device("cuda", "invented sm_90", 1, (), (9, 0))
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


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name} {kernel.precision}")
def test_takes_and_gives_what_its_precision_says(kernel: Kernel) -> None:
    precision, twin = PRECISIONS[kernel.precision], twin_of(kernel)
    assert kernel.gives == precision.output
    assert kernel.takes == twin.takes and kernel.kinds <= twin.kinds


@pytest.mark.parametrize(("rows", "depth", "width", "bias"), [(1, 64, 24, True), (5, 96, 33, False)])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name} {kernel.precision}")
def test_computes_what_its_twin_does(
    kernel: Kernel, rows: int, depth: int, width: int, bias: bool, device: str
) -> None:
    """INT8 bit for bit. The others add in another order, or with other roundings of the weight, before one to BF16."""
    if device == "cuda" and kernel.refuse(linear_site(1, 64, 8, bias, "cpu")[0], _this_gpu()):
        pytest.skip("this GPU is too old for it")
    site, x = linear_site(rows, depth, width, bias, device)
    assert kernel.refuse(site, HOPPER) == ""
    carried = CARRIERS[kernel.takes].convert(x)
    packed, twin = kernel.build(site), twin_of(kernel).build(site)
    got, wanted = packed.run(carried), twin.run(carried)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    assert packed.weight_bytes == twin.weight_bytes
    if kernel.precision == "int8":
        assert torch.equal(got, wanted)
    else:
        assert ((got - wanted).abs() <= 2 * 2**-8 * wanted.abs().max()).all()


def _this_gpu() -> Device:
    return Device("cuda", "this", 1, (), torch.cuda.get_device_capability())


def test_int8_with_an_addend_equals_product_and_sum_bit_for_bit(device: str) -> None:
    site, x = linear_site(5, 48, 24, True, device)
    packed = KERNELS[0].build(site)
    codes = CARRIERS["int8:token"].convert(x)
    addend = torch.randn(24, 2, 5, device=device).movedim(0, -1)  # strided, as the residual of a patch embedding is
    before = addend.clone()
    assert packed.extend is not None
    run_added = packed.extend(Post(addend=True))
    assert run_added is not None
    assert torch.equal(run_added(codes, addend), packed.run(codes) + addend)
    assert torch.equal(addend, before)


@pytest.mark.parametrize("name", ["int8:token", "fp8_e4m3:token", "fp8_e5m2:token"])
def test_carriers_convert_alike(name: str, device: str) -> None:
    scheme = CARRIERS[name].scheme
    assert scheme is not None
    x = torch.randn(2, 3, 40, device=device).bfloat16()
    got, wanted = quantize_tokens(x, scheme), CARRIERS[name].convert(x.cpu())
    assert torch.equal(got.dequantize().cpu(), wanted.dequantize())
    assert (got.scheme, got.dtype, got.scale.shape) == (wanted.scheme, wanted.dtype, wanted.scale.shape)


@pytest.mark.parametrize(
    ("device", "precision", "depth", "reason"),
    [
        (TURING, "int8", 64, "our INT8 products need an sm_80 GPU; this is sm_75"),
        (TURING, "w4", 64, "our products with INT4 weights need an sm_80 GPU; this is sm_75"),
        (AMPERE, "fp8", 64, "our FP8 products need an sm_89 GPU; this is sm_80"),
        (HOPPER, "w4", 48, "groups of 32 do not divide the 48 inputs of this op"),
    ],
)
def test_refusals_say_what_was_needed_and_found(device: Device, precision: str, depth: int, reason: str) -> None:
    site, _ = linear_site(4, depth, 16, True, "cpu")
    selection = choose(site, precision, device, KERNELS)
    assert selection.kernel is None
    assert selection.reason == reason


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
