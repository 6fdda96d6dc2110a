"""The fields of a job that say what is done with a result and where it goes, and the result as its caller sees it."""

from __future__ import annotations

import ctypes
import struct
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme
from explorer.kernels.simd import job
from explorer.kernels.site import ACTIVATIONS, Post, StaticScale

STATIC, TOKENS = Scheme("uint8", symmetric=False, dynamic=False), Scheme("int8", "token")
Block = ctypes.c_int64 * job.PLACES
Fields = dict[int, int]


class Template:
    """A job whose lasting fields are set: those that are the same from call to call."""

    def __init__(self, fields: Fields) -> None:
        block = Block()
        for place, value in fields.items():
            block[place] = value
        self._bytes = bytes(block)

    def copy(self) -> Any:
        """Return the block of one call."""
        return Block.from_buffer_copy(self._bytes)


def float_bits(value: float) -> int:
    """Return the bits of ``value`` in FP32 as the integer that carries it through a block of INT64."""
    return int(struct.unpack("<i", struct.pack("<f", value))[0])


def lasting_fields(post: Post) -> Fields:
    """Return the fields of an ending that depend on ``post`` alone."""
    fields = {job.ACTIVATION: ("", *ACTIVATIONS).index(post.activation)}
    if post.codes is not None:
        inverse = np.float32(1.0) / np.float32(post.codes.scale)
        fields |= {job.OUT_CODES: 1, job.OUT_INVERSE: float_bits(float(inverse))}
        fields[job.OUT_ZERO] = float_bits(post.codes.zero_point)
    return fields


def result_type(post: Post) -> torch.dtype:
    """Return what a result is written in as ``post`` asks for it."""
    if post.tokens:
        return torch.int8
    return torch.float32 if post.codes is None else torch.uint8


def as_tokens(codes: Tensor, scale: Tensor) -> Quantized:
    """Return INT8 codes [..., K] and a scale for each row [..., 1], which a call wrote, as their record."""
    return Quantized(codes, scale, None, TOKENS, torch.float32)


def set_out(block: Any, out: Tensor) -> None:
    """Let a call write ``out``, dense in memory."""
    assert out.is_cpu, "a bare address is written"
    block[job.OUT] = out.data_ptr()
    block[job.SAW_NAN] = ctypes.addressof(block) + 8 * job.NAN_SEEN


def set_addend(block: Any, addend: Tensor | Quantized, count: int) -> None:
    """Let a call add ``addend``, contiguous: ``count`` elements of FP32, or UINT8 codes under a static scale."""
    values = addend.codes if isinstance(addend, Quantized) else addend
    assert values.is_cpu and values.is_contiguous() and values.numel() == count, "a bare address is read"
    assert values.dtype == (torch.uint8 if isinstance(addend, Quantized) else torch.float32)
    block[job.ADDEND] = values.data_ptr()
    if isinstance(addend, Quantized):
        assert addend.zero_point is not None
        block[job.ADDEND_CODES] = 1
        block[job.ADDEND_SCALE] = float_bits(float(addend.scale))
        block[job.ADDEND_ZERO] = float_bits(float(addend.zero_point))


def as_result(block: Any, out: Tensor, post: Post) -> Tensor | Quantized:
    """Return what a call wrote to ``out`` (or a view of that), as a record where it is codes.

    A NaN among the values makes the record's scale NaN, as :func:`explorer.formats.quantize` has it.
    """
    if post.codes is None:
        return out
    scale, zero_point = _static_tensors(post.codes)
    if block[job.NAN_SEEN]:
        scale = torch.full_like(scale, torch.nan)
    return Quantized(out, scale, zero_point, STATIC, torch.float32)


@cache
def _static_tensors(fixed: StaticScale) -> tuple[Tensor, Tensor]:
    """Scale and zero point as 0-dim FP32 tensors, the same ones for every record under this scale."""
    return torch.tensor(fixed.scale), torch.tensor(float(fixed.zero_point))
