"""Block formats: MX and NVFP4 against a slow reading of their texts and against gfloat. Edges: ``test_block_edges.py``.

gfloat takes MX's scale from ``floor(log2(absmax))`` in the dtype it is given: in FP32 the logarithm rounds up just
below a power of two, so it is given FP64, where it is exact. It has no NVFP4: there it gets x divided by the block's
total scale in FP32, as the definition says, and does the rounding of scales and elements.
"""

import math
from bisect import bisect_left
from fractions import Fraction

import gfloat
import numpy as np
import pytest
import torch
from gfloat import formats as known

from explorer.formats import FORMATS, Scheme, find_scale, quantize
from explorer.formats.blocks import round_blocks
from tests.formats.conftest import MX

NVFP4 = gfloat.BlockFormatInfo("nvfp4", known.format_info_ocp_e2m1, 16, known.format_info_ocp_e4m3)
NAMES = [*MX, "nvfp4"]
FP32_MAX = torch.finfo(torch.float32).max
LAYOUT = {  # exponent bits, mantissa bits, bias; codes at the top that are no numbers
    "mxfp8_e4m3": (4, 3, 7, 1),
    "mxfp8_e5m2": (5, 2, 15, 4),
    "mxfp6_e3m2": (3, 2, 3, 0),
    "mxfp6_e2m3": (2, 3, 1, 0),
    "mxfp4": (2, 1, 1, 0),
}


# A slow reading of the texts: exact fractions, one element at a time, none of our code.


def magnitudes(name):
    """The values of the element's positive codes in order, so that an even position is an even mantissa."""
    exponent_bits, mantissa_bits, bias, specials = LAYOUT[name]
    values = []
    for code in range(2 ** (exponent_bits + mantissa_bits) - specials):
        exponent, mantissa = divmod(code, 2**mantissa_bits)
        significand = Fraction(mantissa, 2**mantissa_bits) + (exponent > 0)
        values.append(significand * Fraction(2) ** (max(exponent, 1) - bias))
    return values


def to_nearest_even(value, table):
    """The entry of a sorted table nearest to a value >= 0, of two equally near the one at an even position."""
    if value >= table[-1]:
        return table[-1]
    above = bisect_left(table, value)
    if table[above] == value:
        return table[above]
    low, high = table[above - 1], table[above]
    if (value - low) != (high - value):
        return low if value - low < high - value else high
    return low if (above - 1) % 2 == 0 else high


