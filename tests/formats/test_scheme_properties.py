"""Properties that every scheme has, blocks included, on tensors that hypothesis makes up."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.formats import FORMATS, Scheme, fake_quantize, find_scale, quantize, scale_shape
from tests.formats.conftest import PARTS, SCALED

SYMMETRIC = [Scheme(name, **parts) for name in SCALED if not name.startswith("u") for parts in PARTS]
ASYMMETRIC = [Scheme(name, **parts, symmetric=False) for name in SCALED if "int" in name for parts in PARTS]
ASYMMETRIC += [Scheme("int4", symmetric=False, zero_point="code", **PARTS[-1])]
ASYMMETRIC += [Scheme("uint8", symmetric=False, zero_point="float", **parts) for parts in PARTS]
BLOCKS = [Scheme(name, axis=axis) for name, spec in FORMATS.items() if spec.is_block for axis in (None, 1)]
SYMMETRIC += [Scheme(name, "square", group=3) for name in ("int8", "fp8_e4m3")]
SCHEMES = SYMMETRIC + ASYMMETRIC + BLOCKS
QUICK = settings(max_examples=250, deadline=None, derandomize=True)


@st.composite
def tensors(draw, widths=(4, 8, 12, 40)):
    """[a, b, c] FP32 with rows of very different sizes, and some zeros."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 4), st.sampled_from(widths)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-20, 20, (*shape[:-1], 1))
    return torch.from_numpy((x * (rng.random(shape) > 0.1)).astype(np.float32))


def spread(scale, x, scheme):
    """A scale as every element of x sees it."""
    if scheme.granularity == "group":
        return scale.repeat_interleave(scheme.group, -1)
    if scheme.granularity == "square":
        tall = scale.repeat_interleave(scheme.group, -2).narrow(-2, 0, x.shape[-2])
        return tall.repeat_interleave(scheme.group, -1).narrow(-1, 0, x.shape[-1])
    if scheme.granularity == "block":
        axis = -1 if scheme.axis is None else scheme.axis
        return scale.repeat_interleave(scheme.spec.block, axis).narrow(axis, 0, x.shape[axis])
    return scale.expand(x.shape)


@QUICK
@given(x=tensors(), scheme=st.sampled_from(SCHEMES))
def test_fake_is_quantize_then_dequantize(x, scheme):
    before = x.clone()
    q = quantize(x, scheme)
    assert torch.equal(fake_quantize(x, scheme), q.dequantize())
    assert torch.equal(x, before)
    assert q.codes.shape == x.shape
    assert q.scale.shape == scale_shape(x.shape, scheme)
    codes = q.codes.float()
    assert codes.min() >= scheme.smallest_code
    assert codes.max() <= scheme.largest_code


@QUICK
@given(x=tensors(), scheme=st.sampled_from(SYMMETRIC + ASYMMETRIC))
def test_error_is_at_most_half_a_step(x, scheme):
    q = quantize(x, scheme)
    error = (q.dequantize().double() - x.double()).abs()
    scale = spread(q.scale, x, scheme).double()
    spec = scheme.spec
    if spec.is_float:
        assert (error <= nearest_distance(x / scale, spec) * scale + 2.0**-22 * x.double().abs()).all()
    else:
        zero_point_shift = 0.5 if not scheme.symmetric and scheme.zero_is_integer else 0.0
        inside = x.abs().double() * 2.0**-21 + scale * (0.5 + zero_point_shift) * (1 + 2.0**-15)
        assert (error <= inside + scale * 2.0**-20).all()


@QUICK
@given(x=tensors(), scheme=st.sampled_from(BLOCKS))
def test_elements_of_blocks_are_the_nearest(x, scheme):
    """Exactly so for MX, whose scales are powers of two; saturated elements are nearest to the largest."""
    scale = spread(find_scale(x, scheme)[0], x, scheme).double()
    error = (fake_quantize(x, scheme).double() - x.double()).abs()
    slack = 2.0**-22 * x.double().abs() if scheme.format == "nvfp4" else 0.0
    assert (error <= nearest_distance(x / scale, scheme.spec) * scale + slack).all()


