"""Every fact and every derived property of a format, by brute force against other libraries."""

import math

import ml_dtypes
import numpy as np
import pytest
from gfloat import decode_block

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, BlockSpec, FloatSpec, IntSpec
from tests.formats.conftest import MX

LISTABLE = [name for name, spec in FORMATS.items() if spec.bits <= 16 and not spec.is_block]
FLOATS = [name for name, spec in FORMATS.items() if isinstance(spec, FloatSpec)]


@pytest.mark.parametrize("name", LISTABLE)
def test_every_code_means_what_ml_dtypes_says(name, oracle):
    spec = FORMATS[name]
    expected = oracle(name).values_of_codes()
    ours = np.array([spec.decode(code) for code in range(2**spec.bits)])
    assert len(expected) == len(ours)
    np.testing.assert_array_equal(ours, expected)
    kept = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(ours[kept]), np.signbit(expected[kept]))


@pytest.mark.parametrize("name", LISTABLE)
def test_derived_properties_by_enumeration(name, oracle):
    spec = FORMATS[name]
    values = oracle(name).finite_values()
    assert spec.largest == values.max()
    assert spec.smallest == values.min()
    assert spec.finite_values == len(values)
    assert spec.values == tuple(values)
    assert spec.epsilon == (values[values > 1].min() - 1 if spec.largest > 1 else 1)
    assert spec.smallest_positive == values[values > 0].min()
    assert spec.bits_per_element == spec.storage_bits
    if isinstance(spec, FloatSpec):
        everything = oracle(name).values_of_codes()
        assert spec.smallest_subnormal == values[values > 0].min()
        assert spec.nan_codes == np.isnan(everything).sum()
        assert spec.has_inf == bool(np.isinf(everything).any())
        assert 2.0**spec.max_exponent <= spec.largest < 2.0 ** (spec.max_exponent + 1)


@pytest.mark.parametrize("name", [name for name in FLOATS if name not in ("fp32", "tf32")])
def test_normals_begin_where_ml_dtypes_says(name):
    named = {"bf16": "bfloat16", "fp16": "float16", "e8m0": "float8_e8m0fnu"}
    dtype = named.get(name, name.replace("fp", "float") + "fn")
    dtype = dtype.replace("e5m2fn", "e5m2")
    info = ml_dtypes.finfo(getattr(ml_dtypes, dtype, None) or dtype)
    assert FORMATS[name].smallest_normal == float(info.smallest_normal)


@pytest.mark.parametrize("name", MX)
def test_mx_formats_are_those_of_gfloat(name):
    spec, theirs = FORMATS[name], MX[name]
    assert (spec.block, spec.bits, spec.scale_spec.bits) == (theirs.k, theirs.element_bits, theirs.scale_bits)
    assert spec.bits_per_element * spec.block == theirs.block_size_bytes * 8
    assert spec.max_element_exponent == theirs.etype.emax
    assert (spec.tensor_scale, spec.scale) == (None, "e8m0")
    one = 127
    decoded = list(decode_block(theirs, [one, *range(2**spec.bits)]))
    np.testing.assert_array_equal([spec.decode(code) for code in range(2**spec.bits)], decoded)
    finite = np.unique([value for value in decoded if np.isfinite(value)])
    assert spec.values == tuple(finite)
    assert spec.finite_values == len(finite)
    top, bottom = 254, 0
    assert spec.largest == max(finite) * theirs.stype.max == next(iter(decode_block(theirs, [top, _code(spec)])))
    assert spec.smallest == min(finite) * 2.0**127
    assert spec.smallest_positive == min(finite[finite > 0]) * next(iter(decode_block(theirs, [bottom, _one(spec)])))
    assert spec.epsilon == finite[finite > 1].min() - 1


def _code(spec):
    """The code of an element's largest value."""
    return next(code for code in range(2**spec.bits) if spec.decode(code) == max(spec.values))


def _one(spec):
    """The code of an element of 1."""
    return next(code for code in range(2**spec.bits) if spec.decode(code) == 1)


def test_nvfp4_has_two_levels_of_scales():
    spec = FORMATS["nvfp4"]
    assert (spec.element, spec.block, spec.scale, spec.tensor_scale) == ("fp4_e2m1", 16, "fp8_e4m3", "fp32")
    assert spec.bits_per_element == 4 + 8 / 16
    assert spec.largest == 6 * 448
    assert spec.label == "NVFP4"


