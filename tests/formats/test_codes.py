"""Codes of values, values of codes, what is in a code, and a value's neighbours."""

import math

import gfloat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, all_values, decode, encode, fields, from_fields, neighbours, round_to
from tests.formats import oracles
from tests.formats.oracles import CODED, ELEMENTS, INFOS

QUICK = settings(deadline=None, derandomize=True)  # other work may hold the cores; the same cases each time

CODE_DTYPES = {"fp32": torch.int64, "tf32": torch.int64, "bf16": torch.int32, "fp16": torch.int32}
NANS = {"bf16": 0x7FC0, "fp16": 0x7E00, "fp8_e5m2": 0x7E, "fp8_e4m3": 0x7F, "e8m0": 0xFF, "tf32": 0x3FE00}


@pytest.mark.parametrize("name", ELEMENTS)
def test_encode_rounds_first(name):
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)) * 3
    codes = encode(x, name)
    assert codes.dtype == CODE_DTYPES.get(name, torch.uint8)
    rounded = round_to(x, name)
    assert torch.equal(decode(codes, name).nan_to_num(nan=9.5), rounded.nan_to_num(nan=9.5))
    assert torch.equal(codes, encode(rounded.double(), name))


def test_codes_of_fp32_are_its_bits():
    bits = torch.randint(-(2**31), 2**31, (100_000,), generator=torch.Generator().manual_seed(0)).to(torch.int32)
    x = bits.view(torch.float32)
    kept = ~x.isnan()
    codes = encode(x, "fp32", saturate=False)
    assert torch.equal(codes[kept], bits[kept].to(torch.int64) & 0xFFFFFFFF)
    assert (codes[~kept] == 0x7FC00000).all()
    assert torch.equal(decode(codes, "fp32")[kept].view(torch.int32), bits[kept])


@pytest.mark.parametrize("name", ["tf32", "bf16", "fp16", "fp8_e5m2", "fp8_e4m3"])
def test_special_codes(name):
    spec = FORMATS[name]
    x = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, -math.nan])
    sign = 1 << (spec.bits - 1)
    top = encode(torch.tensor(spec.largest, dtype=torch.float64), name).item()
    assert encode(x, name).tolist() == [0, sign, top, top | sign, NANS[name], NANS[name]]
    infinite = [top + 1, (top + 1) | sign] if spec.has_inf else [NANS[name]] * 2
    assert encode(x, name, saturate=False)[2:4].tolist() == infinite


def test_e8m0_is_the_exponent_with_a_bias():
    exponents = torch.arange(-127, 128, dtype=torch.float64)
    assert torch.equal(encode(torch.exp2(exponents), "e8m0"), (exponents + 127).to(torch.uint8))
    assert encode(torch.tensor([0.0, -0.0, -1.0, math.nan]), "e8m0").tolist() == [0xFF] * 4


@pytest.mark.parametrize("name", ["fp6_e3m2", "fp6_e2m3", "fp4_e2m1", "int8", "uint4"])
def test_nan_has_no_code_where_the_format_has_none(name):
    with pytest.raises(PrecisionError, match=f"codes of {name}: x has NaN and the format has none"):
        encode(torch.tensor([1.0, math.nan]), name)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64])
def test_decode_takes_any_integers_and_layouts(dtype):
    codes = torch.arange(12, dtype=torch.int64).to(dtype).reshape(3, 4)
    expected = torch.tensor([FORMATS["fp4_e2m1"].decode(code) for code in range(12)]).reshape(3, 4)
    assert torch.equal(decode(codes, "fp4_e2m1"), expected)
    assert torch.equal(decode(codes.t(), "fp4_e2m1"), expected.t())
    assert torch.equal(decode(codes[:1].expand(5, 4), "fp4_e2m1"), expected[:1].expand(5, 4))
    assert decode(codes[:0], "fp4_e2m1").shape == (0, 4)
    assert decode(codes[0, 3], "fp4_e2m1") == 1.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_decode_into_dtypes(dtype):
    y = decode(torch.tensor([0x7E, 0x08, 0x81]), "fp8_e4m3", dtype)
    assert y.dtype == dtype
    assert y.tolist() == [448.0, 2.0**-6, -(2.0**-9)]


