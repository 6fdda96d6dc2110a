"""Rounding to each format, bit for bit against ml_dtypes and gfloat."""

import math

import numpy as np
import pytest
import torch

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, FloatSpec, IntSpec, round_to

NAMES = list(FORMATS)
FLOATS = [name for name, spec in FORMATS.items() if isinstance(spec, FloatSpec)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def random_bits(n=200_000, seed=0):
    """FP32 of every kind: all exponents, subnormals, NaN and Inf."""
    bits = np.random.default_rng(seed).integers(0, 2**32, n, dtype=np.uint32)
    return bits.view(np.float32)


def near_the_format(name, oracle, seed=1):
    """FP32 spread over the binades of the format, where its rounding happens."""
    rng = np.random.default_rng(seed)
    top = math.log2(oracle(name).largest()) + 2
    low = max(top - 44, -149)
    return (rng.choice([-1, 1], 100_000) * 2.0 ** rng.uniform(low, min(top, 127.99), 100_000)).astype(np.float32)


def boundaries(values):
    """Each value, each midpoint, the step beyond the largest; and one FP32 ulp either side of all."""
    step = values[-1] - values[-2]
    ends = np.array([values[-1] + step / 2, values[-1] + step, values[0] - step / 2, values[0] - step])
    points = np.concatenate([values, (values[1:] + values[:-1]) / 2, ends])
    with np.errstate(over="ignore"):
        points = points.astype(np.float32)
    down, up = np.nextafter(points, np.float32(-np.inf)), np.nextafter(points, np.float32(np.inf))
    return np.concatenate([points, down, up])


def assert_same_bits(ours, expected):
    """Equal values, equal signs of zero, NaN where NaN."""
    expected = np.asarray(expected, dtype=ours.dtype)
    assert np.array_equal(ours, expected, equal_nan=True)
    kept = ~np.isnan(expected)
    assert np.array_equal(np.signbit(ours[kept]), np.signbit(expected[kept]))


def tf32_values():
    codes = np.arange(0, 2**18, 29, dtype=np.uint32) << 13
    values = codes.view(np.float32).astype(np.float64)
    values = values[np.isfinite(values)]
    return np.concatenate([-values[::-1], values])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("name", NAMES)
class TestAgainstOracle:
    def check(self, name, x, saturate, oracle):
        expected = oracle(name).round(x, saturate)
        assert_same_bits(round_to(torch.from_numpy(x), name, saturate).numpy(), expected)

    def test_random_bit_patterns(self, name, saturate, oracle):
        x = random_bits()
        if name == "fp32":
            expected = np.clip(x, -FORMATS[name].largest, FORMATS[name].largest) if saturate else x
            assert_same_bits(round_to(torch.from_numpy(x), name, saturate).numpy(), expected)
        else:
            self.check(name, x, saturate, oracle)

    def test_near_the_format(self, name, saturate, oracle):
        self.check(name, near_the_format(name, oracle), saturate, oracle)

    def test_boundaries(self, name, saturate, oracle):
        if name == "fp32":
            pytest.skip("every FP32 value is a value of FP32")
        if name == "tf32":
            values = tf32_values()
            neighbours = (values[:, None] * (1 + np.array([0, 2.0**-11, 3 * 2.0**-11]))).ravel()
            x = boundaries(np.unique(neighbours[np.abs(neighbours) <= FORMATS[name].largest]))
        else:
            x = boundaries(oracle(name).finite_values())
        self.check(name, x, saturate, oracle)

    def test_fp64_is_rounded_once(self, name, saturate, oracle):
        narrow = "fp16" if name in ("fp32", "tf32") else name
        points = boundaries(oracle(narrow).finite_values()[:: 16 if FORMATS[narrow].bits == 16 else 1]).astype(
            np.float64
        )
        x = np.concatenate([points * (1 + tiny) for tiny in (0, 2.0**-40, -(2.0**-40), 2.0**-52)])
        x = np.concatenate([x, random_bits(20_000).astype(np.float64), [1e300, -1e300, 5e-324, -5e-324, 2.0**-150]])
        expected = oracle(name).round_exactly(x, saturate)
        assert_same_bits(round_to(torch.from_numpy(x), name, saturate).numpy(), expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_half_input(name, dtype, oracle):
    x = torch.arange(2**16).to(torch.int32).to(torch.int16).view(dtype)
    y = round_to(x, name)
    assert y.dtype == dtype
    wide = x.float().numpy()
    expected = oracle(name).round(wide)
    held = np.abs(expected) <= torch.finfo(dtype).max
    held &= torch.from_numpy(expected).to(dtype).float().numpy() == expected
    assert_same_bits(y.float().numpy()[held], expected[held])
    assert np.array_equal(np.isnan(y.float().numpy()), np.isnan(wide))
    assert torch.isfinite(y[~x.isnan()]).all()
    for other in wide[~held & ~np.isnan(wide)][:5]:
        assert abs(float(round_to(torch.tensor(other, dtype=dtype), name))) <= abs(other)


def test_double_rounding_trap():
    just_above_a_tie = torch.tensor([1 + 2**-4 + 2**-40], dtype=torch.float64)
    assert just_above_a_tie.float() == 1 + 2**-4
    assert round_to(just_above_a_tie, "fp8_e4m3") == 1.125
    assert round_to(just_above_a_tie.float(), "fp8_e4m3") == 1.0
    assert round_to(torch.tensor([1 + 2**-8 + 2**-45], dtype=torch.float64), "bf16") == 1 + 2**-7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name, dtype):
    x = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 0.0], dtype=dtype)
    spec = FORMATS[name]
    y = round_to(x, name)
    assert y[0].isnan()
    assert y[1:].isfinite().all()
    assert y[1] <= spec.largest
    assert y[1] > 0
    assert y[2] == (-y[1] if spec.is_float else spec.smallest)
    assert math.copysign(1, y[4]) == 1
    if spec.smallest < 0:
        assert math.copysign(1, y[3]) == -1
    z = round_to(x, name, saturate=False)
    if isinstance(spec, IntSpec) or spec.nan == "none":
        assert torch.equal(z[1:3], y[1:3])
    elif spec.has_inf:
        assert z[1] == math.inf
        assert z[2] == -math.inf
    else:
        assert z[1].isnan()
        assert z[2].isnan()


