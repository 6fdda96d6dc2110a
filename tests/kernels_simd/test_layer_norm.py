"""Our own layer norm against FP64, and its three forms against each other, bit for bit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from explorer.kernels import CARRIERS, CODE_WRITERS, KERNELS, Post, StaticScale
from explorer.kernels.simd.layer_norm import LayerNorm
from explorer.measure import find_device
from tests.kernels_simd.cases import assert_same
from tests.kernels_simd.test_registration import CPU, site_of

EPS = 1e-5
FIXED = StaticScale(0.031, 117)
KERNEL = CODE_WRITERS["cpu", "layer_norm"]
WIDTHS = [1, 3, 16, 17, 64, 192, 768, 1000]


def parts(width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(width)
    return torch.randn(width, generator=generator), torch.randn(width, generator=generator)


def rows(count: int, width: int, offset: float = 0.0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count)) + offset


def assert_consistent(norm: LayerNorm, x: Tensor) -> None:
    """The codes are those that the casts make of the FP32 result."""
    plain = norm(x)
    assert_same(norm(x, Post(codes=FIXED)), CARRIERS["uint8:static"].convert(plain, FIXED))
    found, wanted = norm(x, Post(tokens=True)), CARRIERS["int8:token"].convert(plain)
    assert found.scheme == wanted.scheme and found.dtype == wanted.dtype and found.zero_point is None
    assert_same(found.codes, wanted.codes)
    assert_same(found.scale, wanted.scale)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("width", WIDTHS)
def test_within_a_few_ulp_of_fp64(width: int, offset: float) -> None:
    (weight, bias), x = parts(width), rows(97, width, offset)
    found = LayerNorm(width, weight, bias, EPS)(x)
    assert isinstance(found, Tensor)
    exact = nn.functional.layer_norm(x.double(), (width,), weight.double(), bias.double(), EPS)
    assert found.dtype == torch.float32 and found.shape == x.shape
    assert ((found - exact).abs() <= 6 * 2**-24 * exact.abs().amax(-1, keepdim=True)).all()


@pytest.mark.parametrize("count", [0, 1, 5, 97])
@pytest.mark.parametrize("width", WIDTHS)
def test_three_forms_are_one_result(width: int, count: int) -> None:
    norm, x = LayerNorm(width, *parts(width), EPS), rows(count, width)
    assert_consistent(norm, x)
    assert torch.equal(norm(x), torch.cat([norm(row) for row in x.split(1)]) if count else x), "each row by itself"


@pytest.mark.parametrize("given", [(True, False), (False, True), (False, False)])
def test_without_weight_or_bias(given: tuple[bool, bool]) -> None:
    x = rows(5, 70)
    weight, bias = (part if there else None for part, there in zip(parts(70), given, strict=True))
    norm = LayerNorm(70, weight, bias, 1e-6)
    assert torch.allclose(norm(x), nn.functional.layer_norm(x, (70,), weight, bias, 1e-6), rtol=1e-5, atol=1e-5)
    assert_consistent(norm, x)


def test_rows_that_are_not_finite_are_nan_and_leave_the_others_alone() -> None:
    x = rows(7, 130)
    x[1, 0], x[2, 129], x[3, 64], x[5] = math.nan, math.inf, -math.inf, math.inf
    norm = LayerNorm(130, *parts(130), EPS)
    found = norm(x)
    assert torch.equal(found.isnan(), nn.functional.layer_norm(x, (130,)).isnan())
    assert torch.equal(found.isnan().all(1), torch.tensor([False, True, True, True, False, True, False]))
    assert torch.equal(found[[0, 4, 6]], norm(x[[0, 4, 6]]))
    assert_consistent(norm, x)


@pytest.mark.parametrize("scale", [0.0, 1e-42, 1e-20, 1e15])
def test_rows_of_any_size(scale: float) -> None:
    x, (weight, bias) = rows(5, 48) * scale, parts(48)
    norm = LayerNorm(48, weight, bias, EPS)
    assert torch.allclose(norm(x), nn.functional.layer_norm(x, (48,), weight, bias, EPS), rtol=1e-5, atol=1e-6)
    assert_consistent(norm, x)


def test_a_constant_row_without_eps_is_nan_as_in_torch() -> None:
    x = torch.full((2, 40), 3.0)
    assert LayerNorm(40, None, None, 0.0)(x).isnan().all() and nn.functional.layer_norm(x, (40,), eps=0.0).isnan().all()


def test_no_bit_depends_on_the_number_of_threads() -> None:
    norm, x, threads = LayerNorm(193, *parts(193), EPS), rows(211, 193), torch.get_num_threads()
    found = {}
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found[count] = [norm(x), norm(x, Post(codes=FIXED)).codes, norm(x, Post(tokens=True)).codes]
    finally:
        torch.set_num_threads(threads)
    for count in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(found[1], found[count], strict=True))


def test_other_layouts_are_copied() -> None:
    x, norm = rows(6, 70).t(), LayerNorm(6, *parts(6), EPS)
    assert torch.equal(norm(x), norm(x.contiguous())) and norm(x).is_contiguous()
    assert norm(x.reshape(7, 10, 6), Post(tokens=True)).scale.shape == (7, 10, 1)


@pytest.mark.parametrize(
    "module", [nn.LayerNorm(24), nn.LayerNorm(24, bias=False), nn.LayerNorm(24, elementwise_affine=False, eps=1e-3)]
)
@torch.no_grad()
def test_the_kernel_computes_what_the_module_does(module: nn.LayerNorm) -> None:
    x = rows(9, 24, 2.0)
    site = site_of(module, x)
    assert KERNEL.refuse(site, CPU) == "" and KERNEL not in KERNELS and KERNEL.serves(site.op.kind)
    packed = KERNEL.build(site)
    plain = packed.run(x)
    assert torch.allclose(plain, module(x), rtol=1e-5, atol=1e-5)
    assert packed.weight_bytes == sum(parameter.nbytes for parameter in module.parameters())
    assert packed.extend is not None
    tokens, codes = packed.extend(Post(tokens=True)), packed.extend(Post(codes=FIXED))
    assert tokens is not None and codes is not None
    assert_same(tokens(x).codes, CARRIERS["int8:token"].convert(plain).codes)
    assert_same(codes(x), CARRIERS["uint8:static"].convert(plain, FIXED))
    assert packed.extend(Post(activation="relu")) is None and packed.extend(Post(addend=True)) is None


def test_other_norms_are_refused() -> None:
    two = site_of(nn.LayerNorm((5, 24)), torch.randn(3, 5, 24))
    assert "last dimension" in KERNEL.refuse(two, CPU)
    flowing = site_of(nn.LayerNorm(24), torch.randn(3, 24))
    assert "constant" in KERNEL.refuse(replace(flowing, constants={}), CPU)
    assert "AVX512" in KERNEL.refuse(flowing, replace(find_device("cpu"), features=("AVX2",)))