def floor_log2(value):
    """The exponent of the largest power of two at or below a positive fraction."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= value else exponent - 1


def mx_by_the_text(block, name):
    """OCP MX 1.0, 6.3: X is the largest power of two at or below absmax, over the element's largest power of two; the
    elements are V / X to nearest even, clamped to the largest. E8M0 goes from -127 to 127. Returns X's exponent and the
    values."""
    if any(not math.isfinite(value) for value in block):
        return math.nan, [math.nan] * len(block)
    block = [Fraction(value) for value in block]
    absmax = max(abs(value) for value in block)
    table = None if name == "mxint8" else magnitudes(name)
    emax = 0 if table is None else floor_log2(table[-1])
    exponent = -127 if absmax == 0 else min(max(floor_log2(absmax) - emax, -127), 127)
    scale = Fraction(2) ** exponent
    values = []
    for value in block:
        if table is None:
            element = Fraction(min(max(round(value / scale * 64), -128), 127), 64)  # round(Fraction) is half to even
        else:
            element = to_nearest_even(abs(value) / scale, table) * (-1 if value < 0 else 1)
        values.append(float(element * scale))
    return exponent, values


def nvfp4_by_the_text(x, rounded):
    """x: [blocks, 16] FP32; every step in FP32 as numpy does it; ``rounded`` rounds one FP32 number to E4M3."""
    e2m1 = magnitudes("mxfp4")
    absmax = np.abs(x).max()
    g = np.float32(1) if absmax == 0 else max(absmax / np.float32(2688), np.finfo(np.float32).tiny)
    out = np.empty_like(x)
    scales = np.empty(len(x), dtype=np.float32)
    for i, block in enumerate(x):
        wanted = np.abs(block).max() / np.float32(6) / g
        scales[i] = rounded(min(max(float(wanted), 2.0**-6), 448.0))
        total = scales[i] * g
        for j, value in enumerate(block):
            element = np.float32(to_nearest_even(Fraction(float(abs(value) / total)), e2m1))
            out[i, j] = np.copysign(element * total, value)
    return g, scales, out


def hard_blocks(block, seed=0):
    """[n, block] FP32: every exponent, ties, ends of binades, single values, zeros, subnormals, outliers."""
    rng = np.random.default_rng(seed)
    rows = [rng.standard_normal(block) * 2.0 ** rng.uniform(-149, 126) for _ in range(60)]
    rows += [rng.standard_normal(block) * 2.0 ** rng.integers(-30, 30, block) for _ in range(20)]
    ties = np.arange(block) * 0.25 * 2.0 ** rng.integers(-20, 20, (20, 1))
    rows += [*(ties * rng.choice([-1, 1], block)), *(ties * (1 + 2.0**-20)), *(ties * (1 - 2.0**-20))]
    for power in (-149, -148, -130, -128, -127, -126, -125, -119, -111, -1, 0, 1, 100, 126, 127):
        for factor in (1, 2 - 2.0**-23, 1.5, 1.75, 1.984375, 1.9921875, 1.99609375):
            row = np.zeros(block)
            row[power % block] = -factor * 2.0**power
            row[(power + 3) % block] = 2.0**power / 3
            rows.append(row)
    rows += [np.zeros(block), np.full(block, -0.0), np.full(block, FP32_MAX), np.full(block, 2.0**-149)]
    return torch.from_numpy(np.clip(np.array(rows), -FP32_MAX, FP32_MAX).astype(np.float32))


def bits(x):
    return x.view(torch.int32)


@pytest.mark.parametrize("name", MX)
def test_mx_is_what_the_text_says(name):
    x = hard_blocks(32)
    x[5, 3], x[6, 9], x[7, 0] = math.nan, math.inf, -math.inf
    q = quantize(x, Scheme(name))
    ours = round_blocks(x, FORMATS[name])
    for row, scale, rounded, block in zip(x.tolist(), q.scale.flatten(), q.dequantize(), ours, strict=True):
        exponent, values = mx_by_the_text(row, name)
        assert (float(scale) == 2.0**exponent) or (scale.isnan() and math.isnan(exponent))
        expected = torch.tensor(values, dtype=torch.float64)
        beyond = expected.abs() > FP32_MAX  # -2 * 2**127, which the text leaves to the implementation
        assert not beyond.any() or name == "mxint8"
        expected[beyond] = -127 / 64 * 2.0**127
        assert torch.equal(block.double().nan_to_num(nan=7.5), expected.nan_to_num(nan=7.5))
        assert torch.equal(rounded.nan_to_num(nan=7.5), block.nan_to_num(nan=7.5))


def gfloat_in_bulk(x, name):
    """x: [n, 32] FP64 by gfloat's own rounding of arrays; the scales by frexp."""
    info = MX[name]
    absmax = np.abs(x).max(-1, keepdims=True)
    exponent = np.clip(np.frexp(absmax)[1] - 1 - info.etype.emax, -127, 127)
    return gfloat.round_ndarray(info.etype, np.ldexp(x, -exponent), sat=True) * 2.0**exponent


@pytest.mark.parametrize("name", MX)
def test_mx_on_many_blocks_by_gfloat(name):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((16_384, 32)) * 2.0 ** rng.uniform(-140, 125, (16_384, 1))
    x = np.concatenate([x, rng.standard_normal((16_384, 32))]).astype(np.float32)
    ours = round_blocks(torch.from_numpy(x), FORMATS[name])
    assert torch.equal(ours.double(), torch.from_numpy(gfloat_in_bulk(x.astype(np.float64), name)))


@pytest.mark.parametrize("name", MX)
def test_mx_blocks_by_gfloats_own_quantiser(name):
    x = hard_blocks(32)[::3]
    x = x[x.abs().amax(-1) < 1.99 * 2.0**127]  # above, MXINT8 leaves FP32
    ours = round_blocks(x, FORMATS[name]).double().numpy()
    for row, block in zip(x.double().numpy(), ours, strict=True):
        with np.errstate(divide="ignore"):
            theirs = gfloat.quantize_block(MX[name], row, gfloat.compute_scale_amax)
        np.testing.assert_array_equal(block, theirs)