@pytest.mark.parametrize(("codes", "found"), [
    (torch.tensor([16]), "codes from 16 to 16"), (torch.tensor([3, -1]), "codes from -1 to 3"),
    (torch.tensor([1.0]), "codes of torch.float32"), (torch.tensor([True]), "codes of torch.bool"),
])  # fmt: skip
def test_decode_refuses(codes, found):
    with pytest.raises(PrecisionError, match=found):
        decode(codes, "int4")


def test_all_values_belong_to_the_caller():
    all_values("int4").zero_()
    assert all_values("int4").tolist() == [*range(8), *range(-8, 0)]


def test_refuses_what_cannot_be_listed_or_coded():
    with pytest.raises(PrecisionError, match=r"2\*\*32 codes"):
        all_values("fp32")
    with pytest.raises(PrecisionError, match="'fp4_e2m1', the format of its elements"):
        encode(torch.ones(32), "mxfp4")


@pytest.mark.parametrize("name", CODED)
def test_fields_of_every_code(name):
    """By gfloat, which counts exponent and significand alike but for integers, where there is no exponent."""
    kinds = {"ZERO": "zero", "SUBNORMAL": "subnormal", "NORMAL": "normal", "INFINITE": "inf", "NAN": "nan"}
    for code in range(0, 2 ** oracles.bits_of(name), 37 if oracles.bits_of(name) == 16 else 1):
        ours, theirs = fields(code, name), gfloat.decode_float(INFOS[name], code)
        assert from_fields(ours.sign, ours.exponent, ours.mantissa, name) == code
        assert oracles.count_differences(*(torch.tensor([v]).numpy() for v in (ours.value, theirs.fval))) == 0
        assert ours.sign == theirs.signbit
        if "int" in name:
            assert ours.exponent == 0
            assert ours.kind == ("normal" if theirs.fval else "zero")
        else:
            assert (ours.exponent, ours.mantissa) == (theirs.exp, theirs.significand)
            assert ours.kind == kinds[theirs.fclass.name]


def test_fields_of_wide_formats():
    one = fields(0x3F800000, "fp32")
    assert (one.sign, one.exponent, one.mantissa, one.value, one.kind) == (0, 127, 0, 1.0, "normal")
    assert fields(0x40001, "tf32").kind == "subnormal"
    assert fields(0x40001, "tf32").value == -(2.0**-136)


@pytest.mark.parametrize(("parts", "found"), [
    ((2, 0, 0), "sign 2 in a field of 1 bits"), ((0, 16, 0), "exponent 16 in a field of 4 bits"),
    ((0, 0, -1), "mantissa -1 in a field of 3 bits"),
])  # fmt: skip
def test_from_fields_refuses(parts, found):
    with pytest.raises(PrecisionError, match=found):
        from_fields(*parts, "fp8_e4m3")


def test_fields_refuses_a_code_that_is_none():
    with pytest.raises(PrecisionError, match="0 to 255"):
        fields(256, "fp8_e4m3")


@pytest.mark.parametrize("name", CODED)
def test_neighbours_of_every_value(name):
    values = oracles.finite_values(name).tolist()
    for i in range(0, len(values), 61 if len(values) > 300 else 1):
        below = values[i - 1] if i else None
        above = values[i + 1] if i + 1 < len(values) else None
        if FORMATS[name].is_float and FORMATS[name].has_inf:
            below, above = -math.inf if below is None else below, math.inf if above is None else above
        assert neighbours(values[i], name) == (below, above)


@QUICK
@given(st.floats(allow_nan=False), st.sampled_from(CODED))
def test_neighbours_of_any_number(number, name):
    spec = FORMATS[name]
    values = spec.values
    has_inf = spec.is_float and spec.has_inf
    below = max((value for value in values if value < number), default=None)
    above = min((value for value in values if value > number), default=None)
    if has_inf:
        below = -math.inf if below is None and number > -math.inf else below
        above = math.inf if above is None and number < math.inf else above
    assert neighbours(number, name) == (below, above)


@QUICK
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_neighbours_in_fp32(number):
    x = torch.tensor(number)
    below, above = (float(torch.nextafter(x, torch.tensor(end))) for end in (-math.inf, math.inf))
    assert neighbours(number, "fp32") == (below, above)


def test_nan_has_no_neighbours():
    assert neighbours(math.nan, "fp16") == (None, None)
