"""Which schemes are valid, what they say of themselves, and the errors of those that are not."""

from dataclasses import replace

import pytest

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, Scheme, scale_shape, weight_scheme


@pytest.mark.parametrize(
    ("parts", "found", "try_"),
    [
        ({"format": "int9"}, "no format has this name", "'int8'"),
        ({"format": "int8", "granularity": "row"}, "no such granularity", "token"),
        ({"format": "int8", "granularity": "channel"}, "axis is not given", "axis=0"),
        ({"format": "int8", "granularity": "group"}, "group is not given", "group=128"),
        ({"format": "int8", "axis": 0}, "axis=0 belongs to granularity='channel'", "leave axis out"),
        ({"format": "int8", "granularity": "token", "group": 4}, "belongs to granularity='group'", "leave group out"),
        ({"format": "int8", "granularity": "group", "group": 0}, "group=0", "positive"),
        ({"format": "int8", "granularity": "group", "group": 1.5}, "no integer", "group=128"),
        ({"format": "int8", "granularity": "channel", "axis": True}, "no integer", "axis=0"),
        ({"format": "fp8_e4m3", "symmetric": False}, "no zero point", "symmetric=True"),
        ({"format": "uint8"}, "both sides of zero", "symmetric=False, or 'int8'"),
        ({"format": "e8m0"}, "holds scales only", "mxfp8_e4m3"),
        ({"format": "mxfp4", "granularity": "tensor"}, "MXFP4 has its own blocks", "granularity='block'"),
        ({"format": "mxfp4", "granularity": "group", "group": 32}, "has its own blocks", "granularity='block'"),
        ({"format": "mxfp4", "group": 16}, "belongs to granularity='group'", "leave group out"),
        ({"format": "mxfp4", "axis": "rows"}, "no integer", "axis=0"),
        ({"format": "fp4_e2m1", "granularity": "block"}, "no block format", "'mxfp4'"),
        ({"format": "int8", "granularity": "square"}, "group is not given", "group=128"),
        (
            {"format": "int8", "granularity": "square", "group": 4, "symmetric": False},
            "squares have no zero point",
            "granularity='group'",
        ),
        ({"format": "nvfp4", "dynamic": False}, "comes from the block", "dynamic=True"),
        ({"format": "mxint8", "symmetric": False}, "block formats have no zero point", "symmetric=True"),
        ({"format": "int8", "calibrator": "max"}, "no such calibrator", "percentile"),
        ({"format": "int8", "symmetric": False, "zero_point": "int"}, "no such kind", "'code' or 'float'"),
        ({"format": "int8", "zero_point": "code"}, "a symmetric scheme has no zero point", "symmetric=False"),
        ({"format": "bf16", "calibrator": "mse"}, "takes no scale", "leave calibrator out"),
        ({"format": "mxfp4", "calibrator": "mse"}, "comes from the block", "leave calibrator out"),
        ({"format": "bf16", "granularity": "token"}, "takes no scale", "granularity='tensor'"),
    ],
)
def test_refusals(parts, found, try_):
    with pytest.raises(PrecisionError) as caught:
        Scheme(**parts)
    assert found in caught.value.found
    assert try_ in caught.value.try_


@pytest.mark.parametrize(
    ("scheme", "shape", "expected"),
    [
        (Scheme("int8"), (3, 4), ()),
        (Scheme("int8", "channel", axis=0), (3, 4, 5), (3, 1, 1)),
        (Scheme("int8", "channel", axis=-2), (3, 4, 5), (1, 4, 1)),
        (Scheme("int8", "token"), (3, 4, 5), (3, 4, 1)),
        (Scheme("int8", "group", group=3), (2, 12), (2, 4)),
        (Scheme("int8", "token"), (0, 4), (0, 1)),
        (Scheme("fp8_e4m3", "square", group=128), (2, 256, 130), (2, 2, 2)),
        (Scheme("int8", "square", group=4), (0, 4), (0, 1)),
        (Scheme("mxfp4"), (2, 96), (2, 3)),
        (Scheme("mxfp4"), (2, 65), (2, 3)),
        (Scheme("nvfp4", axis=0), (33, 5), (3, 5)),
        (Scheme("mxint8", axis=-2), (4, 64, 5), (4, 2, 5)),
    ],
)
def test_scale_shape(scheme, shape, expected):
    assert scale_shape(shape, scheme) == expected


