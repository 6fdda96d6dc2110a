"""The INT8 product of rows equals exact sums and separate steps, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from explorer.formats import Quantized
from explorer.kernels import CARRIERS
from explorer.kernels.simd.int8_matmul import Int8Linear
from explorer.kernels.simd.product import FAR_BYTES, share_out
from explorer.kernels.site import ACTIVATIONS, Post, StaticScale
from tests.kernels_simd.cases import assert_same, codes, finish, static, tokens, values

ROWS, OUTPUTS, DEPTHS = (0, 1, 5, 6, 7, 97), (1, 5, 63, 64, 65, 130), (1, 3, 4, 7, 64, 192)
NARROW = StaticScale(0.02, 7)
POSTS = [
    Post(addend, activation, fixed)
    for addend in (False, True)
    for activation in ("", *ACTIVATIONS)
    for fixed in (None, NARROW)
]


def make(
    outputs: int, depth: int, bias: bool = True
) -> tuple[Int8Linear, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    torch.manual_seed(outputs * 1000 + depth)
    weight, scale = codes((outputs, depth), torch.int8, depth), torch.rand(outputs) * 1e-2
    shift = torch.randn(outputs) if bias else None
    return Int8Linear(weight, scale, shift), weight, scale, shift


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_any_shape(outputs: int, depth: int) -> None:
    linear, weight, scale, bias = make(outputs, depth)
    for rows in ROWS:
        for x in (
            tokens(rows, depth),
            static((rows, depth), 131),
            static((rows, depth), 0),
            static((rows, depth), 255),
        ):
            assert_same(linear(x), finish(values(x) @ weight.double().t(), x, scale, bias, None, Post()))


@pytest.mark.parametrize("post", POSTS, ids=str)
def test_everything_that_may_follow(post: Post) -> None:
    linear, weight, scale, bias = make(70, 20)
    for x in (tokens(9, 20), static((3, 3, 20), 17)):
        sums = values(x) @ weight.double().t()
        floats = torch.randn(sums.shape) if post.addend else None
        assert_same(linear(x, floats, post), finish(sums, x, scale, bias, floats, post))
        if post.addend:
            coded = static(tuple(sums.shape), 99)
            assert_same(linear(x, coded, post), finish(sums, x, scale, bias, coded, post))


@pytest.mark.parametrize("activation", ["", "gelu"])
@pytest.mark.parametrize(("rows", "outputs"), [(0, 3), (1, 3), (97, 65), (211, 300), (97, 30000)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_codes_of_whole_rows_are_those_of_the_fp32_result(
    rows: int, outputs: int, activation: str, count: int, threads: int
) -> None:
    torch.set_num_threads(count)
    linear, *_ = make(outputs, 20)
    x, addend = tokens(rows, 20), torch.randn(rows, outputs)
    if rows > 2:
        addend[1], addend[2, 0] = 0.0, math.inf
    for post, added in ((Post(activation=activation), None), (Post(True, activation), addend)):
        found, plain = linear(x, added, replace(post, tokens=True)), linear(x, added, post)
        wanted = CARRIERS["int8:token"].convert(plain)
        assert isinstance(found, Quantized) and found.scheme == wanted.scheme
        assert_same(found.codes, wanted.codes)
        assert_same(found.scale, wanted.scale)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("rows", "outputs", "depth"), [(0, 5, 8), (1, 65, 7), (7, 130, 192), (9, 1100, 260)])
def test_rows_that_are_cast_inside_give_the_same_bits(
    rows: int, outputs: int, depth: int, count: int, threads: int
) -> None:
    torch.set_num_threads(count)
    linear, *_ = make(outputs, depth)
    x, addend = torch.randn(depth, rows).t(), torch.randn(rows, outputs)
    if rows > 3:
        x[0], x[1, 2], x[2, 1] = 0.0, math.nan, math.inf
    coded = CARRIERS["int8:token"].convert(x)
    for post, added in ((Post(), None), (Post(True, "gelu", NARROW), addend)):
        assert_same(linear.of_floats(x, added, post), linear(coded, added, post))


def test_without_a_bias_and_with_a_strided_addend() -> None:
    linear, weight, scale, _ = make(30, 12, bias=False)
    x, addend = tokens(8, 12), torch.randn(30, 8).t()
    expected = finish(values(x) @ weight.double().t(), x, scale, None, addend, Post(addend=True))
    assert_same(linear(x, addend, Post(addend=True)), expected)


@pytest.mark.parametrize("fixed", [None, NARROW])
def test_nan_and_infinity_of_a_row_stay_in_it(fixed: StaticScale | None) -> None:
    linear, weight, scale, bias = make(66, 8)
    x = tokens(8, 8)
    x.scale[2], x.scale[5] = torch.nan, torch.inf
    post = Post(codes=fixed)
    assert_same(linear(x, None, post), finish(values(x) @ weight.double().t(), x, scale, bias, None, post))


def test_codes_saturate_at_both_ends() -> None:
    linear, weight, scale, bias = make(40, 64)
    x = static((12, 64), 128)
    out = linear(x, None, Post(codes=StaticScale(1e-4, 100)))
    assert isinstance(out, Quantized) and {0, 255} <= set(out.codes.flatten().tolist())
    assert_same(out, finish(values(x) @ weight.double().t(), x, scale, bias, None, Post(codes=StaticScale(1e-4, 100))))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_number_of_threads_changes_nothing(threads: int, count: int) -> None:
    linear, weight, scale, bias = make(200, 192)
    x = tokens(203, 192)
    torch.set_num_threads(count)
    assert_same(linear(x), finish(values(x) @ weight.double().t(), x, scale, bias, None, Post()))


def test_a_weight_beyond_the_second_cache_gives_the_same_sums() -> None:
    linear, weight, scale, bias = make(2048, 1100)
    x = tokens(301, 1100)
    assert linear.scaled.weight.panels.numel() >= FAR_BYTES
    assert_same(linear(x), finish(values(x) @ weight.double().t(), x, scale, bias, None, Post()))


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 8, 64])
@pytest.mark.parametrize("panels", [1, 3, 64])
@pytest.mark.parametrize("rows", [0, 1, 6, 7, 197, 2048])
def test_shares_cover_all_work_in_whole_tiles(rows: int, panels: int, threads: int, far: bool) -> None:
    share, share_panels = share_out(rows, 768, panels, threads, far)
    assert share % 6 == 0 and 1 <= share_panels <= panels
    items = -(-rows // share) * -(-panels // share_panels)
    assert items >= min(threads, -(-rows // 6) * panels)
