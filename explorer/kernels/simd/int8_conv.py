"""INT8 convolution on the CPU, one- and two-dimensional, as the product of pixels. (Effect: JIT, threads.)

Inputs and outputs are channels-last: an output pixel is a row of the product, and each place of the filter is a tap,
whose inputs are the neighbouring bytes of one pixel. Nothing is copied to lay the rows out (no "im2col"): the product
reads each tap from its address, and in the padding from a row of zero points.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from explorer.formats import Quantized
from explorer.kernels.layout import CHANNELS_LAST, FRAMED
from explorer.kernels.simd.ending import as_result, result_type
from explorer.kernels.simd.product import Rows, Scaled, multiply
from explorer.kernels.simd.weight import pack_int8
from explorer.kernels.simd.window import Window, read_window
from explorer.kernels.site import Post

PLAIN = Post()
SIGN = 128
MANY = 8
"""Channels beyond which torch copies all of them at once as fast as plane by plane."""


def refuse_shape(weight_shape: Sequence[int], groups: int) -> str:
    """Return why a convolution with a weight [N, C / groups, ...] cannot run here, or nothing."""
    outputs, depth = weight_shape[:2]
    if len(weight_shape) not in (3, 4):
        return "the INT8 convolution is one- or two-dimensional"
    if groups > 1 and outputs // groups < 4:
        return "the INT8 convolution has no depthwise form: a group here has fewer than four outputs"
    if groups > 1 and depth % 4:
        return f"the INT8 convolution needs groups of a multiple of four inputs; these have {depth}"
    return ""


def layout_of(weight_shape: Sequence[int], groups: int) -> str:
    """Return how the input of a convolution with a weight [N, C / groups, ...] must lie, so that it is not copied."""
    return FRAMED if _is_framed(weight_shape[1] * groups) else CHANNELS_LAST


def _is_framed(channels: int) -> bool:
    return channels % 4 != 0


@dataclass(frozen=True, eq=False)
class Places:
    """Where rows and taps are for one size of image: the output's size, and the offsets into an image of bytes."""

    outputs: tuple[int, int]
    offsets: Tensor
    image_bytes: int


