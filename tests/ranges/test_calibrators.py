"""Calibrators against brute force on the raw data: min-max to the bit, percentiles to a bin, thresholds to 2 %."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import PrecisionError
from explorer.formats import Scheme, fake_quantize, find_scale, scale_shape
from explorer.ranges import Histogram, calibrate, find_calibrator, scale_from_histogram
from explorer.ranges.calibrators import MOVING_SHARE
from explorer.ranges.spectrum import CHANNEL_BITS, ChannelCounter

CALIBRATORS = ["minmax", "moving_average", "percentile", "mse", "entropy"]
FORMATS = [("int8", True), ("int8", False), ("int4", True), ("int2", True), ("fp8_e4m3", True), ("fp4_e2m1", True)]


def static(format="int8", calibrator="minmax", symmetric=True, axis=None):
    granularity = "tensor" if axis is None else "channel"
    return Scheme(format, granularity, axis=axis, symmetric=symmetric, dynamic=False, calibrator=calibrator)


def squared_error(x, scheme, scale, zero_point=None):
    return float((x.double() - fake_quantize(x, scheme, scale, zero_point).double()).square().mean())


def threshold(scheme, batches):
    return float(calibrate(batches, scheme)[0]) * scheme.largest_code


class TestMinMax:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
    @pytest.mark.parametrize(("format", "symmetric"), FORMATS)
    def test_equals_the_scale_of_all_batches_joined(self, x, format, symmetric, dtype):
        for axis in (None, 1, -2):
            scheme = static(format, symmetric=symmetric, axis=axis)
            batches = x.reshape(64, 2, 4, 128).to(dtype).split([10, 50, 4])
            scale, zero_point = calibrate(batches, scheme)
            expected, expected_zero = find_scale(torch.cat(batches), scheme)
            assert scale.dtype == expected.dtype
            assert torch.equal(scale, expected)
            assert (zero_point is None and expected_zero is None) or torch.equal(zero_point, expected_zero)

    @given(
        st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=5), min_size=1, max_size=5)
    )
    def test_any_batches(self, values):
        batches = [torch.tensor(each) for each in values]
        for symmetric in (True, False):
            scheme = static(symmetric=symmetric)
            for ours, theirs in zip(calibrate(batches, scheme), find_scale(torch.cat(batches), scheme), strict=True):
                assert ours is theirs is None or torch.equal(ours, theirs)


def test_moving_average():
    batches = [torch.tensor([-1.0, 2.0]), torch.tensor([-3.0, 1.0]), torch.tensor([0.0, 4.0])]
    low = high = None
    for batch in batches:
        low = batch.min() if low is None else low + MOVING_SHARE * (batch.min() - low)
        high = batch.max() if high is None else high + MOVING_SHARE * (batch.max() - high)
    scheme = static(calibrator="moving_average", symmetric=False)
    expected = find_scale(torch.stack([low, high]), scheme)
    assert [part.item() for part in calibrate(batches, scheme)] == [part.item() for part in expected]


class TestPercentile:
    def test_magnitudes(self, x):
        found = threshold(static(calibrator="percentile"), x.split(50)) if x.any() else 0.0
        values = np.sort(np.abs(x.numpy()).ravel()).astype(np.float64)
        position = 0.9999 * (len(values) - 1)
        below, above = values[math.floor(position)], values[math.ceil(position)]
        # Each order statistic is known to its bin, 2**-7 wide at the most.
        assert below * (1 - 2**-7) <= found <= above * (1 + 2**-7)

    def test_both_ends(self):
        x = torch.randn(200_000, generator=torch.Generator().manual_seed(0)) + 0.5
        scale, zero_point = calibrate([x], static(calibrator="percentile", symmetric=False))
        low, high = np.quantile(x.numpy(), [0.00005, 0.99995])
        assert float(-zero_point * scale) == pytest.approx(low, abs=2**-7 * abs(low) + float(scale) / 2)
        assert float((255 - zero_point) * scale) == pytest.approx(high, abs=2**-7 * high + float(scale) / 2)


class TestLeastError:
    """Against 200 thresholds tried on the data themselves. Within 2 %: the bins blur single values, which only data of
    few values could notice, and those of BF16 have bins of their own."""

    @pytest.mark.parametrize(("format", "symmetric"), [each for each in FORMATS if each[1]])
    def test_symmetric(self, named, format, symmetric):
        name, x = named
        if name == "integers":
            pytest.skip("whole numbers in FP32 resonate with single scales, which the bins cannot see")
        scheme = static(format, "mse", symmetric)
        x = x[:32]
        most = float(x.abs().max())
        scales = [torch.tensor(most * step / 200 / scheme.largest_code) for step in range(1, 201)] if most else []
        best = min((squared_error(x, scheme, scale) for scale in scales), default=0.0)
        ours = squared_error(x, scheme, *calibrate([x[:5], x[5:]], scheme))
        # Where some threshold is exact (a constant), the rounding of the scale itself is all that is left.
        assert ours <= 1.02 * best + (1e-7 * most) ** 2

    @pytest.mark.parametrize("name", ["normal", "laplace", "lognormal", "outliers", "relu", "shifted", "negative"])
    def test_asymmetric(self, name):
        from tests.ranges.conftest import TENSORS

        x, scheme = TENSORS[name][:16], static("int8", "mse", symmetric=False)
        ends = [
            find_scale(torch.stack([x.min() * i / 24, x.max() * j / 24]), scheme) for i in range(25) for j in range(25)
        ]
        best = min(squared_error(x, scheme, *each) for each in ends)
        assert squared_error(x, scheme, *calibrate([x], scheme)) <= 1.02 * best

    def test_bf16_has_bins_of_its_own(self):
        x = torch.randn(20_000, generator=torch.Generator().manual_seed(1)).bfloat16()
        scheme, most = static("int8", "mse"), float(x.abs().max())
        best = min(squared_error(x, scheme, torch.tensor(most * step / 400 / 127)) for step in range(200, 401))
        assert squared_error(x, scheme, *calibrate([x], scheme)) <= 1.02 * best

    def test_better_than_the_others(self, x):
        error = {c: squared_error(x, static("int4", c), *calibrate([x], static("int4", c))) for c in CALIBRATORS}
        assert error["mse"] <= 1.001 * min(error.values())


def migacz(values, levels=128, bins=2048):
    """The pseudocode of the slides, on a linear histogram of the raw magnitudes, with 128 equal levels."""
    counts, edges = np.histogram(values, bins, (0, values.max()))
    best, threshold = np.inf, edges[-1]
    for size in range(levels, bins + 1):
        p = counts[:size].astype(float)
        p[-1] += counts[size:].sum()
        q = np.zeros(size)
        for level in np.array_split(np.arange(size), levels):
            filled = counts[level] > 0
            q[level] = np.where(filled, counts[level].sum() / max(filled.sum(), 1), 0)
        p, q = p / p.sum(), q / q.sum()
        if not ((p > 0) & (q == 0)).any():
            divergence = (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()
            if divergence < best:
                best, threshold = divergence, (size + 0.5) * edges[1]
    return min(threshold, values.max())


class TestEntropy:
    @pytest.mark.parametrize("seed", range(3))
    def test_near_the_published_pseudocode(self, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(400_000, generator=generator) * torch.exp(0.5 * torch.randn(400_000, generator=generator))
        ours, theirs = threshold(static(calibrator="entropy"), [x]), migacz(x.abs().numpy().astype(np.float64))
        # The divergence is flat about its minimum, noise of the raw bins moves theirs, and our levels are those that
        # the scheme rounds to: thresholds agree to 15 %, far nearer than the extreme.
        assert ours == pytest.approx(theirs, rel=0.15)
        assert ours < 0.8 * float(x.abs().max())

    @pytest.mark.parametrize(("format", "symmetric"), FORMATS)
    def test_within_the_extremes(self, x, format, symmetric):
        scheme = static(format, "entropy", symmetric)
        clipped, whole = calibrate([x], scheme)[0], find_scale(x, scheme)[0]
        assert 0 < float(clipped) <= float(whole) * (1 + 1e-6)

    def test_zeros_of_a_relu_change_nothing(self):
        x = torch.randn(100_000, generator=torch.Generator().manual_seed(3)).abs()
        with_zeros = torch.cat([x, torch.zeros(300_000)])
        scheme = static(calibrator="entropy")
        assert torch.equal(calibrate([x], scheme)[0], calibrate([with_zeros], scheme)[0])

    def test_cuts_outliers(self):
        x = torch.randn(100_000, generator=torch.Generator().manual_seed(4))
        x[:3] = 40.0
        assert threshold(static(calibrator="entropy"), [x]) < 10


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("calibrator", CALIBRATORS)
class TestChannels:
    def test_channels_are_calibrated_alone(self, calibrator, symmetric):
        x = torch.randn(3, 4, 5000, generator=torch.Generator().manual_seed(5))
        x *= torch.tensor([1e-20, 1.0, 50.0, 1e20]).reshape(1, 4, 1)
        x[:, 1].relu_()
        scale, zero_point = calibrate(x.split(1), static("int8", calibrator, symmetric, axis=1))
        assert tuple(scale.shape) == scale_shape(x.shape, static(axis=1)) == (1, 4, 1)
        for channel in range(4):
            alone, alone_zero = calibrate(x[:, channel].split(1), static("int8", calibrator, symmetric))
            # A channel's bins are 2**-5 wide, four times those of a whole tensor; entropy steps by 8 of 2048 bins.
            slack = {"minmax": 0, "moving_average": 1e-6, "percentile": 2**-5, "mse": 0.05, "entropy": 0.12}[calibrator]
            assert float(scale[0, channel]) == pytest.approx(float(alone), rel=slack, abs=0)
            if not symmetric:
                assert float(zero_point[0, channel]) == pytest.approx(float(alone_zero), abs=1 + 255 * slack)

    def test_order_and_growth_do_not_matter(self, calibrator, symmetric):
        if calibrator == "moving_average":
            pytest.skip("it is about the order")
        x = (
            torch.randn(6, 300, generator=torch.Generator().manual_seed(6))
            * torch.tensor([1e-3, 1, 10, 1e4, 0, 3])[:, None]
        )
        scheme = static("int8", calibrator, symmetric, axis=0)
        batches = x.split(50, dim=1)
        grown = [batch * factor for batch, factor in zip(batches, (1e-4, 1e-2, 0.1, 1, 3, 10), strict=True)]
        for ours, theirs in zip(calibrate(grown, scheme), calibrate(grown[::-1], scheme), strict=True):
            assert ours is theirs is None or torch.equal(ours, theirs)


def test_channel_counts():
    x = torch.cat([torch.randn(3, 500), torch.tensor([[math.nan, math.inf, 0.0, 2.0**-140]] * 3)], 1)
    x *= torch.tensor([1.0, 1e-6, 0.0])[:, None]
    counter = ChannelCounter(3, x.device)
    for part in (x[:, :50] * 1e-3, x[:, 50:]):
        counter.see(part)
    seen = torch.cat([x[:, :50] * 1e-3, x[:, 50:]], 1)
    spectrum = counter.read(np.zeros(3), np.ones(3))
    for row, values in enumerate(seen.double().numpy()):
        values = values[np.isfinite(values)]
        edges = spectrum.edges * spectrum.unit[row]
        for sign, side in ((0, values), (1, -values)):
            inside = side[(side >= edges[0]) & (side >= 2.0**-126)]
            expected = np.bincount(np.searchsorted(edges, inside, side="right") - 1, minlength=len(edges) - 1)
            assert np.array_equal(spectrum.counts[row, sign], expected)
        assert spectrum.counts[row].sum() + spectrum.zeros[row] == len(values)
    assert len(spectrum.edges) == (24 << CHANNEL_BITS) + 1


def test_channel_counting_by_torch_operations(monkeypatch):
    x = torch.randn(5, 1000, generator=torch.Generator().manual_seed(7)) * torch.logspace(-30, 30, 5)[:, None]
    loops, operations = ChannelCounter(5, x.device), ChannelCounter(5, x.device)
    monkeypatch.setattr(operations, "_count_with_loops", operations._count_with_torch)
    for part in x.split(300, dim=1):
        loops.see(part)
        operations.see(part)
    ours, theirs = (each.read(np.zeros(5), np.ones(5)) for each in (loops, operations))
    assert np.array_equal(ours.counts, theirs.counts)
    assert np.array_equal(ours.zeros, theirs.zeros)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
class TestEdges:
    def test_nothing_seen(self, calibrator):
        for batches in ([], [torch.empty(0)], [torch.tensor([math.nan, math.inf])]):
            for axis in (None, 0):
                with pytest.raises(PrecisionError, match="no finite element was seen"):
                    calibrate(batches, static(calibrator=calibrator, axis=axis))

    @pytest.mark.parametrize("axis", [None, 1])
    def test_nan_and_inf_are_left_out_and_counted(self, calibrator, axis):
        x = torch.randn(100, 3, generator=torch.Generator().manual_seed(8))
        dirty = torch.cat([x, torch.tensor([[math.nan] * 3, [math.inf, -math.inf, 1.0]])])
        dirty[-1, -1] = math.inf
        scheme = static(calibrator=calibrator, axis=axis)
        seen = find_calibrator(scheme)
        seen.see(dirty)
        assert torch.equal(seen.scale()[0], calibrate([x], scheme)[0])
        assert seen.ignored == 6

    def test_empty_batches_change_nothing(self, calibrator):
        x = torch.randn(10, 3, generator=torch.Generator().manual_seed(9))
        scheme = static(calibrator=calibrator, axis=1)
        assert torch.equal(calibrate([x[:0], x, x[:0]], scheme)[0], calibrate([x], scheme)[0])

    def test_zeros(self, calibrator):
        for symmetric in (True, False):
            scale, zero_point = calibrate([torch.zeros(8)], static("int8", calibrator, symmetric))
            assert scale == 1.0
            assert symmetric or zero_point == 0.0

    def test_a_channel_of_zeros_or_nan(self, calibrator):
        x = torch.stack([torch.randn(50), torch.zeros(50), torch.full((50,), math.nan)])
        scale, _ = calibrate([x], static(calibrator=calibrator, axis=0))
        assert scale[1:].tolist() == [[1.0], [1.0]]
        assert 0 < scale[0] < 1

    def test_a_constant_is_kept(self, calibrator):
        for value in (0.37, -1e-30, 1e30):
            scheme = static(calibrator=calibrator)
            x = torch.full((100,), value)
            torch.testing.assert_close(fake_quantize(x, scheme, *calibrate([x], scheme)), x, rtol=1e-2, atol=0)

    def test_strides_dtypes_and_gradients(self, calibrator):
        x = torch.randn(40, 6, generator=torch.Generator().manual_seed(10)).bfloat16()
        scheme = static(calibrator=calibrator, axis=1)
        expected = calibrate([x.float().contiguous()], scheme)[0]
        ours = calibrate([x.t().contiguous().t().requires_grad_()], scheme)[0]
        # Values of BF16 are known to sit at the edges of their bins per tensor only; per channel nothing differs.
        assert torch.equal(ours, expected)
        assert not ours.requires_grad

    def test_fp64_gives_fp64(self, calibrator):
        assert calibrate([torch.randn(50).double()], static(calibrator=calibrator))[0].dtype == torch.float64


def test_batches_may_be_any_iterable():
    x = torch.randn(4, 10)
    assert torch.equal(calibrate(iter(x), static())[0], find_scale(x, static())[0])


@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "mse", "entropy"])
def test_from_a_histogram_as_from_the_data(x, calibrator):
    scheme = static("int4", calibrator)
    from_data, from_bins = calibrate([x], scheme)[0], scale_from_histogram(Histogram.of(x, 7), scheme)[0]
    # The same bins; only the loops that fill them differ, and what is known of values of few bits.
    assert float(from_bins) == pytest.approx(float(from_data), rel=0.02)


def test_nothing_in_the_histogram():
    assert scale_from_histogram(Histogram.empty(), static(calibrator="mse"))[0] == 1.0


@pytest.mark.parametrize(
    ("scheme", "found", "try_"),
    [
        (Scheme("int8"), "dynamic scheme finds its scale", "dynamic=False"),
        (Scheme("bf16", dynamic=False), "takes no scale", "8 bits or fewer"),
        (Scheme("int8", "token", dynamic=False), "no tokens in common", "granularity='tensor' or 'channel'"),
        (Scheme("int8", "group", group=8, dynamic=False), "no groups in common", "granularity='tensor'"),
    ],
)
def test_schemes_refused(scheme, found, try_):
    with pytest.raises(PrecisionError) as caught:
        find_calibrator(scheme)
    assert found in caught.value.found
    assert try_ in caught.value.try_


def test_batches_refused():
    calibrator = find_calibrator(static(axis=1))
    calibrator.see(torch.ones(4, 3))
    with pytest.raises(PrecisionError, match="batches of the same channels"):
        calibrator.see(torch.ones(4, 5))
    with pytest.raises(PrecisionError, match="float32, bfloat16"):
        calibrator.see(torch.ones(4, 3, dtype=torch.int32))
    with pytest.raises(PrecisionError, match="no axis 1"):
        calibrator.see(torch.ones(4))
