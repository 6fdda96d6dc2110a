"""Codes of 2, 4, 6 or 8 bits, packed into bytes without a gap, and out again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from explorer.errors import PrecisionError

_WIDTHS = (2, 4, 6, 8)
_STORED_ONLY = (
    torch.uint16,
    torch.uint32,
    torch.uint64,
)  # dtypes with few operations; UINT64 over 2**63 turns negative


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes as one row of bytes, UINT8 [ceil(count * bits / 8)], on the device of the codes.

    codes: any integer dtype, shape and strides, read in logical order; 0 <= code < 2**bits. Little-endian: the first
    code has the lowest bits of the first byte, and one that crosses bytes (6 bits: 4 codes in 3 bytes) has its lower
    bits in the earlier. What is left of the last byte is 0.
    Raises ``PrecisionError`` for another width, and for codes that do not fit.
    """
    asked = f"pack codes of {bits} bits"
    _check_width(bits, asked)
    return _regroup(check_codes(codes, bits, asked), bits, 8)[: _bytes_of(codes.numel(), bits)]


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first ``count`` codes of what ``pack`` returned, UINT8 [count].

    packed: UINT8 of any shape. Raises ``PrecisionError`` for another width or dtype, and where there are too few bytes.
    """
    asked = f"unpack {count} codes of {bits} bits"
    _check_width(bits, asked)
    if packed.dtype != torch.uint8 or not 0 <= count * bits <= packed.numel() * 8:
        found = f"{packed.numel()} elements of {packed.dtype}"
        raise PrecisionError(asked, found, f"UINT8, {_bytes_of(max(count, 0), bits)} bytes or more")
    return _regroup(packed.reshape(-1)[: _bytes_of(count, bits)], 8, bits)[:count]


def check_codes(codes: Tensor, bits: int, asked: str) -> Tensor:
    """The codes, in a dtype that torch can calculate with, or ``PrecisionError`` where they are none of this width."""
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise PrecisionError(asked, f"codes of {codes.dtype}", "an integer dtype")
    if codes.dtype in _STORED_ONLY:
        codes = codes.to(torch.int64)
    lowest, highest = (int(end) for end in codes.aminmax()) if codes.numel() else (0, 0)
    if lowest < 0 or highest >= 1 << bits:
        raise PrecisionError(asked, f"codes from {lowest} to {highest}", f"0 to {(1 << bits) - 1}")
    return codes


def _regroup(parts: Tensor, width: int, new_width: int) -> Tensor:
    """The bits of integers of one width as UINT8 of another, lowest bits first, zeros at the end."""
    word_width = math.lcm(width, new_width)
    word_dtype = torch.uint8 if word_width <= 8 else torch.int32
    flat = parts.reshape(-1).to(word_dtype)
    per_word = word_width // width
    rows = torch.nn.functional.pad(flat, (0, -flat.numel() % per_word)).view(-1, per_word)
    words = rows[:, 0].clone()
    for i in range(1, per_word):
        words.bitwise_or_(rows[:, i].bitwise_left_shift(i * width))
    regrouped = rows.new_empty((len(words), word_width // new_width), dtype=torch.uint8)
    for i in range(word_width // new_width):
        regrouped[:, i] = words.bitwise_right_shift(i * new_width).bitwise_and_((1 << new_width) - 1)
    return regrouped.view(-1)


def _bytes_of(count: int, bits: int) -> int:
    return (count * bits + 7) // 8


def _check_width(bits: int, asked: str) -> None:
    if bits not in _WIDTHS:
        raise PrecisionError(asked, "there is no packing of this width", " or ".join(map(str, _WIDTHS)))