@pytest.mark.parametrize(("name", "digits"), [("fp32", 7.22), ("bf16", 2.41), ("fp16", 3.31), ("mxfp4", 0.60)])
def test_decimal_digits(name, digits):
    assert FORMATS[name].decimal_digits == pytest.approx(digits, abs=0.005)  # the figures usually printed, 2 places


def test_digits_of_integers_are_those_of_their_largest_code():
    for name in ("int8", "uint8", "int4", "uint4", "int2"):
        assert FORMATS[name].decimal_digits == pytest.approx(math.log10(FORMATS[name].largest + 1))


def test_all_kinds_answer_the_same_questions():
    questions = "name label source is_float is_block bits storage_bits bits_per_element largest smallest".split()
    questions += "smallest_positive epsilon decimal_digits finite_values".split()
    for spec in FORMATS.values():
        assert all(getattr(spec, question) is not None for question in questions)
        assert spec.smallest < spec.largest
        assert not math.isnan(spec.decode(0))


def test_tf32_and_fp32_by_bit_patterns_of_numpy():
    codes = np.arange(2**19, dtype=np.uint32) << 13
    with np.errstate(invalid="ignore"):  # signalling NaN
        values = codes.view(np.float32).astype(np.float64)
    finite = np.unique(values[np.isfinite(values)])
    tf32, fp32, info = FORMATS["tf32"], FORMATS["fp32"], np.finfo(np.float32)
    assert (tf32.largest, tf32.smallest_subnormal) == (finite.max(), finite[finite > 0].min())
    assert (tf32.finite_values, tf32.nan_codes) == (len(finite), np.isnan(values).sum())
    assert (tf32.bits, tf32.storage_bits) == (19, 32)
    assert [tf32.decode(code) for code in range(0, 2**18, 997)] == pytest.approx(
        values[: 2**18 : 997], rel=0, nan_ok=True
    )
    assert (fp32.largest, fp32.smallest_normal) == (info.max, info.smallest_normal)
    assert (fp32.smallest_subnormal, fp32.epsilon) == (info.smallest_subnormal, info.eps)


def test_edge_values_as_published():
    largest = {name: FORMATS[name].largest for name in FORMATS}
    assert largest["fp16"] == 65504
    assert largest["fp8_e4m3"] == 448
    assert largest["fp8_e5m2"] == 57344
    assert largest["fp6_e3m2"] == 28
    assert largest["fp6_e2m3"] == 7.5
    assert largest["fp4_e2m1"] == 6
    assert [FORMATS[name].symmetric_limit for name in ("int8", "int4", "int2")] == [127, 7, 1]
    assert FORMATS["fp4_e2m1"].values[7:] == (0, 0.5, 1, 1.5, 2, 3, 4, 6)
    assert FORMATS["fp8_e4m3"].label == "FP8-E4M3"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FloatSpec("x", 1, 3, 1, False, "none", ""), "at least 2 exponent bits"),
        (lambda: FloatSpec("x", 4, 0, 1, False, "none", ""), "1 mantissa bit"),
        (lambda: FloatSpec("x", 4, 3, 7, True, "all_ones", ""), "Inf exactly where nan='ieee'"),
        (lambda: FloatSpec("x", 4, 3, 7, True, "some", ""), "'ieee', 'all_ones' or 'none'"),
        (lambda: IntSpec("x", 9, True, 127, ""), "2 to 8 bits"),
        (lambda: IntSpec("x", 8, True, 128, ""), "1 to the largest code"),
        (lambda: IntSpec("x", 8, True, 0, ""), "1 to the largest code"),
        (lambda: IntSpec("x", 8, False, 127, ""), "None when unsigned"),
        (lambda: BlockSpec("x", FORMATS["int8"], 1, FORMATS["e8m0"], None, ""), "2 elements or more"),
        (lambda: FORMATS["int4"].decode(16), "0 to 15"),
        (lambda: FORMATS["mxfp4"].decode(16), "0 to 15"),
        (lambda: FORMATS["e8m0"].decode(256), "0 to 255"),
        (lambda: FORMATS["tf32"].values, "at most 16 bits"),
    ],
)
def test_impossible_formats_say_what_would_work(make, words):
    with pytest.raises(PrecisionError) as caught:
        make()
    assert words in str(caught.value)


def test_specs_are_values():
    assert FORMATS["fp16"] == FloatSpec("fp16", 5, 10, 15, True, "ieee", FORMATS["fp16"].source)
    assert len({FORMATS["fp16"], FORMATS["bf16"], FORMATS["fp16"]}) == 2
    assert math.isnan(FORMATS["fp8_e4m3"].decode(0x7F))
