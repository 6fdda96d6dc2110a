"""Independent oracles for the formats: ml_dtypes and gfloat, never our own code. And which cases several tests try."""

import gfloat
import ml_dtypes
import numpy as np
import pytest
from gfloat import formats as known

from explorer.formats import FORMATS

GFLOAT = {
    "fp32": known.format_info_binary32,
    "tf32": gfloat.FormatInfo(
        "tf32",
        19,
        11,
        bias=127,
        is_signed=True,
        domain=gfloat.Domain.Extended,
        has_nz=True,
        num_high_nans=2**10 - 1,
        has_subnormals=True,
        is_twos_complement=False,
    ),
    "bf16": known.format_info_bfloat16,
    "fp16": known.format_info_binary16,
    "fp8_e4m3": known.format_info_ocp_e4m3,
    "fp8_e5m2": known.format_info_ocp_e5m2,
    "fp6_e3m2": known.format_info_ocp_e3m2,
    "fp6_e2m3": known.format_info_ocp_e2m3,
    "fp4_e2m1": known.format_info_ocp_e2m1,
    "e8m0": known.format_info_ocp_e8m0,
}
ML_DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
    "int4": ml_dtypes.int4,
    "uint4": ml_dtypes.uint4,
    "int2": ml_dtypes.int2,
    "int8": np.int8,
    "uint8": np.uint8,
}
MX = {
    "mxfp8_e4m3": known.format_info_mxfp8_e4m3,
    "mxfp8_e5m2": known.format_info_mxfp8_e5m2,
    "mxfp6_e3m2": known.format_info_mxfp6_e3m2,
    "mxfp6_e2m3": known.format_info_mxfp6_e2m3,
    "mxfp4": known.format_info_mxfp4_e2m1,
    "mxint8": known.format_info_mxint8,
}
CODE_BITS = {"bf16": 16, "fp16": 16, "fp6_e3m2": 6, "fp6_e2m3": 6, "fp4_e2m1": 4, "int4": 4, "uint4": 4, "int2": 2}
SCALED = [name for name, spec in FORMATS.items() if spec.bits < 16 and not spec.is_block and name != "e8m0"]
"""Formats whose values are divided by a scale, one by one."""
PARTS = [
    {"granularity": "tensor"},
    {"granularity": "channel", "axis": 0},
    {"granularity": "channel", "axis": -1},
    {"granularity": "token"},
    {"granularity": "group", "group": 4},
]
"""Every way to share a scale, for tensors whose last dimension four divides."""


class Oracle:
    """What other libraries say of a format."""

    def __init__(self, name):
        self.name = name
        self.is_float = name in GFLOAT

    def values_of_codes(self):
        """[2**bits] FP64, by ml_dtypes."""
        bits = CODE_BITS.get(self.name, 8)
        codes = np.arange(2**bits, dtype=np.uint16 if bits == 16 else np.uint8)
        with np.errstate(invalid="ignore"):  # signalling NaN
            return codes.view(ML_DTYPES[self.name]).astype(np.float64)

    def finite_values(self):
        values = self.values_of_codes()
        return np.unique(values[np.isfinite(values)])

    def largest(self):
        return float(GFLOAT[self.name].max) if self.is_float else float(self.finite_values().max())

    def round(self, x, saturate=True):
        """x: FP32; by ml_dtypes where it has the format, else gfloat; the clamp first, as ml_dtypes overflows."""
        if self.name not in ML_DTYPES:
            return self.round_exactly(x.astype(np.float64), saturate).astype(np.float32)
        values = self.finite_values()
        if saturate or not self.has_specials():
            x = np.clip(x, values.min(), values.max())
        if not self.is_float:
            return np.rint(x) + np.float32(-0.0 if values.min() else 0.0)
        y = np.where(np.isnan(x), 0, x).astype(ML_DTYPES[self.name]).astype(np.float32)
        return np.where(np.isnan(x), np.float32(np.nan), y)

    def round_exactly(self, x, saturate=True):
        """x: FP64, rounded once; by gfloat (ml_dtypes rounds FP64 twice)."""
        if not self.is_float:
            values = self.finite_values()
            return np.clip(np.rint(x), values.min(), values.max()) + (-0.0 if values.min() else 0.0)
        info = GFLOAT[self.name]
        if saturate or not self.has_specials():
            x = np.clip(x, -info.max, info.max)
        kept = np.where(np.isnan(x), 0.0, x)
        return np.where(np.isnan(x), np.nan, gfloat.round_ndarray(info, kept, sat=False))

    def has_specials(self):
        return self.is_float and (GFLOAT[self.name].num_nans > 0)


@pytest.fixture
def oracle():
    """A function from a format's name to its oracle."""
    return Oracle
