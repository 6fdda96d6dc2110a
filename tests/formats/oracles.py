"""What two independent libraries make of a number, ml_dtypes and gfloat, and the numbers where rounding is decided."""

from __future__ import annotations

import gfloat
import numpy as np
from gfloat import RoundMode

from tests.formats.conftest import CODE_BITS, GFLOAT, ML_DTYPES

MODES = {
    "nearest": RoundMode.TiesToEven,
    "toward_zero": RoundMode.TowardZero,
    "up": RoundMode.TowardPositive,
    "down": RoundMode.TowardNegative,
}
ELEMENTS = [*GFLOAT, *(name for name in ML_DTYPES if name not in GFLOAT)]
CODED = [name for name in ELEMENTS if name not in ("fp32", "tf32")]
UNSIGNED = ("e8m0", "uint8", "uint4")


def _integer(name: str, bits: int, signed: bool) -> gfloat.FormatInfo:
    """Integers as gfloat has them: all subnormal, with a step of 1."""
    precision = bits if signed else bits + 1
    kind = {"domain": gfloat.Domain.Finite, "has_nz": False, "num_high_nans": 0, "has_subnormals": True}
    bias = 2 - precision
    return gfloat.FormatInfo(name, bits, precision, bias=bias, is_signed=signed, is_twos_complement=signed, **kind)


INFOS = GFLOAT | {
    name: _integer(name, CODE_BITS.get(name, 8), name not in UNSIGNED) for name in ELEMENTS if "int" in name
}


def bits_of(name):
    return INFOS[name].k


def has_nan(name):
    return INFOS[name].num_nans > 0


def values_of_codes(name):
    """[2**bits] FP64 in order of codes, by ml_dtypes."""
    codes = np.arange(2 ** bits_of(name), dtype=np.uint16 if bits_of(name) == 16 else np.uint8)
    with np.errstate(invalid="ignore"):  # signalling NaN
        return codes.view(ML_DTYPES[name]).astype(np.float64)


def finite_values(name):
    """In order, zero once, by ml_dtypes; TF32, which it lacks, as the FP32 values with 13 low bits cleared."""
    if name == "tf32":
        magnitudes = (np.arange(0xFF << 10, dtype=np.uint32) << 13).view(np.float32).astype(np.float64)
        return np.unique(np.concatenate([-magnitudes, magnitudes]))
    if name == "fp32":
        tops = np.finfo(np.float32).max * np.array([1, 1 - 2**-23, 0.5])
        return np.concatenate([-tops, [0.0], tops[::-1]])
    values = values_of_codes(name)
    return np.unique(values[np.isfinite(values)])


def round_by_ml_dtypes(name, x, saturate):
    """x: FP32, to nearest. It overflows to Inf or NaN, and integers wrap, so what saturates is clamped first."""
    info = INFOS[name]
    if name == "e8m0":
        return _round_scales_by_ml_dtypes(np.minimum(x, np.float32(info.max)) if saturate else x)
    if saturate or not has_nan(name):
        x = np.clip(x, np.float32(info.min), np.float32(info.max))
    kept = np.where(np.isnan(x), 0, x)
    y = (np.rint(kept) if "int" in name else kept).astype(ML_DTYPES[name]).astype(np.float32)
    if "int" in name:
        y = np.copysign(y, x) if info.is_signed else np.abs(y)
    return np.where(np.isnan(x), np.float32(np.nan), y)


def _round_scales_by_ml_dtypes(x):
    """To E8M0. FP32 subnormals are scaled out of the way: ml_dtypes takes all between 2**-127 and 2**-126 up, even what
    is nearer to 2**-127."""
    small = (x > 0) & (x < 2.0**-100)
    up = np.float32(2.0**40)
    scaled = np.where(small, np.maximum(x, np.float32(2.0**-127)) * up, x)
    y = scaled.astype(ML_DTYPES["e8m0"]).astype(np.float32)
    return np.where(small, y / up, y)


def round_by_gfloat(name, x, saturate, rounding="nearest"):
    """x: FP32 or FP64, rounded once. What gfloat leaves open is added here, and nothing else:

    unsigned formats take no sign, E8M0 has no values under 2**-127 and at or under zero, and its ties go to the larger
    value (IEEE 754-2019, section 4.3.1: neither neighbour is even). A signed integer zero keeps its sign.
    """
    info, mode = INFOS[name], MODES[rounding]
    x = x.astype(np.float64)
    kept = np.where(np.isnan(x), 1.0, x)
    if name == "e8m0":
        kept = np.where(kept > 0, np.maximum(kept, info.min), 1.0)
        mode = RoundMode.TiesToAway if rounding == "nearest" else mode
    elif not info.is_signed:
        kept = np.maximum(kept, 0.0)
    y = gfloat.round_ndarray(info, kept, mode, sat=saturate or not has_nan(name))
    y = np.where(np.isnan(x) | ((x <= 0) & (name == "e8m0")), np.nan, y)
    return np.where(y == 0, np.copysign(0.0, x if info.is_signed else 1.0), y)


def boundaries(name):
    """FP32 where rounding is decided, both signs of everything.

    Each value, each midpoint, half a step and a step beyond the ends, powers of two far beyond, Inf; one FP32 ulp
    either side of all these; zeros and NaN.
    """
    values = finite_values(name)
    step = values[-1] - values[-2]
    far = [INFOS[name].max * 2.0**k for k in (1, 2, 40)] + [2.0**-149, 2.0**-126, 3.4028235e38, np.inf]
    points = np.concatenate([values, (values[1:] + values[:-1]) / 2, values[-1] + step * np.array([0.5, 1, 1.5]), far])
    with np.errstate(over="ignore"):
        points = np.unique(np.concatenate([points, -points]).astype(np.float32))
    points = points[points != 0]
    either_side = [np.nextafter(points, np.float32(-np.inf)), np.nextafter(points, np.float32(np.inf))]
    return np.concatenate([points, *either_side, np.array([0.0, -0.0, np.nan, -np.nan], np.float32)])


def random_inputs(name, count, seed):
    """FP32: half random bits, so every exponent and NaN; half spread over the format's binades and a little beyond."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, count // 2, dtype=np.uint32).view(np.float32)
    top = min(np.log2(INFOS[name].max) + 1, 128)
    low = max(np.log2(np.abs(finite_values(name)[finite_values(name) != 0]).min()) - 2, -149)
    sizes = np.exp2(rng.uniform(low, top, count - count // 2).astype(np.float32)).astype(np.float32)
    return np.concatenate([bits, np.where(rng.integers(0, 2, sizes.size), sizes, -sizes)])


def count_differences(ours, expected):
    """Elements that differ: in value, in the sign of zero, or in being NaN."""
    ours, expected = ours.astype(np.float64), expected.astype(np.float64)
    both_nan = np.isnan(ours) & np.isnan(expected)
    same = (ours == expected) & (np.signbit(ours) == np.signbit(expected))
    return int(np.count_nonzero(~(same | both_nan)))
