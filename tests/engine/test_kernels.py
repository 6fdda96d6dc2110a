"""Every real kernel against its reference twin, every refusal in words, and no fallback in silence."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.formats import Scheme, find_scale, quantize
from explorer.graph import capture
from explorer.kernels import CARRIERS, KERNELS, Kernel, Post, Site, StaticScale, choose, fused
from explorer.kernels.registry import rivals_of
from explorer.measure import Device, find_device
from explorer.precision import PRECISIONS

CPU = find_device("cpu")
H100 = Device("cuda", "invented sm_90", 1, (), (9, 0))
TURING = Device("cuda", "invented sm_75", 1, (), (7, 5))
PLAIN_CPU = Device("cpu", "invented without vectors", 1)
ON_CODES = frozenset({"max_pool2d"})
"""Kinds of op that hand on the codes that they get."""
ROWS, DEPTHS, WIDTHS = (1, 5, 17, 33), (16, 48, 200), (8, 24, 65)


def linear_site(rows: int, depth: int, width: int, bias: bool = True, seed: int = 0) -> tuple[Site, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(depth, width, bias=bias).eval()
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
    x = torch.randn(2, rows, depth, generator=generator)
    return site_of(layer, x), x


def site_of(module: nn.Module, x: Tensor) -> Site:
    """The site of the only op of a module of one op."""
    graph = capture(module.eval(), (x,))
    (op,) = graph.rows
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    name = graph.inputs[0]
    return Site(op, constants, {name: tuple(x.shape)}, frozenset({name}))


def kernels(precision: str, device: str, emulated: bool, kind: str = "linear") -> list[Kernel]:
    found = [k for k in KERNELS if k.precision == precision and k.serves(kind) and k.emulated == emulated]
    return [k for k in found if emulated or k.device in (device, "any")]


def run(kernel: Kernel, site: Site, x: Tensor) -> Tensor:
    out: Tensor = kernel.build(site).run(carried(kernel, x))
    return out


def carried(kernel: Kernel, x: Tensor) -> Any:
    """x as the kernel takes it; a static scale is that of x itself."""
    carrier = CARRIERS[kernel.takes]
    if not carrier.static:
        return carrier.convert(x)
    scale, zero_point = find_scale(x, Scheme("uint8", symmetric=False))
    assert zero_point is not None
    return carrier.convert(x, StaticScale(float(scale), int(zero_point)))


def test_every_kernel_gives_what_its_precision_says() -> None:
    for kernel in KERNELS:
        precision = PRECISIONS[kernel.precision]
        assert kernel.gives in (precision.output, kernel.takes if kernel.kinds <= ON_CODES else ""), kernel.name
        scheme = CARRIERS[kernel.takes].scheme
        if precision.activation is not None and scheme is not None:
            assert scheme.format == precision.activation.format, kernel.name


CASES = list(product(ROWS, DEPTHS, WIDTHS))


@pytest.mark.parametrize(("rows", "depth", "width"), CASES[::3])
@pytest.mark.parametrize("kernel", kernels("int8", "cpu", emulated=False), ids=lambda k: k.name)
def test_int8_equals_its_exact_twin_bit_for_bit(kernel: Kernel, rows: int, depth: int, width: int) -> None:
    site, x = linear_site(rows, depth, width, bias=rows != 5, seed=rows * depth)
    (twin,) = kernels("int8", "cpu", emulated=True)
    assert kernel.refuse(site, CPU) == ""
    assert torch.equal(run(kernel, site, x), run(twin, site, x))


@pytest.mark.parametrize("rows", [1, 5, 300])
@pytest.mark.parametrize("kernel", kernels("int8", "cpu", emulated=False), ids=lambda k: k.name)
def test_int8_with_an_addend_equals_product_and_sum_bit_for_bit(kernel: Kernel, rows: int) -> None:
    site, x = linear_site(rows, 48, 72)
    packed = kernel.build(site)
    codes = CARRIERS[kernel.takes].convert(x)
    addend = torch.randn(72, *x.shape[:-1]).movedim(0, -1)  # strided, as the residual of a patch embedding is
    addend[..., 3], addend[..., 5] = torch.inf, 1e30
    before = addend.clone()
    assert packed.extend is not None
    run_added = packed.extend(Post(addend=True))
    assert run_added is not None
    assert torch.equal(run_added(codes, addend), packed.run(codes) + addend)
    assert torch.equal(addend, before)


@pytest.mark.parametrize("kernel", kernels("int8", "cpu", emulated=False), ids=lambda k: k.name)
def test_int8_on_adversarial_rows(kernel: Kernel) -> None:
    site, x = linear_site(6, 48, 24)
    x[0, 0] = 0
    x[0, 1] *= 1e-30
    x[0, 2] *= 1e30
    x[0, 3, 7] = torch.nan
    x[0, 4, 5] = torch.inf
    out = run(kernel, site, x)
    assert torch.equal(out[0, 0], next(t for n, t in site.constants.items() if "bias" in n))
    assert out[0, 1:3].isfinite().all()
    assert out[0, 3:5].isnan().all(), "a NaN or Inf must never look like a number"
    assert out[1].isfinite().all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 7, 129), (0, 8), (4, 1, 3, 33)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_quantisation_equals_plain_torch(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    scheme = Scheme("int8", granularity="token")
    x = (torch.randn(shape) * 10 ** torch.randn(shape)).to(dtype)
    if x.numel() > 10:
        x[0] = 0
    before = x.clone()
    wanted = quantize(x, scheme)
    codes, scale = fused.quantize_rows(x) if x.numel() else (wanted.codes, wanted.scale)
    assert torch.equal(codes, wanted.codes)
    assert torch.equal(scale, wanted.scale)
    assert torch.equal(before, x)


def test_fused_quantisation_reads_strided_rows() -> None:
    x = torch.randn(7, 3, 40).transpose(0, 1)[:, ::2]
    codes, scale = fused.quantize_rows(x)
    wanted = quantize(x, Scheme("int8", granularity="token"))
    assert torch.equal(codes, wanted.codes)
    assert torch.equal(scale, wanted.scale)


@pytest.mark.parametrize(("rows", "depth", "width"), [(1, 16, 8), (5, 48, 24), (33, 208, 65)])
def test_bf16_is_close_to_its_twin(rows: int, depth: int, width: int) -> None:
    """BF16 sums differ in order and in where they are rounded: within 2 of BF16's steps of the largest output."""
    site, x = linear_site(rows, depth, width)
    kernel = kernels("bf16", "cpu", emulated=False)[0]
    assert kernel.refuse(site, CPU) == ""
    assert site.product is not None
    weight, bias = site.product.weight.bfloat16(), site.product.bias
    got = run(kernel, site, x).float()
    exact = torch.nn.functional.linear(x.bfloat16().double(), weight.double(), None).float() + bias
    assert (got - exact).abs().max() <= 2 * 2**-8 * exact.abs().max()


