"""Weight-only kernels of the CPU against their twins, the shapes that they refuse, and what they store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.graph import capture
from explorer.kernels import KERNELS, Kernel, Site, choose, cpu_weight_only, stored
from explorer.kernels.simd import weight_only
from explorer.measure import find_device
from explorer.precision import PRECISIONS
from explorer.weights import quantize_weight

CPU = find_device("cpu")
PLAIN = replace(CPU, features=())
INT4 = ("w4", "w4_mse", "w4_hqq", "w4_g128")
SHAPES = [(1, 128, 64), (3, 256, 80), (4, 384, 65), (13, 128, 48), (40, 128, 64)]


def site_of(rows: int, depth: int, width: int, bias: bool = True) -> tuple[Site, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    layer = nn.Linear(depth, width, bias=bias).eval()
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
    x = torch.randn(rows, depth, generator=generator)
    graph = capture(layer, (x.expand(2, -1, -1),))
    (op,) = graph.rows
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    return Site(op, constants, {graph.inputs[0]: tuple(x.shape)}, frozenset(graph.inputs)), x


def kernels(precision: str, emulated: bool) -> list[Kernel]:
    found = [k for k in KERNELS if k.precision == precision and k.serves("linear") and k.emulated == emulated]
    return [k for k in found if k.device in ("cpu", "any")]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_real_kernels_are_close_to_their_twin(shape: tuple[int, int, int]) -> None:
    """The twin adds in FP32 and rounds to BF16 once; torch's kernels round before the bias too: 2 of BF16's steps.

    Our own are off by at most one step of the largest output, where a sum lies between two BF16 numbers.
    """
    site, x = site_of(*shape, bias=shape[0] != 4)
    ran = 0
    for precision in ("w8", *INT4):
        (twin,) = kernels(precision, emulated=True)
        wanted = twin.build(site).run(x.bfloat16()).float()
        for kernel in kernels(precision, emulated=False):
            if not kernel.refuse(site, CPU):
                got = kernel.build(site).run(x.bfloat16())
                assert got.dtype == torch.bfloat16 and got.shape == wanted.shape and got.is_contiguous()
                steps = 1 if "VNNI" in kernel.name else 2
                assert (got.float() - wanted).abs().max() <= steps * 2**-7 * wanted.abs().max(), kernel.name
                ran += 1
    assert ran >= (5 if shape[2] % 16 == 0 else 1)


@pytest.mark.parametrize("rows", [1, 33])
def test_fp16_weights_are_close_to_their_twin(rows: int) -> None:
    site, x = site_of(rows, 48, 24)
    assert site.product is not None
    site.product.weight[3, 5] = 1e6
    (twin,), real = kernels("w16", emulated=True), choose(site, "w16", CPU).kernel
    assert real is not None
    wanted = twin.build(site).run(x)
    assert torch.allclose(real.build(site).run(x), wanted, rtol=1e-5, atol=1e-5 * float(wanted[:, :3].abs().max()))
    assert torch.equal(wanted[:, 3].sign(), x[:, 5].sign()), "65504, not Inf"


@pytest.mark.skipif(bool(weight_only.refuse_device(CPU)), reason="needs AVX512-VNNI and Numba")
@pytest.mark.parametrize("bits", [4, 8])
def test_our_own_arithmetic_is_what_it_says(bits: int) -> None:
    """Bit for bit, up to the order in which blocks are added: activations as 14-bit integers under a power of two."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(70, 192, generator=generator)
    x = (torch.randn(5, 192, generator=generator) * 10 ** torch.randn(5, 192, generator=generator)).bfloat16()
    x[0], x[1] = 0, x[1] * 2.0**-126
    if bits == 4:
        held = stored.store_int4(weight, "w4_hqq")
        packed, values, block = weight_only.pack_int4(held, None), held.values().double(), 32
    else:
        record, scale = stored.store_int8(weight)
        packed, values, block = weight_only.pack_int8(record.codes, scale, None), record.dequantize().double(), 64
    blocks = x.double().reshape(5, -1, block)
    exponent = torch.frexp(blocks.abs().amax(-1, keepdim=True))[1].clamp(min=-112)
    step = 2.0 ** (exponent - 14).double()
    wanted = ((blocks / step).round() * step).reshape(5, -1) @ values.t()
    got = weight_only.matmul(x, packed).double()
    bound = 2**-8 * wanted.abs() + 2**-20 * (x.double().abs() @ values.t().abs()) + 2.0**-133
    assert ((got - wanted).abs() <= bound).all()


@pytest.mark.skipif(bool(weight_only.refuse_device(CPU)), reason="needs AVX512-VNNI and Numba")
def test_rows_that_are_rounded_inside_give_the_same_bits() -> None:
    record, scale = stored.store_int8(torch.randn(70, 100))
    packed = weight_only.pack_int8(record.codes, scale, torch.randn(70))
    bits = torch.randint(-(2**31), 2**31, (weight_only.MANY_ROWS - 1, 100), generator=torch.Generator().manual_seed(3))
    x = bits.to(torch.int32).view(torch.float32)
    x[0], x[1] = torch.randn(100), torch.tensor(3.4e38)
    x[2] = torch.tensor([0x7FFFFFFF], dtype=torch.int32).view(torch.float32)
    found, wanted = weight_only.matmul(x, packed), weight_only.matmul(x.bfloat16(), packed)
    assert torch.equal(found.isnan(), wanted.isnan())
    assert torch.equal(found.nan_to_num(), wanted.nan_to_num())
    assert found[0].isfinite().all()