def e4m3_by_gfloat(value):
    return gfloat.round_float(known.format_info_ocp_e4m3, value, sat=True)


def nvfp4_tensors():
    rng = np.random.default_rng(2)
    shape = (120, 16)
    yield rng.standard_normal(shape)
    yield rng.standard_normal(shape) * 2.0 ** rng.uniform(-12, 0, (120, 1))
    yield rng.standard_normal(shape) * 2.0**-140
    yield rng.standard_normal(shape) * 2.0**-118
    yield np.clip(rng.standard_normal(shape) * 2.0**126, -FP32_MAX, FP32_MAX)
    yield np.arange(1920).reshape(shape) % 97 * 0.125 * 2.0**7
    yield hard_blocks(16).numpy()
    yield np.zeros(shape)


@pytest.mark.parametrize("x", list(nvfp4_tensors()), ids=range(8))
def test_nvfp4_is_what_the_text_says(x):
    x = x.astype(np.float32)
    g, scales, values = nvfp4_by_the_text(x, e4m3_by_gfloat)
    q = quantize(torch.from_numpy(x), Scheme("nvfp4"))
    assert float(q.tensor_scale) == float(g)
    assert torch.equal(q.scale.flatten(), torch.from_numpy(scales))
    assert torch.equal(bits(round_blocks(torch.from_numpy(x), FORMATS["nvfp4"])), bits(torch.from_numpy(values)))
    assert torch.equal(q.dequantize(), torch.from_numpy(values))


@pytest.mark.parametrize("x", list(nvfp4_tensors())[:4], ids=range(4))
def test_nvfp4_blocks_by_gfloats_block_codes(x):
    x = torch.from_numpy(x.astype(np.float32))
    q = quantize(x, Scheme("nvfp4"))
    wanted = x.abs().amax(-1) / 6 / q.tensor_scale
    for row, ours, scale, want in zip(x, q.codes, q.scale.flatten(), wanted, strict=True):
        theirs = e4m3_by_gfloat(min(max(float(want), 2.0**-6), 448.0))
        scaled = (row / (scale * q.tensor_scale)).double().numpy()
        codes = list(gfloat.encode_block(NVFP4, theirs, scaled))
        decoded = list(gfloat.decode_block(NVFP4, codes))
        np.testing.assert_array_equal((ours.double() * scale.double()).numpy(), decoded)


def test_nvfp4_where_the_tensor_scale_is_a_power_of_two():
    """Then each step is exact and gfloat's quantiser, in FP64, must give the very same values."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((200, 16)).clip(-2.6, 2.6)
    x[0, 0] = 2688 / 1024
    x = torch.from_numpy(x.astype(np.float32))
    ours = round_blocks(x, FORMATS["nvfp4"]).double().numpy()
    g = 2.0**-10
    mismatched = 0
    for row, block in zip(x.double().numpy(), ours, strict=True):
        theirs = gfloat.quantize_block(NVFP4, row / g, lambda emax, vals: scale_as_nvfp4(vals))
        mismatched += int((block != theirs * g).sum())
    assert mismatched == 0


def scale_as_nvfp4(vals):
    return e4m3_by_gfloat(min(max(float(np.float32(np.abs(vals).max()) / np.float32(6)), 2.0**-6), 448.0))


@pytest.mark.parametrize("name", NAMES)
def test_scales_are_values_of_their_format(name):
    x = hard_blocks(FORMATS[name].block)
    q = quantize(x, Scheme(name))
    values = set(FORMATS[FORMATS[name].scale].values)
    assert set(q.scale.flatten().tolist()) <= values
    assert set((q.codes.double() * FORMATS[name].unit).flatten().tolist()) <= set(FORMATS[name].values)
    total = find_scale(x, Scheme(name))[0]
    assert torch.equal(total, q.scale * (1 if q.tensor_scale is None else q.tensor_scale))