class Int8Conv:
    """A convolution with an INT8 weight: ``codes`` [N, C / groups, kernel...], ``scale`` and ``bias`` [N] (or None).

    ``settings`` are ATen's stride, padding, dilation and groups. Where the channels are no multiple of four (images of
    three colours), each image is first copied into a frame of zero points: there a whole row of the filter is
    one run of neighbouring bytes, so that nothing is padded but its end.
    """

    def __init__(self, codes: Tensor, scale: Tensor, bias: Tensor | None, settings: Sequence[object]) -> None:
        assert not refuse_shape(codes.shape, read_window(codes.shape[2:], settings).groups)
        self.window = read_window(codes.shape[2:], settings)
        self.dims = codes.dim() - 2
        codes = codes.reshape(*codes.shape[:2], *self.window.kernel)
        self.outputs, self.channels = codes.shape[0], codes.shape[1] * self.window.groups
        self.framed = _is_framed(self.channels)
        self.runs = self.framed and self.window.dilation[1] == 1
        taps = codes.permute(0, 2, 3, 1).reshape(self.outputs, -1, codes.shape[1])
        if self.runs:
            taps = taps.reshape(self.outputs, self.window.kernel[0], -1)
        self.scaled = Scaled(pack_int8(taps.contiguous(), self.window.groups), scale, bias)
        self._places: dict[tuple[int, int], Places] = {}
        self._padding: dict[int, Tensor] = {}
        self._frames = threading.local()

    def __call__(
        self, x: Quantized, addend: Tensor | Quantized | None = None, post: Post = PLAIN
    ) -> Tensor | Quantized:
        """Return the convolution of ``x`` [B, C, H, W] or [B, C, L], and what ``post`` asks for, channels-last.

        x: UINT8 codes with an integer zero point, or INT8 codes; one scale. Other layouts than channels-last are
        copied, those of ``addend`` too. The steps round as those of :class:`.int8_matmul.Int8Linear`.
        """
        codes, zero_point = x.codes, 0 if x.zero_point is None else int(x.zero_point)
        if codes.dtype == torch.int8:
            codes, zero_point = codes.view(torch.uint8).bitwise_xor(SIGN), SIGN
        codes = codes.unsqueeze(2) if self.dims == 1 else codes
        pixels = codes.permute(0, 2, 3, 1)  # [B, H, W, C]
        outputs, rows = self._read(pixels, x.scale.reshape(()), zero_point)
        written = torch.empty((pixels.shape[0], *outputs, self.outputs), dtype=result_type(post))
        block = multiply(rows, self.scaled, post, None if addend is None else self._last(addend), written)
        out = written.permute(0, 3, 1, 2)
        return as_result(block, out.squeeze(2) if self.dims == 1 else out, post)

    def _read(self, pixels: Tensor, scale: Tensor, zero_point: int) -> tuple[tuple[int, int], Rows]:
        """Return the output's size and the rows, one for each output pixel."""
        images, height, width, channels = pixels.shape
        if self.window.pointwise and not self.framed:
            rows = Rows(pixels.contiguous(), images * height * width, channels, scale, zero_point)
            return (height, width), rows
        places = self._find_places(height, width)
        codes = self._frame(pixels, zero_point) if self.framed else pixels.contiguous()
        count = images * places.outputs[0] * places.outputs[1]
        padding = self._pad(zero_point)
        return places.outputs, Rows(codes, count, 0, scale, zero_point, places.offsets, places.image_bytes, padding)

    def _find_places(self, height: int, width: int) -> Places:
        if (height, width) not in self._places:
            window = self.window
            if self.framed:
                inside = replace(window, before=(0, 0), after=(0, 0))
                height_in, width_in = _frame_size(window, height, width)
                offsets = inside.offsets(height_in, width_in, self.channels)
                if self.runs:
                    offsets = offsets[:, :: window.kernel[1]].contiguous()
            else:
                height_in, width_in, offsets = height, width, window.offsets(height, width, self.channels)
            places = Places(window.outputs(height, width), offsets, height_in * width_in * self.channels)
            self._places[height, width] = places
        return self._places[height, width]

    def _frame(self, pixels: Tensor, zero_point: int) -> Tensor:
        """Return the images with their padding around them; four bytes more can be read at the end.

        The memory is this Python thread's, and the same from call to call: its borders are filled in once.
        """
        images, height, width, channels = pixels.shape
        size = (images, *_frame_size(self.window, height, width), channels)
        kept, key = self._frames, (size, zero_point)
        if getattr(kept, "key", None) != key:
            kept.key, kept.memory = key, torch.full((prod(size) + 4,), zero_point, dtype=torch.uint8)
        memory: Tensor = kept.memory
        top, left = self.window.before
        inside = memory[:-4].view(size)[:, top : top + height, left : left + width]
        if pixels.is_contiguous() or channels > MANY:
            inside.copy_(pixels)
        else:
            for channel in range(channels):  # torch copies all at once half as fast
                inside[..., channel] = pixels[..., channel]
        return memory

    def _pad(self, zero_point: int) -> Tensor:
        if zero_point not in self._padding:
            self._padding[zero_point] = torch.full((self.channels + 4,), zero_point, dtype=torch.uint8)
        return self._padding[zero_point]

    def _last(self, addend: Tensor | Quantized) -> Tensor | Quantized:
        """Return the addend's elements in the order of [B, H, W, N]."""
        if isinstance(addend, Quantized):
            codes = self._last(addend.codes)
            assert isinstance(codes, Tensor)
            return replace(addend, codes=codes)
        return addend.movedim(1, -1).contiguous()


def _frame_size(window: Window, height: int, width: int) -> tuple[int, int]:
    return height + window.before[0] + window.after[0], width + window.before[1] + window.after[1]