@pytest.mark.skipif(bool(weight_only.refuse_device(CPU)), reason="needs AVX512-VNNI and Numba")
def test_a_row_with_nan_or_inf_never_looks_like_numbers() -> None:
    record, scale = stored.store_int8(torch.randn(64, 64))
    x = torch.randn(6, 64).bfloat16()
    x[1, 3], x[4, 5] = torch.nan, torch.inf
    out = weight_only.matmul(x, weight_only.pack_int8(record.codes, scale, None))
    assert out[[1, 4]].isnan().all()
    assert out[[0, 2, 3, 5]].isfinite().all()


def test_torch_int8_refuses_the_depth_that_crashes_the_process() -> None:
    site, _ = site_of(33, 24, 16)
    selection = choose(site, "w8", PLAIN)
    assert selection.kernel is not None and selection.kernel.emulated
    assert "K % 16 == 0; this op has K = 24" in selection.reason


@pytest.mark.parametrize(
    ("shape", "precision", "reason"),
    [
        ((40, 128, 24), "w4", "needs N % 16 == 0; this op has N = 24"),
        ((40, 96, 32), "w4_g128", "groups of 128 do not divide the 96 inputs"),
        ((40, 128, 24), "w4", "need AVX512-VNNI, which this CPU lacks"),
    ],
)
def test_shapes_are_refused_in_words(shape: tuple[int, int, int], precision: str, reason: str) -> None:
    selection = choose(site_of(*shape)[0], precision, PLAIN)
    assert selection.kernel is None or selection.kernel.emulated
    assert reason in selection.reason


def test_what_is_missing_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    site, _ = site_of(4, 128, 64)
    plain = replace(CPU, features=())
    assert choose(site, "w4", plain).kernel is not None
    own = kernels("w4", emulated=False)[0]
    assert "AVX512-VNNI, which this CPU lacks" in own.refuse(site, plain)
    monkeypatch.setattr(weight_only, "find_spec", lambda name: None)
    assert "need Numba, which is not installed" in own.refuse(site, CPU)
    monkeypatch.setattr(cpu_weight_only, "has_int4_kernel", lambda: False)
    monkeypatch.setattr(cpu_weight_only, "why_no_fp16_weights", lambda: "no engine")
    w4, w16 = choose(site, "w4", CPU), choose(site, "w16", CPU)
    assert w4.option.emulated and "this torch has no _weight_int4pack_mm_for_cpu" in w4.reason
    assert w16.option.emulated and w16.reason == "no engine"


def test_an_engine_without_fp16_weights_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: Any) -> Any:
        raise RuntimeError("not supported by this engine\nlong trace")

    cpu_weight_only.why_no_fp16_weights.cache_clear()
    monkeypatch.setattr(cpu_weight_only, "multiply_fp16_weight", missing)
    try:
        assert cpu_weight_only.why_no_fp16_weights().endswith("not supported by this engine")
    finally:
        cpu_weight_only.why_no_fp16_weights.cache_clear()


@pytest.mark.parametrize("precision", INT4)
def test_int4_weights_are_stored_under_scales_that_bf16_holds(precision: str) -> None:
    weight = torch.randn(24, 256, generator=torch.Generator().manual_seed(2))
    held, told = stored.store_int4(weight, precision), PRECISIONS[precision]
    assert told.weight is not None
    searched = quantize_weight(weight, told.weight, told.weight_method)
    error, before = (float((w - weight).square().mean()) for w in (held.values(), searched.dequantize()))
    assert error <= 1.02 * before, "rounding the scale to BF16 costs next to nothing"
    assert held.group == told.weight.group
    a_group = 2 if held.zero is None else 4
    assert (held.weight_bytes, held.scale_bytes) == (24 * 128, 24 * 256 // held.group * a_group)
    site, x = site_of(5, 256, 24)
    (twin,) = kernels(precision, emulated=True)
    assert site.product is not None and site.product.bias is not None
    values = stored.store_int4(site.product.weight, precision).values()
    wanted = torch.nn.functional.linear(x.bfloat16().float(), values, site.product.bias.bfloat16().float()).bfloat16()
    assert torch.equal(twin.build(site).run(x.bfloat16()), wanted)


def test_a_group_with_nan_is_nan_throughout() -> None:
    weight = torch.randn(4, 64)
    weight[1, 40] = torch.nan
    for precision in ("w4", "w4_hqq"):
        values = stored.store_int4(weight, precision).values()
        assert values[1, 32:].isnan().all()
        assert values[1, :32].isfinite().all() and values[[0, 2, 3]].isfinite().all()
