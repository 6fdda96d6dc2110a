"""The fields of a job that say what is done with a result and where it goes: addend, activation, codes."""

from __future__ import annotations

import struct

import numpy as np
import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme
from explorer.kernels.simd import job
from explorer.kernels.site import ACTIVATIONS, Post, StaticScale

STATIC = Scheme("uint8", symmetric=False, dynamic=False)


def float_bits(value: float) -> int:
    """Return the bits of ``value`` in FP32 as the integer that carries it through a block of INT64."""
    return int(struct.unpack("<i", struct.pack("<f", value))[0])


class Ending:
    """An empty result, the fields that have a loop fill it, and the result as its caller sees it.

    The result is FP32, or UINT8 codes where ``post.codes`` is set; contiguous of the shape ``like``, or laid out as the
    tensor ``like``, or ``out`` where that is given.
    """

    def __init__(self, post: Post, like: tuple[int, ...] | Tensor, out: Tensor | None = None) -> None:
        self.post = post
        dtype = torch.float32 if post.codes is None else torch.uint8
        if out is not None:
            assert isinstance(like, Tensor) and out.shape == like.shape and out.stride() == like.stride()
            assert out.is_cpu and out.dtype == dtype, "a bare address is written"
            self.out = out
        elif isinstance(like, Tensor):
            self.out = torch.empty_like(like, dtype=dtype)
        else:
            self.out = torch.empty(like, dtype=dtype)
        self._saw_nan = np.zeros(1, dtype=np.int64)
        self._held: Tensor | None = None

    def fill(self, fields: list[int], addend: Tensor | Quantized | None = None) -> None:
        """Set the fields of the ending; ``addend``, where ``post`` has one, is contiguous and of the result's shape."""
        assert (addend is not None) == self.post.addend, "an addend is given where the kernel was extended by one"
        fields[job.OUT] = self.out.data_ptr()
        fields[job.ACTIVATION] = ("", *ACTIVATIONS).index(self.post.activation)
        if self.post.codes is not None:
            inverse = np.float32(1.0) / np.float32(self.post.codes.scale)
            fields[job.OUT_CODES], fields[job.OUT_INVERSE] = 1, float_bits(float(inverse))
            fields[job.OUT_ZERO] = float_bits(self.post.codes.zero_point)
            fields[job.SAW_NAN] = self._saw_nan.ctypes.data
        if addend is not None:
            self._add(fields, addend)

    def _add(self, fields: list[int], addend: Tensor | Quantized) -> None:
        values = addend.codes if isinstance(addend, Quantized) else addend
        assert values.is_cpu and values.is_contiguous() and values.numel() == self.out.numel(), "a bare address is read"
        assert values.dtype == (torch.uint8 if isinstance(addend, Quantized) else torch.float32)
        self._held, fields[job.ADDEND] = values, values.data_ptr()
        if isinstance(addend, Quantized):
            assert addend.zero_point is not None
            fields[job.ADDEND_CODES] = 1
            fields[job.ADDEND_SCALE] = float_bits(float(addend.scale))
            fields[job.ADDEND_ZERO] = float_bits(float(addend.zero_point))

    def result(self, out: Tensor | None = None) -> Tensor | Quantized:
        """Return ``out`` (None: the result; else a view of it), as a record where it is codes.

        A NaN among the values makes the record's scale NaN, as :func:`explorer.formats.quantize` has it.
        """
        out = self.out if out is None else out
        if self.post.codes is None:
            return out
        scale, zero_point = static_tensors(self.post.codes)
        if self._saw_nan[0]:
            scale = torch.full_like(scale, torch.nan)
        return Quantized(out, scale, zero_point, STATIC, torch.float32)


_kept: dict[StaticScale, tuple[Tensor, Tensor]] = {}


def static_tensors(fixed: StaticScale) -> tuple[Tensor, Tensor]:
    """Return scale and zero point as 0-dim FP32 tensors, the same ones for every record under this scale."""
    if fixed not in _kept:
        _kept[fixed] = torch.tensor(fixed.scale), torch.tensor(float(fixed.zero_point))
    return _kept[fixed]