def nearest_distance(scaled, spec):
    """How far each of the scaled values is from the nearest value of the format, in FP64."""
    values = torch.tensor(spec.values, dtype=torch.float64)
    above = torch.searchsorted(values, scaled.contiguous()).clamp(1, len(values) - 1)
    return torch.minimum((scaled - values[above - 1]).abs(), (values[above] - scaled).abs())


@QUICK
@given(x=tensors(), scheme=st.sampled_from(SYMMETRIC + BLOCKS))
def test_quantising_twice_changes_nothing(x, scheme):
    """MXINT8 aside, whose lowest element, -2, is a power of two, so that it doubles the scale the second time."""
    once = fake_quantize(x, scheme)
    if scheme.format == "mxint8":
        scale = spread(find_scale(x, scheme)[0], x, scheme)
        once = once.clamp(min=-127 / 64 * scale)
    twice = fake_quantize(once, scheme)
    if scheme.granularity == "block" and scheme.format != "nvfp4":
        assert torch.equal(twice, once)
    assert torch.allclose(once, twice, rtol=2.0**-22, atol=0)
    assert torch.equal(quantize(once, scheme).codes.float(), quantize(twice, scheme).codes.float())


@QUICK
@given(x=tensors(), scheme=st.sampled_from(SCHEMES), power=st.integers(-20, 20))
def test_powers_of_two_pass_through(x, scheme, power):
    factor = 2.0**power
    flat_with_float_zero = not scheme.symmetric and not scheme.zero_is_integer
    if flat_with_float_zero:  # a constant group has scale 1 at any size
        x = x + torch.arange(x.numel()).reshape(x.shape) * float(x.abs().max() + 1)
    assert torch.equal(fake_quantize(x * factor, scheme), fake_quantize(x, scheme) * factor)


@QUICK
@given(x=tensors(), scheme=st.sampled_from(SYMMETRIC + BLOCKS))
def test_negation_passes_through(x, scheme):
    """MXINT8 aside where it meets its lowest element, which has no positive twin."""
    plus, minus = fake_quantize(x, scheme), fake_quantize(-x, scheme)
    if scheme.format == "mxint8":
        lowest = -2 * spread(find_scale(x, scheme)[0], x, scheme)
        kept = (plus != lowest) & (minus != lowest)
        plus, minus = plus[kept], minus[kept]
    assert torch.equal(minus, -plus)


@QUICK
@given(x=tensors(), scheme=st.sampled_from(SCHEMES))
def test_order_is_kept_under_one_scale(x, scheme):
    y = fake_quantize(x, scheme)
    group = spread(
        torch.arange(math.prod(scale_shape(x.shape, scheme))).reshape(scale_shape(x.shape, scheme)), x, scheme
    )
    for index in group.unique():
        inside = group == index
        order = x[inside].argsort()
        assert (y[inside][order].diff() >= 0).all()


@pytest.mark.parametrize("scheme", SYMMETRIC + BLOCKS, ids=str)
@pytest.mark.parametrize("size", [2.0**-145, 2.0**-130, 2.0**-126, 2.0**-60, 2.0**60, 2.0**126])
def test_huge_and_tiny_values_are_the_nearest_too(scheme, size):
    """Beside FP32's usual rounding errors one subnormal step: what a product of tiny numbers is rounded to."""
    torch.manual_seed(0)
    x = (torch.rand(4, 3, 40) * 2 - 1) * size
    scale = spread(find_scale(x, scheme)[0], x, scheme).double()
    y = fake_quantize(x, scheme)
    assert y.isfinite().all()
    error = (y.double() - x.double()).abs()
    slack = 2.0**-22 * x.double().abs() + 2.0**-149
    assert (error <= nearest_distance(x / scale, scheme.spec) * scale + slack).all()