@pytest.mark.parametrize(
    ("scheme", "shape", "message"),
    [
        (Scheme("int4", "group", group=128), (4, 96), "the last dimension, 96, is no multiple of 128. Try: group=32"),
        (Scheme("int4", "group", group=6), (4, 9), "Try: group=3"),
        (Scheme("int8", "channel", axis=2), (4, 8), "2 dimensions and no axis 2. Try: an axis from -2 to 1"),
        (Scheme("int8", "channel", axis=0), (), "no axis 0. Try: granularity='tensor'"),
        (Scheme("int8", "token"), (), "a scalar has no last dimension"),
        (Scheme("int8", "square", group=4), (8,), "it has 1 dimension and squares need two. Try: granularity='group'"),
    ],
)
def test_shapes_that_do_not_fit(scheme, shape, message):
    with pytest.raises(PrecisionError) as caught:
        scale_shape(shape, scheme)
    assert message in str(caught.value)
    assert str(scheme) in caught.value.asked


def test_codes_at_the_ends():
    ends = {str(s): (s.smallest_code, s.largest_code) for s in (
        Scheme("int8"), Scheme("int4"), Scheme("int2"), Scheme("fp8_e4m3"), Scheme("int4", symmetric=False),
        Scheme("uint8", symmetric=False), Scheme("mxfp4"), Scheme("mxint8"),
    )}  # fmt: skip
    assert ends == {
        "INT8 per tensor": (-127, 127),
        "INT4 per tensor": (-7, 7),
        "INT2 per tensor": (-1, 1),
        "FP8-E4M3 per tensor": (-448, 448),
        "INT4 per tensor, asymmetric": (0, 15),
        "UINT8 per tensor, asymmetric": (0, 255),
        "MXFP4": (-6, 6),
        "MXINT8": (-128, 127),
    }


def test_words():
    assert str(Scheme("int8", "channel", axis=0, dynamic=False)) == "INT8 per channel (axis 0), static"
    assert str(Scheme("int4", "group", group=32)) == "INT4 per group of 32"
    assert str(Scheme("bf16")) == "BF16"
    assert str(Scheme("mxfp4")) == "MXFP4"
    assert str(Scheme("nvfp4", axis=1)) == "NVFP4 along axis 1"
    moving = Scheme("int8", dynamic=False, calibrator="moving_average")
    assert str(moving) == "INT8 per tensor, static, moving average calibrator"
    assert Scheme("int8") == Scheme("int8")
    assert hash(Scheme("int8")) == hash(Scheme("int8"))


def test_granularity_follows_the_format():
    assert Scheme("mxfp4").granularity == "block"
    assert Scheme("mxfp4") == Scheme("mxfp4", "block")
    assert Scheme("int8").granularity == "tensor"
    assert Scheme("int8") == Scheme("int8", "tensor")
    assert replace(Scheme("mxfp4"), axis=1) == Scheme("mxfp4", axis=1)
    assert Scheme("mxint8").element is FORMATS["int8"]
    assert Scheme("int8").element is FORMATS["int8"]


def test_zero_points_are_codes_but_in_small_groups():
    assert Scheme("int4", symmetric=False).zero_is_integer
    assert Scheme("int8", "group", group=4, symmetric=False).zero_is_integer
    floating = Scheme("int4", "group", group=4, symmetric=False)
    assert not floating.zero_is_integer
    assert not replace(floating, granularity="token", group=None).zero_is_integer
    assert replace(Scheme("int4", "group", group=4), symmetric=False) == floating
    coded = replace(floating, zero_point="code")
    assert coded.zero_is_integer
    assert str(coded) == "INT4 per group of 4, asymmetric, code zero point"
    assert Scheme("int4").zero_point is None


def test_weight_schemes():
    assert weight_scheme("mxfp6_e2m3") == Scheme("mxfp6_e2m3")
    assert weight_scheme("int8") == Scheme("int8", "channel", axis=0)
    assert weight_scheme("int8", axis=1) == Scheme("int8", "channel", axis=1)
    assert weight_scheme("int4", group=64, symmetric=False) == Scheme("int4", "group", group=64, symmetric=False)
    assert weight_scheme("bf16") == Scheme("bf16")
    assert scale_shape((16, 3, 7, 7), weight_scheme("fp8_e4m3")) == (16, 1, 1, 1)