@pytest.mark.parametrize(("name", "dtype", "largest"), [
    ("fp16", torch.bfloat16, 65280), ("bf16", torch.float16, 65280), ("fp32", torch.float16, 65504),
    ("tf32", torch.bfloat16, torch.finfo(torch.bfloat16).max), ("fp8_e4m3", torch.bfloat16, 448),
])  # fmt: skip
def test_largest_that_format_and_dtype_both_hold(name, dtype, largest):
    assert round_to(torch.tensor([math.inf], dtype=dtype), name) == largest


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_and_purity(name, dtype):
    torch.manual_seed(0)
    base = (torch.randn(2, 3, 5, 7) * 3).to(dtype)
    layouts = {
        "transposed": base.transpose(1, 3),
        "channels_last": base.to(memory_format=torch.channels_last),
        "strided": base[:, ::2, 1:, ::3],
        "expanded": base[:1, :, :, :1].expand(4, 3, 5, 2),
        "empty": base[:0],
        "scalar": base[0, 0, 0, 0],
        "gradient": base.clone().requires_grad_(),
    }
    for layout, x in layouts.items():
        before = x.detach().clone()
        y = round_to(x, name)
        assert (y.shape, y.dtype, y.requires_grad) == (x.shape, dtype, False), layout
        assert torch.equal(y, round_to(x.detach().contiguous(), name)), layout
        assert torch.equal(x.detach(), before), layout
        assert y.data_ptr() != x.data_ptr() or y.numel() == 0
    assert round_to(layouts["channels_last"], name).is_contiguous(memory_format=torch.channels_last)


def test_blocks_join_without_seams():
    x = torch.randn(3, 400_003).t()
    for name in ("bf16", "fp8_e4m3", "tf32"):
        whole = round_to(x, name)
        assert whole.stride() == x.stride()
        assert torch.equal(whole, torch.cat([round_to(part, name) for part in x.split(1, dim=1)], dim=1))


def test_own_formats():
    e4m3_with_inf = FloatSpec("own", 4, 3, 7, True, "ieee", "test")
    x = torch.tensor([239.0, 247.9, 248.0, 1e9, math.inf])
    assert round_to(x, e4m3_with_inf).tolist() == [240.0] * 5
    assert round_to(x, e4m3_with_inf, saturate=False).tolist() == [240.0, 240.0, math.inf, math.inf, math.inf]
    wide = FloatSpec("wide", 8, 3, 127, False, "none", "test")
    with pytest.raises(PrecisionError, match="FP32 arithmetic is not exact"):
        round_to(x, wide)


@pytest.mark.parametrize("x", [torch.arange(3), torch.ones(2, dtype=torch.complex64), [1.0]])
def test_refuses_what_is_no_float_tensor(x):
    with pytest.raises(PrecisionError, match="round to int8: x is a") as caught:
        round_to(x, "int8")
    assert "float32, bfloat16, float16 or float64" in caught.value.try_
