"""Our own attention against FP64, and its three forms against each other, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention as by_torch

from explorer.kernels import CARRIERS, CODE_WRITERS, KERNELS, Post, Site, StaticScale, choose
from explorer.kernels.registry import BEST_FP32, rivals_of
from explorer.kernels.simd.attention import Attention
from explorer.kernels.winners import Winner, Winners, key_of
from explorer.measure import find_device
from tests.kernels_simd.cases import assert_same
from tests.kernels_simd.test_registration import CPU, site_of

FIXED = StaticScale(0.013, 117)
KERNEL = CODE_WRITERS["cpu", "attention"]
SHAPES = [
    (2, 3, 64, 64, 32, 32),
    (1, 5, 65, 65, 16, 16),
    (2, 1, 197, 197, 64, 64),
    (1, 3, 1, 33, 32, 48),
    (3, 7, 2, 1, 80, 16),
    (1, 2, 49, 130, 17, 5),
    (1, 1, 16, 7, 1, 1),
]
"""Batches, heads, queries, keys, depth, depth of the values."""
HALF_ULP = 2.0**-24


def drawn(shape: tuple[int, ...], size: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    batches, heads, queries, keys, depth, value_depth = shape
    generator = torch.Generator().manual_seed(queries)
    sizes = ((queries, depth), (keys, depth), (keys, value_depth))
    q, k, v = (torch.randn(batches, heads, *size, generator=generator) for size in sizes)
    return q * size, k, v


def joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def bound(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What rounding may do to the result, [batches, heads, queries, 1], in units of the largest value.

    A score is a sum of ``depth`` products, each rounded, so off by (depth + 2) half ulp of the sum of their magnitudes,
    and weights are off by twice that, relatively; a decay, the sums over the keys and the division add the rest.
    """
    magnitude = (q.double().abs() @ k.double().abs().transpose(2, 3)).amax(-1, keepdim=True) / math.sqrt(q.shape[3])
    relative = HALF_ULP * (2 * (q.shape[3] + 2) * magnitude + k.shape[2] + 6)
    return relative * v.double().abs().amax((2, 3), keepdim=True)


def assert_consistent(attention: Attention, *inputs: Tensor) -> None:
    """The codes are those that the casts make of the FP32 result, the heads of a token joined."""
    plain = attention(*inputs)
    assert isinstance(plain, Tensor)
    rows = joined(plain)
    assert rows.data_ptr() == plain.data_ptr() and rows.is_contiguous(), "the next product reads it where it lies"
    mask = inputs[3] if len(inputs) > 3 else None
    assert_same(attention(*inputs[:3], mask, Post(codes=FIXED)), CARRIERS["uint8:static"].convert(rows, FIXED))
    found, wanted = attention(*inputs[:3], mask, Post(tokens=True)), CARRIERS["int8:token"].convert(rows)
    assert found.scheme == wanted.scheme and found.dtype == wanted.dtype and found.zero_point is None
    assert_same(found.codes, wanted.codes)
    assert_same(found.scale, wanted.scale)


