"""Histograms are exact: every field against plain arithmetic, and any split of the data merges to the same record."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import PrecisionError
from explorer.ranges import Counter, Histogram

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


def exact_sums(x):
    """Sum and sum of squares of the finite elements, as fractions."""
    values = [Fraction(value) for value in x.double().tolist() if math.isfinite(value)]
    return sum(values, Fraction()), sum((value * value for value in values), Fraction())


@pytest.mark.parametrize("bits", [0, 3, 7])
def test_counts_every_kind(every_kind, bits):
    histogram = Histogram.of(every_kind, bits)
    values = every_kind.double().numpy()
    finite = values[np.isfinite(values)]
    for sign, side in ((0, finite[finite > 0]), (1, -finite[finite < 0])):
        expected = np.bincount(np.searchsorted(histogram.edges, side, side="right") - 1, minlength=255 << bits)
        assert np.array_equal(histogram.counts[sign], expected)
    assert histogram.zeros == 7 + int((values[:100_000] == 0).sum())
    assert histogram.nan == np.isnan(values).sum()
    assert histogram.inf == np.isinf(values).sum()
    assert (histogram.min, histogram.max) == (finite.min(), finite.max())
    assert histogram.least == np.abs(finite[finite != 0]).min()
    assert histogram.count == len(values)


def test_sums_are_exact(every_kind):
    x = every_kind[:2000]
    histogram = Histogram.of(x)
    total, square = exact_sums(x)
    assert Fraction(histogram.total, 2**149) == total
    assert Fraction(histogram.square, 2**298) == square
    assert histogram.sum == float(total)
    assert histogram.sum_of_squares == float(square)


def test_statistics(x):
    histogram, wide = Histogram.of(x), x.double()
    assert histogram.mean == pytest.approx(float(wide.mean()), rel=1e-12, abs=1e-18)
    # Summing 2**16 squares in FP64 loses up to 2**-37 of them; ours are exact.
    assert histogram.std == pytest.approx(
        float(wide.std(unbiased=False)), rel=1e-9, abs=1e-12 * float(wide.abs().max())
    )
    assert histogram.absmax == float(x.abs().max())


@given(st.lists(FLOATS, max_size=60), st.data())
def test_any_split_merges_to_the_same(values, data):
    x = torch.tensor(values, dtype=torch.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    parts = np.split(np.arange(len(values)), cuts)
    order = data.draw(st.permutations(range(len(parts))))
    merged = Histogram.empty()
    for index in order:
        merged = merged.merge(Histogram.of(x[torch.from_numpy(parts[index])]))
    assert merged == Histogram.of(x)
    assert math.isnan(merged.mean) == (merged.finite == 0)


def test_merging_is_associative(every_kind):
    a, b, c = (Histogram.of(part) for part in torch.tensor_split(every_kind, 3))
    assert a.merge(b).merge(c) == a.merge(b.merge(c)) == c.merge(b).merge(a)
    assert a.merge(Histogram.empty()) == a
    assert a != b


@pytest.mark.parametrize("bits", [0, 3, 7])
def test_loops_and_torch_operations_agree(every_kind, bits):
    tallies = []
    for compiled in (True, False):
        counter = Counter(bits, compiled=compiled)
        for part in torch.tensor_split(every_kind, 3):
            counter.see(part)
        tallies.append(counter.read())
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(*tallies, strict=True))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("axes", [(1,), (-1,)])
def test_what_a_relu_leaves_is_counted_along(every_kind, compiled, axes):
    """Equal to counting the output itself: every kind of number, an ordinary activation, and only negative ones."""
    normal = torch.randn(3, 5, 700, generator=torch.Generator().manual_seed(1))
    infinite = torch.tensor([-math.inf, -1.0, -math.inf]).reshape(1, 3, 1)
    for x in (every_kind[:99_990].reshape(3, 5, 6666), normal, -normal.abs() - 1, infinite, normal.abs() + 1):
        along, after = Counter(3, channel_axes=axes, compiled=compiled, rectified=True), Counter(3, channel_axes=axes)
        for part in torch.tensor_split(x, 2):
            along.see(part)
        after.see(x.relu())
        pairs = zip(along.read_rectified(), after.read(), strict=True)
        assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)
        assert np.array_equal(along.rectified_channel_absmax, after.channel_absmax)
        assert Histogram(3, *along.read()) == Histogram.of(x)


def test_counter_without_moments(every_kind):
    counter = Counter(3, moments=False)
    counter.see(every_kind)
    seen, whole = counter.read(), Histogram.of(every_kind)
    assert np.array_equal(seen.counts, whole.counts)
    assert (seen.zeros, seen.nan, seen.inf, seen.min, seen.max) == (
        whole.zeros, whole.nan, whole.inf, whole.min, whole.max)  # fmt: skip
    assert counter.ignored == whole.nan + whole.inf


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_those_values_in_fp32(dtype, every_kind):
    x = every_kind.to(dtype)
    assert Histogram.of(x) == Histogram.of(x.float())


def test_fp64_is_cut_towards_zero():
    x = torch.tensor([1e300, -1e300, 1e-50, 1 + 2**-30, -1 - 2**-30, math.inf], dtype=torch.float64)
    top = torch.finfo(torch.float32).max
    assert Histogram.of(x) == Histogram.of(torch.tensor([top, -top, 0.0, 1.0, -1.0, math.inf]))


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))],
)
def test_strides_and_devices(every_kind, device):
    x = every_kind[:99_990].reshape(3, 6, 5555)
    expected = Histogram.of(x)
    x = x.to(device)
    assert Histogram.of(x.permute(2, 0, 1)) == expected
    assert Histogram.of(torch.stack([x, x], -1)[..., 0]) == expected
    assert Histogram.of(x[0, 0, :1].expand(7)) == Histogram.of(x[0, 0, :1].repeat(7))
    assert Histogram.of(x.clone().requires_grad_()) == expected


def test_any_number_of_threads_counts_the_same(every_kind):
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            found.append(Histogram.of(every_kind))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2] == found[3]


def test_the_tensor_is_not_changed(every_kind):
    before = every_kind.clone()
    Histogram.of(every_kind)
    assert torch.equal(before.view(torch.int32), every_kind.view(torch.int32))


@pytest.mark.parametrize("x", [torch.empty(0), torch.empty(3, 0), torch.tensor([math.nan])])
def test_nothing_finite(x):
    histogram = Histogram.of(x)
    assert (histogram.finite, histogram.absmax, histogram.sum) == (0, 0.0, 0.0)
    assert (histogram.min, histogram.max, histogram.least) == (math.inf, -math.inf, math.inf)
    assert all(map(math.isnan, (histogram.mean, histogram.std, histogram.quantile(0.5))))


def test_scalar():
    histogram = Histogram.of(torch.tensor(-3.0))
    assert (histogram.count, histogram.min, histogram.max, histogram.mean, histogram.std) == (1, -3.0, -3.0, -3.0, 0.0)


def test_coarser_bins(every_kind):
    assert Histogram.of(every_kind, 7).coarsen(3) == Histogram.of(every_kind, 3)
    with pytest.raises(PrecisionError, match="tell only 3 apart"):
        Histogram.of(every_kind, 3).coarsen(7)


def test_used_bits():
    x = torch.tensor([1.0, 1.5, 5.0, -1.25, 1 / 3])
    octaves = {octave: int(n) for octave, n in enumerate(Histogram.of(x).used_bits[0]) if n}
    assert octaves == {127: 1, 129: 2, 125: 23}
    assert Histogram.of(x).used_bits[1, 127] == 2
    assert Histogram.of(torch.randn(1000).bfloat16()).used_bits.max() == 7


@pytest.mark.parametrize("bits", [3, 7])
def test_quantiles_are_right_to_a_bin(x, bits):
    histogram = Histogram.of(x, bits)
    values = np.sort(x.numpy().ravel().astype(np.float64))
    for q in (0.0, 1e-4, 0.3, 0.5, 0.99, 0.9999, 1.0):
        # Both order statistics that q lies between are known to their bin, which is 2**-bits wide at the most.
        position = q * (len(values) - 1)
        below, above = values[math.floor(position)], values[math.ceil(position)]
        slack = 2.0**-bits * max(abs(below), abs(above))
        assert below - slack <= histogram.quantile(q) <= above + slack
    assert (histogram.quantile(0), histogram.quantile(1)) == (values[0], values[-1])


def test_refusals():
    with pytest.raises(PrecisionError, match="float32, bfloat16"):
        Histogram.of(torch.arange(3))
    with pytest.raises(PrecisionError, match="0 to 11"):
        Histogram.empty(12)
    with pytest.raises(PrecisionError, match="equal mantissa_bits"):
        Histogram.empty(3).merge(Histogram.empty(7))
    with pytest.raises(PrecisionError, match="from 0 to 1"):
        Histogram.of(torch.ones(3)).quantile(99)


def test_records_are_values():
    histogram = Histogram.of(torch.ones(3))
    with pytest.raises(ValueError, match="read-only"):
        histogram.counts[0, 0] = 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(histogram)
    assert histogram != "histogram"