@pytest.mark.parametrize(("rows", "depth", "width"), [(1, 16, 8), (5, 48, 24), (33, 208, 65)])
@pytest.mark.parametrize("kernel", kernels("fp16", "cpu", emulated=False), ids=lambda k: k.name)
def test_fp16_is_close_to_its_twin(kernel: Kernel, rows: int, depth: int, width: int) -> None:
    """The twin adds in FP32 and rounds once; torch may round between product and bias: 2 of FP16's steps."""
    site, x = linear_site(rows, depth, width)
    twin = kernels("fp16", "cpu", emulated=True)[0]
    wanted = run(twin, site, x).float()
    assert (run(kernel, site, x).float() - wanted).abs().max() <= 2 * 2**-11 * wanted.abs().max()


def test_fp16_names_its_speed() -> None:
    site, _ = linear_site(5, 48, 24)
    fast, slow = (choose(site, "fp16", replace(CPU, features=f)).kernel for f in (("AVX512-FP16",), ()))
    assert fast is not None and slow is not None
    assert not fast.emulated and not slow.emulated
    assert fast.name == "torch fp16" and "slow" in slow.name
    for features in (("AVX512-FP16",), ()):
        rivals, _ = rivals_of(site, "fp16", replace(CPU, features=features))
        assert len(rivals) == 1, "one call under two names is no rival of itself"


def test_fp16_product_rounds_operands_and_result_only() -> None:
    site, x = linear_site(5, 48, 24, bias=False)
    twin = kernels("fp16", "cpu", emulated=True)[0]
    weight = site.product.weight if site.product else torch.empty(0)
    wanted = torch.nn.functional.linear(x.half().float(), weight.half().float()).half()
    assert torch.equal(run(twin, site, x), wanted)


def test_w4_groups_that_do_not_divide_are_refused() -> None:
    site, _ = linear_site(5, 48, 24)
    assert choose(site, "w4", CPU).kernel is None
    assert "groups of 32 do not divide the 48 inputs" in choose(site, "w4", CPU).reason


@pytest.mark.parametrize(
    ("device", "precision", "shape", "reason"),
    [
        (H100, "fp8_tensor", (32, 64, 40), r"K, N % 16 == 0; here 64, 40"),
        (H100, "mxfp4", (32, 64, 64), "need an sm_100 GPU; this is sm_90"),
        (TURING, "fp8", (32, 64, 64), "needs an sm_90 GPU; this is sm_75|need an sm_90 GPU; this is sm_75"),
        (TURING, "bf16", (32, 64, 64), "sm_80 GPU; this is sm_75"),
        (TURING, "tf32", (32, 64, 64), "sm_80 GPU; this is sm_75"),
        (CPU, "tf32", (32, 64, 64), "no tf32 kernel for linear on this CPU"),
        (CPU, "fp8", (32, 64, 64), "no fp8 kernel for linear on this CPU"),
    ],
)
def test_refusals_say_what_was_needed_and_found(device: Device, precision: str, shape: Any, reason: str) -> None:
    site, _ = linear_site(*shape)
    selection = choose(site, precision, device)
    assert selection.kernel is None or selection.kernel.emulated
    assert re.search(reason, selection.reason), selection.reason


@pytest.mark.parametrize(
    ("precision", "name"), [("int8", "int8 matmul|_int_mm"), ("fp8", "fp8 matmul|_scaled_mm"), ("tf32", "tf32")]
)
def test_cuda_chooses_its_kernels(precision: str, name: str) -> None:
    site, _ = linear_site(32, 64, 64)
    kernel = choose(site, precision, H100).kernel
    assert kernel is not None
    assert not kernel.emulated
    assert re.search(name, kernel.name)


def test_int8_conv_twin_is_exact() -> None:
    module = nn.Conv2d(32, 16, 3, padding=1).eval()
    x = torch.randn(3, 32, 6, 5)
    kernel = choose(site_of(module, x), "int8", CPU).kernel
    assert kernel is not None
    got = run(kernel, site_of(module, x), x)
    qx = quantize(x, Scheme("int8"))
    qw = quantize(module.weight.detach(), Scheme("int8", granularity="channel", axis=0))
    sums = torch.nn.functional.conv2d(qx.codes.double(), qw.codes.double(), padding=1)
    wanted = sums.float() * qx.scale * qw.scale.reshape(-1, 1, 1) + module.bias.detach().reshape(-1, 1, 1)  # type: ignore[union-attr]
    assert torch.equal(got, wanted)
