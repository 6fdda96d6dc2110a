"""Rounding of a tensor to the values of a format."""

from __future__ import annotations

from torch import Tensor

from explorer.formats.catalog import find_format
from explorer.formats.spec import Spec
from explorer.formats.steps import round_elements


def round_to(x: Tensor, format: str | Spec, saturate: bool = True) -> Tensor:
    """``x`` rounded to the nearest values of the format, ties to even.

    x: any shape, strides and device, FP32, BF16, FP16 or FP64; never modified. The result has its shape and dtype, its
    strides too where x is dense, and no gradient. FP64 is rounded once, not through FP32.

    Edge cases: NaN stays NaN; the sign of zero stays, for signed integers too (unsigned: +0); subnormals are exact.
    Above the largest value (by more than rounding takes back) and at Inf: the largest with ``saturate``; else Inf where
    the format has it, NaN where it has only NaN (E4M3), and the largest where it has neither (FP6, FP4, integers).
    Where the dtype of x cannot hold the largest value (FP16's 65504 in BF16), it is the largest that both hold.

    Raises ``PrecisionError`` for an unknown format, a format too wide to emulate, or a dtype that is no such float.
    Source: the format's ``source``; IEEE 754-2019 section 4.3.1 for roundTiesToEven.
    """
    return round_elements(x, find_format(format), saturate)
