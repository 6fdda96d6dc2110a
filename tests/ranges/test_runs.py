"""Runs of neighbours: which are kept, that any split keeps the same, and what they correct in a forecast."""

import math

import numpy as np
import pytest
import torch

from explorer.formats import Scheme, fake_quantize, round_to
from explorer.ranges import Histogram, Runs, TensorRange, forecast
from explorer.ranges.runs import PER_SAMPLE, SAMPLES, WIDTH, cut

MOST = SAMPLES * PER_SAMPLE


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def range_of(x):
    return TensorRange(Histogram.of(x), runs=Runs.of(x))


def outlier_channels():
    """[2048, 192], features far larger than others, as in transformers: one in each block of 32."""
    x = normal(2048, 192)
    x[:, ::32] *= 8
    return x


def smooth_rows():
    """[64, 32, 24], whose rows fill no block of 32 and are of very different sizes, as the maps of an image."""
    return normal(64, 32, 24) * torch.exp(0.7 * normal(64, 32, 1, seed=1))


def grouped_rows():
    """[512, 256], each 64 neighbours of a size of their own."""
    return (normal(512, 4, 64) * torch.exp(0.4 * normal(512, 4, 1, seed=2))).reshape(512, 256)


@pytest.mark.parametrize("x", [outlier_channels(), smooth_rows(), grouped_rows()], ids=["channels", "rows", "groups"])
@pytest.mark.parametrize("kind", ["mxfp8_e4m3", "mxfp4", "mxint8", "nvfp4", Scheme("int4", "group", group=8)], ids=str)
def test_blocks_are_forecast_from_how_neighbours_keep_together(x, kind, measure_sqnr):
    """1 dB, the tolerance of forecasts, and one standard deviation of what so few runs leave open, under 1 dB too."""
    y = fake_quantize(x, kind) if isinstance(kind, Scheme) else round_to(x, kind)
    found = forecast(range_of(x), kind)
    assert found.sqnr_db == pytest.approx(measure_sqnr(x, y), abs=1.0 + found.spread_db)
    assert found.spread_db < 1


def test_the_histogram_alone_cannot_tell(measure_sqnr):
    x = smooth_rows()
    assert abs(forecast(Histogram.of(x), "mxint8").sqnr_db - measure_sqnr(x, round_to(x, "mxint8"))) > 2


@pytest.mark.parametrize(
    "kind", ["bf16", "fp8_e4m3", Scheme("int4"), Scheme("uint8", symmetric=False), "mxfp4"], ids=str
)
def test_a_small_tensor_is_forecast_from_its_values(kind, measure_sqnr):
    x = normal(7, 30) * 300
    y = fake_quantize(x, kind) if isinstance(kind, Scheme) else round_to(x, kind)
    found = forecast(range_of(x), kind)
    assert found.sqnr_db == pytest.approx(measure_sqnr(x, y), abs=1e-3)  # FP32's rounding inside a scheme
    assert found.spread_db == 0
    if kind != "mxfp4":
        assert found.margin == 0
        assert found.flushed == pytest.approx(float(((x != 0) & (y == 0)).double().mean()), abs=1e-12)


def test_values_that_are_not_finite_are_left_out_and_never_count_as_known():
    x = normal(8, 16)
    x[0, 3], x[5, 5] = math.nan, math.inf
    found = range_of(x)
    assert not found.runs.are_all_of(found.histogram)
    assert math.isfinite(forecast(found, "mxfp8_e4m3").sqnr_db)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (300,), (3, 7), (4, 5, 130), (2, 3, 4, 1)])
def test_all_of_a_small_tensor_is_kept_in_order(shape):
    x = normal(*shape) + 5
    runs = Runs.of(x)
    assert torch.equal(runs.elements, x.reshape(-1))
    assert runs.values.shape[1] == min(shape[-1] if shape else 1, WIDTH)
    assert runs.are_all_of(Histogram.of(x))


def test_runs_of_a_large_tensor_start_where_blocks_do_and_meet_every_part_of_a_row():
    x = torch.arange(1000 * 192, dtype=torch.float32).reshape(1000, 192)
    runs = Runs.of(x)
    first = runs.values[:, 0].long() % 192
    assert set(first.tolist()) == {0, 128}
    assert 0.9 * MOST / 192 * 128 <= len(runs.elements) <= MOST
    rows = (runs.values[:, 0] / 192).numpy()
    assert np.histogram(rows, bins=4, range=(0, 1000))[0].min() >= len(rows) // 5
    assert float(runs.values[first == 128][:, 64:].abs().max()) == 0  # what fills the last piece of a row up


def test_any_split_and_order_keeps_the_same():
    samples = {key: normal(4, 256, seed=key) for key in range(9)}
    parts = {key: Runs((cut(x, key, PER_SAMPLE),)) for key, x in samples.items()}
    one, other = Runs(()), Runs(())
    for key in sorted(samples):
        one = one.merge(parts[key])
    for key in (8, 3, 1, 1, 0, 7, 2, 6, 4, 5):
        other = parts[key].merge(other)
    assert one == other
    assert [part.key for part in one.parts] == [0, 1, 2, 3]
    assert one != parts[8]
    assert parts[0].merge(Runs.of(normal(3, 5), 1)) is None


def test_scales_that_reach_beyond_a_run_are_forecast_from_the_histogram():
    x = outlier_channels()
    for scheme in (Scheme("int8", "token"), Scheme("int4", "group", group=96), Scheme("mxfp4", axis=0)):
        alone = forecast(Histogram.of(x), scheme, elements_per_scale=192)
        assert forecast(range_of(x), scheme, elements_per_scale=192) == alone