@pytest.mark.parametrize("size", [1.0, 30.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_within_rounding_of_fp64(shape: tuple[int, ...], size: float) -> None:
    q, k, v = drawn(shape, size)
    found = Attention()(q, k, v)
    assert isinstance(found, Tensor) and found.dtype == torch.float32
    exact = by_torch(q.double(), k.double(), v.double())
    assert found.shape == exact.shape
    assert ((found - exact).abs() <= bound(q, k, v)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_as_near_to_fp64_as_torch(shape: tuple[int, ...]) -> None:
    q, k, v = drawn(shape)
    exact = by_torch(q.double(), k.double(), v.double())
    ours, theirs = ((each - exact).norm() for each in (Attention()(q, k, v), by_torch(q, k, v)))
    assert ours <= 1.5 * theirs + HALF_ULP * exact.norm(), "half an ulp for results that torch happens to get exactly"


def test_a_weight_is_within_two_ulp_of_the_exponential() -> None:
    distances = torch.linspace(-86.9, 0.0, 4001).reshape(-1, 1)
    q = distances.reshape(1, 1, -1, 1)
    k, v = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1), torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1)
    found = Attention(1.0)(q, k, v)
    assert isinstance(found, Tensor)
    weight = distances.double().exp()
    exact = weight / (1 + weight)
    error = (found.reshape(-1, 1) - exact).abs() / exact
    assert error.max() <= 2 * 2 * HALF_ULP, "of the decay 1 ulp, of the sum, its inverse and the product half each"
    far = Attention(1.0)(torch.full((1, 1, 1, 1), -87.5), k, v)
    assert isinstance(far, Tensor) and far.item() == 0.0


@pytest.mark.parametrize("shape", SHAPES)
def test_three_forms_are_one_result(shape: tuple[int, ...]) -> None:
    assert_consistent(Attention(0.3), *drawn(shape))


def test_a_query_does_not_depend_on_the_others() -> None:
    q, k, v = drawn((1, 2, 70, 45, 32, 16))
    attention = Attention()
    alone = [attention(q[:, :, at : at + 1], k, v) for at in range(70)]
    assert torch.equal(attention(q, k, v), torch.cat(alone, 2))


def from_one_linear(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Views of one [batches, tokens, 3, heads, depth], as a product for all three leaves them."""
    return torch.stack([x.transpose(1, 2) for x in (q, k, v)], 2).permute(2, 0, 3, 1, 4).unbind()


def with_gaps(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Rows that are no neighbours, and numbers that are none either."""
    return q.repeat(1, 1, 2, 1)[:, :, ::2].copy_(q), k.transpose(2, 3).contiguous().transpose(2, 3), v.flip(0).flip(0)


@pytest.mark.parametrize("lay", [from_one_linear, with_gaps])
def test_other_layouts_give_the_same(lay: Callable[..., tuple[Tensor, ...]]) -> None:
    inputs = drawn((2, 3, 50, 50, 32, 32))
    laid = lay(*inputs)
    assert not all(x.is_contiguous() for x in laid)
    assert torch.equal(Attention()(*laid), Attention()(*inputs))
    assert_consistent(Attention(), *laid)


@pytest.mark.parametrize("queries", [1, 40, 65])
def test_causal(queries: int) -> None:
    q, k, v = drawn((2, 3, queries, 65, 32, 16))
    found = Attention(causal=True)(q, k, v)
    assert torch.allclose(found, by_torch(q, k, v, is_causal=True), rtol=1e-5, atol=2e-6)
    assert_consistent(Attention(causal=True), q, k, v)


MASKS = [(65, 47), (1, 47), (2, 1, 1, 47), (2, 3, 65, 47), (3, 65, 1)]


@pytest.mark.parametrize("shape", MASKS)
@pytest.mark.parametrize("boolean", [True, False])
def test_masks(shape: tuple[int, ...], boolean: bool) -> None:
    q, k, v = drawn((2, 3, 65, 47, 32, 16))
    mask = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    mask = mask > -0.5 if boolean else mask * 5
    assert torch.allclose(Attention()(q, k, v, mask), by_torch(q, k, v, attn_mask=mask), rtol=1e-5, atol=2e-6)
    assert_consistent(Attention(), q, k, v, mask)


def test_a_query_that_sees_no_key_gets_zeros_as_in_torch() -> None:
    q, k, v = drawn((1, 2, 20, 30, 16, 16))
    mask = torch.rand(20, 30) > 0.2
    mask[3], mask[17] = False, False
    found = Attention()(q, k, v, mask)
    assert isinstance(found, Tensor)
    assert (found[:, :, [3, 17]] == 0).all() and (by_torch(q, k, v, attn_mask=mask)[:, :, [3, 17]] == 0).all()
    assert_consistent(Attention(), q, k, v, mask)


def test_what_is_not_finite_stays_visible() -> None:
    """torch's plain formula is the oracle: its fused kernel gives 0 for a query of NaN."""
    q, k, v = drawn((1, 4, 40, 33, 16, 16))
    q[0, 0, 3, 5], q[0, 1, 7, 0], k[0, 2, 9, 1], v[0, 3, 32, 15] = math.nan, math.inf, math.nan, math.inf
    found = Attention()(q, k, v)
    assert isinstance(found, Tensor)
    exact = ((q @ k.transpose(2, 3)) / 4).softmax(-1) @ v
    assert torch.equal(found.isnan(), exact.isnan()) and torch.equal(found.isinf(), exact.isinf())
    assert found[0, 0].isnan().any(1).nonzero().flatten().tolist() == [3]
    assert found[0, 2].isnan().all() and found[0, 3, :, 15].isinf().all()
    assert_consistent(Attention(), q, k, v)


def test_no_bit_depends_on_the_number_of_threads() -> None:
    inputs, threads = drawn((3, 4, 70, 70, 32, 32)), torch.get_num_threads()
    found = {}
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            attention = Attention()
            found[count] = [attention(*inputs), attention(*inputs, None, Post(tokens=True)).codes]
    finally:
        torch.set_num_threads(threads)
    for count in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(found[1], found[count], strict=True))


class Attend(nn.Module):
    """softmax(q k^T / 8) v, with a mask that flows or that the model holds, or none."""

    def __init__(self, mask: Tensor | None = None, causal: bool = False) -> None:
        super().__init__()
        self.mask, self.causal = nn.Buffer(mask) if mask is not None else None, causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        return by_torch(q, k, v, self.mask if mask is None else mask, is_causal=self.causal, scale=0.125)


@pytest.mark.parametrize("case", ["plain", "causal", "mask held", "mask given", "boolean mask given"])
def test_the_kernel_computes_what_the_op_does(case: str) -> None:
    inputs = drawn((2, 3, 9, 9, 16, 24))
    mask = torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(2))
    given = {"mask given": (mask,), "boolean mask given": (mask > 0,)}.get(case, ())
    module = Attend(mask[0, 0] if case == "mask held" else None, case == "causal")
    site = site_of(module, *inputs, *given)
    assert KERNEL.refuse(site, CPU) == "" and KERNEL not in KERNELS and KERNEL.serves(site.op.kind)
    packed = KERNEL.build(site)
    plain = packed.run(*inputs, *given)
    assert torch.allclose(plain, module(*inputs, *given), rtol=1e-5, atol=2e-6)
    assert packed.extend is not None
    tokens = packed.extend(Post(tokens=True))
    assert tokens is not None and packed.extend(Post(addend=True)) is None
    assert_same(tokens(*inputs, *given).codes, CARRIERS["int8:token"].convert(joined(plain)).codes)


