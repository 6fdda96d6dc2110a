"""The INT8 convolution equals exact sums and separate steps, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer.formats import Quantized
from explorer.kernels.simd.int8_conv import Int8Conv, refuse_shape
from explorer.kernels.simd.window import read_window
from explorer.kernels.site import ACTIVATIONS, Post, StaticScale
from tests.kernels_simd.cases import TENSOR, assert_same, codes, finish, static, values

CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...]]] = {
    "3x3 padded": ((2, 8, 9, 7), (5, 8, 3, 3), (1, 1)),
    "3x3 to 70 outputs, strides differ": ((2, 8, 9, 7), (70, 8, 3, 3), ((2, 1), (1, 0))),
    "three colours, 7x7 by 2": ((1, 3, 17, 23), (10, 3, 7, 7), (2, 3)),
    "three colours, dilated": ((2, 3, 9, 11), (6, 3, 3, 3), (1, 2, 2)),
    "two groups": ((2, 16, 8, 9), (16, 8, 3, 3), (1, 1, 1, 2)),
    "four groups, same": ((2, 16, 8, 9), (24, 4, 3, 5), (1, "same", 1, 4)),
    "pointwise": ((2, 64, 8, 9), (33, 64, 1, 1), ()),
    "pointwise by 2": ((2, 64, 9, 9), (33, 64, 1, 1), (2,)),
    "pointwise, five channels": ((1, 5, 6, 6), (3, 5, 1, 1), (1,)),
    "more padding than image": ((1, 4, 2, 3), (3, 4, 5, 5), (1, 2)),
    "dilated, padding differs": ((3, 4, 30, 30), (3, 4, 3, 3), (1, (2, 1), (2, 1))),
    "valid": ((2, 4, 6, 5), (7, 4, 3, 2), (1, "valid")),
    "no images": ((0, 4, 6, 5), (7, 4, 3, 3), (1, 1)),
    "one-dimensional": ((2, 6, 31), (9, 6, 5), (2, 2)),
    "one-dimensional, four channels": ((2, 4, 31), (9, 4, 4), ([3], [1], [2])),
}


def convolve(x: Quantized, weight: torch.Tensor, settings: tuple[Any, ...]) -> torch.Tensor:
    """The exact sums, channels last."""
    function = torch.nn.functional.conv2d if weight.dim() == 4 else torch.nn.functional.conv1d
    return function(values(x), weight.double(), None, *settings).movedim(1, -1)


@pytest.mark.parametrize("layout", ["channels last", "contiguous", "signed"])
@pytest.mark.parametrize("name", CASES)
def test_any_window(name: str, layout: str) -> None:
    shape, weight_shape, settings = CASES[name]
    weight, scale, bias = (
        codes(weight_shape, torch.int8),
        torch.rand(weight_shape[0]) * 1e-2,
        torch.randn(weight_shape[0]),
    )
    conv = Int8Conv(weight, scale, bias, settings)
    if layout == "signed":
        x = Quantized(codes(shape, torch.int8), torch.full((1,) * len(shape), 0.0123), None, TENSOR, torch.float32)
    else:
        x = static(shape, 113)
        if layout == "channels last" and len(shape) == 4:
            x = Quantized(x.codes.to(memory_format=torch.channels_last), x.scale, x.zero_point, x.scheme, x.dtype)
    for _ in range(2):  # the second call finds its offsets
        out = conv(x)
        assert isinstance(out, torch.Tensor)
        flat = Quantized(x.codes, x.scale.reshape(()), x.zero_point, x.scheme, x.dtype)
        assert_same(out.movedim(1, -1), finish(convolve(x, weight, settings), flat, scale, bias, None, Post()))
    if len(shape) == 4:
        assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("activation", ["", *ACTIVATIONS])
def test_everything_that_may_follow(activation: str, coded: bool) -> None:
    weight, scale, bias = codes((66, 8, 3, 3), torch.int8), torch.rand(66) * 1e-2, torch.randn(66)
    conv, x = Int8Conv(weight, scale, bias, (2, 1)), static((2, 8, 11, 9), 5)
    post = Post(True, activation, StaticScale(0.03, 20) if coded else None)
    sums = convolve(x, weight, (2, 1))
    for addend in (torch.randn(2, 66, 6, 5), static((2, 66, 6, 5), 77)):
        last = addend.movedim(1, -1) if isinstance(addend, torch.Tensor) else _last(addend)
        out, expected = conv(x, addend, post), finish(sums, x, scale, bias, last, post)
        if isinstance(out, Quantized):
            assert_same(_last(out), expected)
        else:
            assert_same(out.movedim(1, -1), expected)


def _last(x: Quantized) -> Quantized:
    return Quantized(x.codes.movedim(1, -1), x.scale, x.zero_point, x.scheme, x.dtype)


@pytest.mark.parametrize(
    ("shape", "groups", "word"),
    [((8, 1, 3, 3), 8, "depthwise"), ((8, 3, 3, 3), 2, "multiple of four"), ((8, 4, 3, 3, 3), 1, "two-dimensional")],
)
def test_what_it_cannot_do_is_said(shape: tuple[int, ...], groups: int, word: str) -> None:
    assert word in refuse_shape(shape, groups)


def test_settings_are_read_as_aten_gives_them() -> None:
    window = read_window((3, 4), ([2], [1, 0], 2))
    assert (window.stride, window.before, window.dilation, window.groups) == ((2, 2), (1, 0), (2, 2), 1)
    assert read_window((4,), (1, "same")).before == (0, 1) and read_window((4,), (1, "same")).after == (0, 2)


def test_a_frame_is_filled_anew_for_other_images_sizes_and_zero_points() -> None:
    weight, scale = codes((6, 3, 3, 3), torch.int8), torch.rand(6) * 1e-2
    conv = Int8Conv(weight, scale, None, (1, 1))
    for shape, zero_point, seed in [
        ((2, 3, 6, 5), 9, 0),
        ((2, 3, 6, 5), 9, 1),
        ((2, 3, 6, 5), 70, 2),
        ((1, 3, 5, 6), 70, 3),
    ]:
        x = static(shape, zero_point, seed)
        out = conv(x)
        assert isinstance(out, torch.Tensor)
        assert_same(out.movedim(1, -1), finish(convolve(x, weight, (1, 1)), x, scale, None, None, Post()))
