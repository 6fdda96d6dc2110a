"""Quantising: float codes against ml_dtypes, sizes, errors, and every edge that a tensor has.

Integer codes: ``test_integer_codes.py``; properties: ``test_scheme_properties.py``; blocks: ``test_blocks.py``.
"""

import math

import ml_dtypes
import numpy as np
import pytest
import torch

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, Scheme, fake_quantize, find_scale, quantize, scale_shape
from tests.formats.conftest import PARTS, SCALED

SIGNED = [name for name in SCALED if not name.startswith("u")]
SYMMETRIC = [Scheme(name, **parts) for name in SIGNED for parts in PARTS]
ASYMMETRIC = [Scheme(name, **parts, symmetric=False) for name in SCALED if "int" in name for parts in PARTS]
SCHEMES = SYMMETRIC + ASYMMETRIC


def spread(scale, x, scheme):
    """The scale of every element of x: [...]."""
    if scheme.granularity == "group":
        return scale.repeat_interleave(scheme.group, -1)
    return scale.expand(x.shape)


@pytest.mark.parametrize("scheme", [scheme for scheme in SYMMETRIC if scheme.spec.is_float], ids=str)
def test_float_codes_are_those_of_ml_dtypes(scheme):
    torch.manual_seed(1)
    x = torch.randn(6, 5, 16) * 7
    q = quantize(x, scheme)
    dtype = {"fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}.get(
        scheme.format, scheme.format.replace("fp", "float") + "fn"
    )
    inverse = spread(1 / q.scale, x, scheme)
    expected = np.clip((x * inverse).numpy(), -scheme.largest_code, scheme.largest_code).astype(
        getattr(ml_dtypes, dtype)
    )
    assert torch.equal(q.codes.float(), torch.from_numpy(expected.astype(np.float32)))
    assert q.codes.dtype in (torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("name", ["fp32", "tf32", "bf16", "fp16"])
def test_wide_formats_are_casts(name):
    x = torch.tensor([1.0001, -70000.0, 3.4e38, math.nan])
    q = quantize(x, Scheme(name))
    dtype = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
    assert q.codes.dtype == dtype
    assert q.scale == 1
    assert q.nbytes == 4 * FORMATS[name].storage_bits // 8
    if name != "tf32":
        assert torch.equal(q.codes[:3], x.to(dtype)[:3])
    assert torch.equal(q.dequantize()[:3], fake_quantize(x, Scheme(name))[:3])
    assert q.dequantize()[3].isnan()


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
class TestEdges:
    def test_zeros_and_empty(self, scheme):
        q = quantize(torch.zeros(3, 8), scheme)
        assert torch.equal(q.dequantize(), torch.zeros(3, 8))
        assert (q.scale == 1).all()
        assert (q.codes.float() == 0).all()
        for shape in ((0, 8), (3, 0)):
            empty = torch.empty(shape)
            assert quantize(empty, scheme).dequantize().shape == shape
            assert fake_quantize(empty, scheme).shape == shape

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_nan_and_inf_are_never_hidden(self, scheme, bad):
        torch.manual_seed(0)
        x = torch.randn(3, 8)
        x[1, 2] = bad
        probe = torch.zeros(scale_shape(x.shape, scheme))
        where = {"tensor": (), "token": (1, 0), "group": (1, 0)}.get(scheme.granularity)
        where = where if where is not None else ((1, 0) if scheme.axis == 0 else (0, 2))
        probe[where] = 1
        hit = spread(probe, x, scheme).bool()
        for y in (quantize(x, scheme).dequantize(), fake_quantize(x, scheme)):
            assert torch.equal(y.isnan(), hit)
            clean = quantize(torch.where(hit, 0.0, x), scheme).dequantize()
            assert torch.equal(y[~hit], clean[~hit])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
    def test_dtypes_and_layouts(self, scheme, dtype):
        torch.manual_seed(0)
        base = torch.randn(4, 8, 12).to(dtype)
        for x in (
            base.transpose(0, 2)[..., :4],
            base[::2, 1::3, :8],
            base[:, :1].expand(4, 3, 12),
            base.clone().requires_grad_(),
        ):
            before = x.detach().clone()
            y = fake_quantize(x, scheme)
            q = quantize(x, scheme)
            assert y.dtype == q.dequantize().dtype == dtype
            assert y.shape == x.shape
            assert not y.requires_grad
            assert torch.equal(y, fake_quantize(before.contiguous(), scheme))
            assert torch.equal(y, q.dequantize())
            assert q.scale.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
            assert torch.equal(x.detach(), before)

    def test_static_is_dynamic_with_the_scale_given(self, scheme):
        torch.manual_seed(0)
        x = torch.randn(3, 8)
        static = Scheme(scheme.format, scheme.granularity, scheme.axis, scheme.group, scheme.symmetric, dynamic=False)
        scale, zero_point = find_scale(x, static)
        assert torch.equal(fake_quantize(x, static, scale, zero_point), fake_quantize(x, scheme))
        big = quantize(x * 1000, static, scale, zero_point)
        assert big.codes.float().max() <= scheme.largest_code
        assert big.codes.float().min() >= scheme.smallest_code
        assert torch.equal(big.dequantize(), fake_quantize(x * 1000, static, scale, zero_point))
        x[1, 2] = math.nan
        assert quantize(x, static, scale, zero_point).dequantize()[1, 2].isnan()
        assert torch.equal(fake_quantize(x, static, scale, zero_point).isnan(), x.isnan())

    def test_extreme_sizes(self, scheme):
        tiny = torch.tensor([[1e-45, -1e-45, 3e-40, 0.0], [1e-38, 2e-38, -3e-38, 1e-38]])
        y = fake_quantize(tiny, scheme)
        assert y.isfinite().all()
        assert (y - tiny).abs().max() <= 5e-38
        if scheme.symmetric:
            top = torch.finfo(torch.float32).max
            assert fake_quantize(torch.tensor([[top, -top, 1.0, 0.0]] * 2), scheme).isfinite().all()


def test_scalars():
    assert fake_quantize(torch.tensor(3.0), Scheme("int8")) == 3
    constant = Scheme("int4", "group", group=4, symmetric=False)  # with a float zero point
    assert fake_quantize(torch.full((4,), 7.25), constant).tolist() == [7.25] * 4
    assert fake_quantize(torch.tensor([1.0, -2.0]), Scheme("int8", "channel", axis=0)).tolist() == [1, -2]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (Scheme("int8"), 7 * 12 + 4),
        (Scheme("int8", "channel", axis=0), 7 * 12 + 7 * 4),
        (Scheme("int4", "group", group=4), 7 * 12 // 2 + 7 * 3 * 4),
        (Scheme("int4", "group", group=4, symmetric=False), 7 * 12 // 2 + 7 * 3 * 8),
        (Scheme("int2", "token"), 7 * 12 // 4 + 7 * 4),
        (Scheme("fp6_e3m2"), 7 * 12 * 6 // 8 + 4),
        (Scheme("bf16"), 7 * 12 * 2),
        (Scheme("tf32"), 7 * 12 * 4),
    ],
    ids=str,
)
def test_nbytes(scheme, expected):
    assert quantize(torch.randn(7, 12), scheme).nbytes == expected


def test_nbytes_rounds_up():
    assert quantize(torch.ones(3), Scheme("int4")).nbytes == 2 + 4


STATIC = Scheme("int8", "channel", axis=0, dynamic=False)


@pytest.mark.parametrize(
    ("scheme", "given", "message"),
    [
        (STATIC, {}, "a static scheme needs a scale"),
        (Scheme("int8"), {"scale": torch.ones(())}, "a dynamic scheme finds its own scale"),
        (Scheme("int8", calibrator="mse"), {}, "a dynamic scale is that of the smallest and largest values"),
        (Scheme("mxfp4"), {"scale": torch.ones(3, 1)}, "finds its own scale. Try: no scale"),
        (STATIC, {"scale": torch.ones(3)}, "the scale has shape [3] for a tensor of shape [3, 8]. Try: shape [3, 1]"),
        (STATIC, {"scale": torch.ones(()), "zero_point": torch.ones(())}, "it is symmetric, yet a zero point is given"),
        (Scheme("int8", symmetric=False, dynamic=False), {"scale": torch.ones(())}, "no zero point is given"),
        (Scheme("int8", "group", group=3), {}, "no multiple of 3"),
    ],
)
def test_scales_that_do_not_fit(scheme, given, message):
    for quantise in (quantize, fake_quantize):
        with pytest.raises(PrecisionError) as caught:
            quantise(torch.ones(3, 8), scheme, **given)
        assert message in str(caught.value)


@pytest.mark.parametrize("name", ["int8", "fp8_e4m3", "bf16"])
def test_refuses_what_is_no_float_tensor(name):
    with pytest.raises(PrecisionError, match=r"torch\.int64"):
        quantize(torch.arange(4), Scheme(name))