def test_it_is_a_rival_of_best_fp32_alone(tmp_path: Path) -> None:
    site = site_of(Attend(), *drawn((2, 3, 9, 9, 16, 16)))
    rivals, _ = rivals_of(site, BEST_FP32, CPU)
    assert [rival.name for rival in rivals] == ["torch fp32", KERNEL.name]
    winners = Winners(tmp_path / "winners.json")
    winners.add({key_of(site, what, CPU): Winner(KERNEL.name, {}) for what in (BEST_FP32, "fp32")})
    assert choose(site, BEST_FP32, CPU, winners=winners).kernel is KERNEL
    alone = choose(site, "fp32", CPU, winners=winners).kernel
    assert alone is not None and alone.name == "torch fp32"


def test_what_it_is_not_for_is_refused_in_words() -> None:
    site = site_of(Attend(), *drawn((2, 3, 9, 9, 16, 16)))
    names = site.inputs

    def at(*shapes: tuple[int, ...]) -> Site:
        return replace(site, shapes=dict(zip(names, shapes, strict=True)))

    assert "1024 keys" in KERNEL.refuse(at((1, 2, 9, 16), (1, 2, 1025, 16), (1, 2, 1025, 16)), CPU)
    assert "256 numbers" in KERNEL.refuse(at((1, 2, 9, 512), (1, 2, 9, 512), (1, 2, 9, 16)), CPU)
    assert "as many heads" in KERNEL.refuse(at((1, 4, 9, 16), (1, 2, 9, 16), (1, 2, 9, 16)), CPU)
    assert "as many heads" in KERNEL.refuse(at((4, 9, 16), (4, 9, 16), (4, 9, 16)), CPU)
    dropping = replace(site, op=replace(site.op, args=(*site.op.args[:3], None, 0.5)))
    assert "dropout" in KERNEL.refuse(dropping, CPU)
    assert "flow" in KERNEL.refuse(replace(site, shapes={}, op=replace(site.op, args=(None, *site.op.args[1:]))), CPU)
    assert "AVX512" in KERNEL.refuse(site, replace(find_device("cpu"), features=("AVX2",)))
