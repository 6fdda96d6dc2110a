"""Rounding: edge values, layouts, directions, chance, gradients. ``test_oracles`` compares it with other libraries."""

import math

import numpy as np
import pytest
import torch

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, FloatSpec, IntSpec, directed, round_to

NAMES = [name for name, spec in FORMATS.items() if not spec.is_block]
FLOATS = [name for name in NAMES if FORMATS[name].is_float and FORMATS[name].signed]
SHORT = [name for name in NAMES if FORMATS[name].bits <= 16]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
DIRECTIONS = ["nearest", "toward_zero", "up", "down"]
ALL_WAYS = [*DIRECTIONS, "stochastic"]


def seeded(rounding, seed=0):
    return {"rounding": rounding, "seed": seed if rounding == "stochastic" else None}


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
    if name == "e8m0":
        assert round_to(x, name).isnan().tolist() == [True, False, True, True, True]
        assert round_to(x, name)[1] == min(2.0**127, 2.0**15 if dtype == torch.float16 else math.inf)
        assert round_to(x, name, saturate=False).isnan().all()
        return
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


@pytest.mark.parametrize("rounding", ["nearest", "up", "stochastic"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_and_purity(name, dtype, rounding):
    torch.manual_seed(0)
    base = (torch.randn(2, 3, 5, 7) * 3).to(dtype)
    base = base.abs() if name == "e8m0" else base
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
        y = round_to(x, name, **seeded(rounding))
        assert (y.shape, y.dtype, y.requires_grad) == (x.shape, dtype, False), layout
        assert torch.equal(y, round_to(x.detach().contiguous(), name, **seeded(rounding))), layout
        assert torch.equal(x.detach(), before), layout
        assert y.data_ptr() != x.data_ptr() or y.numel() == 0
    if rounding != "stochastic":
        y = round_to(layouts["channels_last"], name, rounding=rounding)
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_blocks_join_without_seams():
    x = torch.randn(3, 400_003).t()
    for name in ("bf16", "fp8_e4m3", "tf32"):
        for rounding in ("nearest", "down"):
            whole = round_to(x, name, rounding=rounding)
            assert whole.stride() == x.stride()
            parts = [round_to(part, name, rounding=rounding) for part in x.split(1, dim=1)]
            assert torch.equal(whole, torch.cat(parts, dim=1))


def test_own_formats():
    e4m3_with_inf = FloatSpec("own", 4, 3, 7, True, "ieee", "test")
    x = torch.tensor([239.0, 247.9, 248.0, 1e9, math.inf])
    assert round_to(x, e4m3_with_inf).tolist() == [240.0] * 5
    assert round_to(x, e4m3_with_inf, saturate=False).tolist() == [240.0, 240.0, math.inf, math.inf, math.inf]
    low = FloatSpec("low", 8, 3, 140, True, "ieee", "test")  # its smallest normal lies far under FP32's
    exact = torch.tensor([2.0**-139 * (1 + k / 8) for k in range(8)] + [2.0**-142, low.largest], dtype=torch.float64)
    assert torch.equal(round_to(exact, low), exact)
    between = torch.tensor([2.0**-139 * 1.0625, 2.0**-143, 2.0**-143 * 1.01], dtype=torch.float64)
    assert round_to(between, low).tolist() == [2.0**-139, 0.0, 2.0**-142]
    fine = FloatSpec("fine", 8, 22, 127, True, "ieee", "test")  # one bit short of FP32: too near to round through it
    tie = torch.tensor([1 + 2.0**-23, 1 + 2.0**-23 + 2.0**-50, 1 + 3 * 2.0**-23], dtype=torch.float64)
    assert round_to(tie, fine).tolist() == [1.0, 1 + 2.0**-22, 1 + 2.0**-21]
    assert round_to(tie.float(), fine).tolist() == [1.0, 1.0, 1 + 2.0**-21]
    unsigned = FloatSpec("unsigned", 4, 3, 7, False, "none", "test", signed=False)
    assert round_to(torch.tensor([-3.0, -0.0, 1.05, 1e9]), unsigned).tolist() == [0.0, 0.0, 1.0, unsigned.largest]
    assert not round_to(torch.tensor([-3.0, -0.0]), unsigned).signbit().any()


@pytest.mark.parametrize("x", [torch.arange(3), torch.ones(2, dtype=torch.complex64), [1.0]])
def test_refuses_what_is_no_float_tensor(x):
    with pytest.raises(PrecisionError, match="round to int8: x is a") as caught:
        round_to(x, "int8")
    assert "float32, bfloat16, float16 or float64" in caught.value.try_


class TestOverflow:
    """IEEE 754-2019, section 7.4: a direction that leads back keeps the largest value."""

    x = torch.tensor([1e9, -1e9, math.inf, -math.inf])

    @pytest.mark.parametrize(("rounding", "expected"), [
        ("nearest", [math.inf, -math.inf, math.inf, -math.inf]),
        ("stochastic", [math.inf, -math.inf, math.inf, -math.inf]),
        ("toward_zero", [65504.0, -65504.0, math.inf, -math.inf]),
        ("up", [math.inf, -65504.0, math.inf, -math.inf]),
        ("down", [65504.0, -math.inf, math.inf, -math.inf]),
    ])  # fmt: skip
    def test_where_there_is_inf(self, rounding, expected):
        assert round_to(self.x, "fp16", saturate=False, **seeded(rounding)).tolist() == expected

    def test_where_there_is_only_nan(self):
        y = round_to(self.x, "fp8_e4m3", saturate=False, rounding="toward_zero")
        assert y[:2].tolist() == [448.0, -448.0]
        assert y[2:].isnan().all()
        y = round_to(self.x, "fp8_e4m3", saturate=False, rounding="up")
        assert y[1] == -448.0
        assert y[[0, 2, 3]].isnan().all()

    @pytest.mark.parametrize("rounding", ALL_WAYS)
    @pytest.mark.parametrize(("name", "saturate"), [("fp16", True), ("fp8_e4m3", True), ("fp6_e3m2", False)])
    def test_saturating(self, name, saturate, rounding):
        top = FORMATS[name].largest
        assert round_to(self.x, name, saturate, **seeded(rounding)).tolist() == [top, -top, top, -top]


class TestStochastic:
    @pytest.mark.parametrize("name", SHORT)
    def test_an_exact_number_of_draws_goes_away_from_zero(self, name, monkeypatch):
        """Of the 2**bits draws, those from 2**bits - fraction * 2**bits on: the probability is the fraction itself."""
        spec = FORMATS[name]
        bits = 52 - (spec.mantissa_bits if spec.is_float else spec.bits)
        step = spec.smallest_positive
        for fraction in (2**-20, 0.25, 0.3, 0.5, 1 - 2**-20):
            fraction = float(np.float32(fraction))
            low = float(spec.values[2]) if name == "e8m0" else 0.0
            x = torch.tensor([low + fraction * step if low == 0 else low * (1 + fraction)], dtype=torch.float64)
            high = step if low == 0 else 2 * low
            first_up = 2**bits - int(fraction * 2**bits)
            for draw, expected in ((0, low), (first_up - 1, low), (first_up, high), (2**bits - 1, high)):
                monkeypatch.setattr(
                    directed, "_draw", lambda ordinals, bits, _, draw=draw: torch.full_like(ordinals, draw)
                )
                assert round_to(x, name, rounding="stochastic", seed=0) == expected, (fraction, draw)

    @pytest.mark.parametrize("name", NAMES)
    def test_values_are_the_two_neighbours(self, name):
        x = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * 3
        x = x.abs() if name == "e8m0" else x
        y = round_to(x, name, rounding="stochastic", seed=1)
        down, up = round_to(x, name, rounding="down"), round_to(x, name, rounding="up")
        assert ((y == down) | (y == up)).all()
        if FORMATS[name].bits < 16:
            assert (y[down != up] == down[down != up]).any() and (y[down != up] == up[down != up]).any()

    @pytest.mark.parametrize("name", ["bf16", "fp16", "fp8_e4m3", "fp4_e2m1", "int8", "e8m0"])
    def test_mean_converges(self, name):
        """To within 5 standard errors: one chance in two million for each of the 12 points, and the seed is fixed."""
        spec, n = FORMATS[name], 200_000
        points = (
            [1.3, 2.7, 1.01] if name == "e8m0" else [0.3 * spec.smallest_positive, 1.7 * spec.smallest_positive, -1.3]
        )
        for i, point in enumerate([*points, 1.0001]):
            x = torch.full((n,), point, dtype=torch.float64)
            y = round_to(x, name, rounding="stochastic", seed=i)
            down, up = (float(round_to(x[:1], name, rounding=way)) for way in ("down", "up"))
            chance = (point - down) / (up - down)
            error = abs(float(y.mean()) - point) / (up - down)
            assert error <= 5 * math.sqrt(chance * (1 - chance) / n) + 1e-12

    def test_values_of_the_format_stay(self):
        x = torch.tensor(FORMATS["fp8_e4m3"].values)
        for seed in range(5):
            assert torch.equal(round_to(x, "fp8_e4m3", rounding="stochastic", seed=seed), x)

    def test_seed(self):
        x = torch.randn(3_000_000)
        first = round_to(x, "fp8_e4m3", rounding="stochastic", seed=7)
        assert torch.equal(first, round_to(x, "fp8_e4m3", rounding="stochastic", seed=7))
        assert not torch.equal(first, round_to(x, "fp8_e4m3", rounding="stochastic", seed=8))
        generator = torch.Generator().manual_seed(7)
        assert torch.equal(first, round_to(x, "fp8_e4m3", rounding="stochastic", seed=generator))
        assert not torch.equal(first, round_to(x, "fp8_e4m3", rounding="stochastic", seed=generator))

    def test_leaves_the_global_generator_alone(self):
        before = torch.get_rng_state()
        round_to(torch.randn(10, generator=torch.Generator()), "int8", rounding="stochastic", seed=0)
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize(("arguments", "found"), [
        ({"rounding": "stochastic"}, "no seed is given"), ({"seed": 1}, "a seed is given"),
        ({"rounding": "upwards"}, "there is no such rounding"), ({"rounding": "stochastic", "seed": "7"}, "seed='7'"),
    ])  # fmt: skip
    def test_refuses(self, arguments, found):
        with pytest.raises(PrecisionError, match=found):
            round_to(torch.ones(2), "fp16", **arguments)


class TestStraightThrough:
    @pytest.mark.parametrize("rounding", ALL_WAYS)
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("name", ["fp8_e4m3", "fp16", "int4", "uint4", "e8m0"])
    def test_gradient_is_one_where_the_format_reaches(self, name, dtype, rounding):
        spec = FORMATS[name]
        x = torch.tensor(
            [-math.inf, -9.0, -8.0, -1.3, 0.0, 0.7, 7.0, 7.2, 448.0, 449.0, 3e4, math.inf, math.nan], dtype=dtype
        )
        weights = torch.arange(1.0, len(x) + 1, dtype=dtype)
        x.requires_grad_()
        y = round_to(x, name, straight_through=True, **seeded(rounding))
        assert torch.equal(y.detach().nan_to_num(nan=0.1), round_to(x, name, **seeded(rounding)).nan_to_num(nan=0.1))
        (gradient,) = torch.autograd.grad(y, x, weights)
        inside = [math.isfinite(value) and float(spec.smallest) <= value <= float(spec.largest) for value in x.tolist()]
        assert torch.equal(gradient, torch.where(torch.tensor(inside), weights, torch.zeros_like(weights)))

    def test_not_saturating_stops_where_inf_begins(self):
        x = torch.tensor([65504.0, 65505.0, 1e6], requires_grad=True)
        y = round_to(x, "fp16", saturate=False, straight_through=True)
        assert y.tolist() == [65504.0, 65504.0, math.inf]
        assert torch.autograd.grad(y.sum(), x)[0].tolist() == [1.0, 0.0, 0.0]

    def test_second_derivative_passes_too(self):
        x = torch.tensor([0.3, 1.2, 900.0], dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(
            (round_to(x, "fp8_e4m3", straight_through=True) ** 2).sum(), x, create_graph=True
        )
        assert first.tolist() == [2 * value for value in round_to(x, "fp8_e4m3").tolist()[:2]] + [0.0]
        assert torch.autograd.grad(first.sum(), x)[0].tolist() == [2.0, 2.0, 0.0]

    def test_trains(self):
        """Two weights on the INT4 grid of a tenth find the multiples nearest to what the data was made with."""
        data = torch.randn(256, 2, generator=torch.Generator().manual_seed(0))
        target = data @ torch.tensor([0.32, -0.48])
        weights = torch.zeros(2, requires_grad=True)
        optimiser = torch.optim.SGD([weights], lr=0.05)
        for _ in range(100):
            optimiser.zero_grad()
            ((data @ (round_to(weights * 10, "int4", straight_through=True) / 10) - target) ** 2).mean().backward()
            optimiser.step()
        assert round_to(weights.detach() * 10, "int4").tolist() == [3.0, -5.0]

    def test_blocks_pass_everything(self):
        x = torch.randn(4, 64, requires_grad=True)
        y = round_to(x, "mxfp4", straight_through=True)
        assert torch.equal(y.detach(), round_to(x, "mxfp4"))
        assert torch.autograd.grad(y.sum(), x)[0].eq(1).all()


def test_blocks_round_to_nearest_only():
    for arguments in ({"rounding": "up"}, {"rounding": "stochastic", "seed": 0}, {"saturate": False}):
        with pytest.raises(PrecisionError, match="round to mxfp4"):
            round_to(torch.ones(32), "mxfp4", **arguments)


def test_flushing_of_subnormals_changes_fp32_subnormals_only():
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush subnormals")
    try:
        x = torch.randint(-(2**31), 2**31, (200_000,), generator=torch.Generator().manual_seed(0)).to(torch.int32)
        x = x.view(torch.float32)
        flushed = {(name, way): round_to(x, name, **seeded(way)) for name in NAMES for way in ALL_WAYS}
    finally:
        torch.set_flush_denormal(False)
    kept = (x.abs() >= torch.finfo(torch.float32).tiny) | x.isnan()
    for (name, way), y in flushed.items():
        expected = round_to(x, name, **seeded(way))
        assert torch.equal(y[kept].nan_to_num(nan=1e30), expected[kept].nan_to_num(nan=1e30)), (name, way)
