"""Forecasts against what rounding the tensor does: shares within their margin, SQNR within a stated tolerance."""

import math

import numpy as np
import pytest
import torch

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, FloatSpec, Scheme, fake_quantize, find_scale, round_to
from explorer.ranges import Histogram, forecast

FORMAT_NAMES = [name for name in FORMATS if name != "e8m0"]
ELEMENT_NAMES = [name for name in FORMAT_NAMES if not FORMATS[name].is_block]
PER_TENSOR = [
    Scheme(name, symmetric=symmetric)
    for name, symmetric in [
        ("int8", True), ("int8", False), ("uint8", False), ("int4", True), ("int4", False), ("int2", True),
        ("fp8_e4m3", True), ("fp8_e5m2", True), ("fp6_e3m2", True), ("fp6_e2m3", True), ("fp4_e2m1", True),
    ]
]  # fmt: skip
SHARING = [
    Scheme("int8", "token"),
    Scheme("int8", "token", symmetric=False),
    Scheme("fp8_e4m3", "token"),
    Scheme("int4", "group", group=32),
    Scheme("int4", "group", group=128, symmetric=False),
    Scheme("int8", "channel", axis=0),
    Scheme("int8", "square", group=32),
    Scheme("fp8_e4m3", "square", group=16),
]
EQUAL_DB = 130  # beyond, tensors are equal but for the FP32 rounding inside a scheme


def apply(x, kind):
    return fake_quantize(x, kind) if isinstance(kind, Scheme) else round_to(x, kind)


def assert_sqnr(expected, measured, tolerance):
    """Within the tolerance and three standard deviations of what the histogram leaves open; or equal tensors both."""
    if min(expected.sqnr_db, measured) > EQUAL_DB:
        return
    assert expected.sqnr_db == pytest.approx(measured, abs=tolerance + 3 * expected.spread_db)


class TestOneScale:
    """Formats as they are, and schemes per tensor. The tolerance of 0.1 dB is what bins an eighth of an octave wide
    leave: the density inside them is not quite linear."""

    @pytest.mark.parametrize("kind", [*ELEMENT_NAMES, *PER_TENSOR], ids=str)
    def test_sqnr(self, x, kind, measure_sqnr):
        assert_sqnr(forecast(Histogram.of(x), kind), measure_sqnr(x, apply(x, kind)), 0.1)

    @pytest.mark.parametrize("kind", ELEMENT_NAMES)
    def test_shares(self, x, kind):
        self.check_shares(x, FORMATS[kind], round_to(x, kind), x.double(), forecast(Histogram.of(x), kind))

    @pytest.mark.parametrize("scheme", PER_TENSOR, ids=str)
    def test_shares_of_schemes(self, x, scheme):
        if not scheme.symmetric:
            pytest.skip("their thresholds depend on the zero point; the SQNR covers them")
        scaled = x.double() / float(find_scale(x, scheme)[0])
        self.check_shares(x, scheme.spec, fake_quantize(x, scheme), scaled, forecast(Histogram.of(x), scheme))

    def check_shares(self, x, spec, y, scaled, expected):
        is_float = isinstance(spec, FloatSpec)
        high = spec.overflow_threshold if is_float else spec.largest + 0.5
        low = -high if is_float else spec.smallest - 0.5
        counted = self.uncertain(x, expected)
        saturated = float(((scaled > high) | (scaled < low)).double().mean())
        assert expected.saturated == pytest.approx(saturated, abs=counted)
        assert expected.flushed == pytest.approx(float(((x != 0) & (y == 0)).double().mean()), abs=counted)
        if is_float:
            steps = scaled.abs()
            half = spec.smallest_subnormal / 2
            subnormal = float(((steps > half) & (steps < spec.smallest_normal - half)).double().mean())
            assert expected.subnormal == pytest.approx(subnormal, abs=counted)

    def uncertain(self, x, expected):
        """The stated margin; FP32 rounds x / scale, which moves single elements at a tie."""
        values = torch.unique(x).numel()
        return expected.margin + (2 / x.numel() if values > 1000 else 2 / max(values, 1))

    def test_shares_are_exact_where_thresholds_are_edges(self):
        x = torch.randn(100_000, generator=torch.Generator().manual_seed(1)) * 300
        # E5M2 flushes below 2**-17, INT4 of scale 16 / 7.5 saturates beyond 16: both edges of bins.
        flushing, saturating = (
            forecast(Histogram.of(x * 2**-24), "fp8_e5m2"),
            forecast(Histogram.of(x), "int4", 16 / 7.5),
        )
        assert flushing.flushed == float((round_to(x * 2**-24, "fp8_e5m2") == 0).double().mean())
        assert saturating.saturated == pytest.approx(
            float((x > 16).double().mean() + (x < -7.5 * 16 / 7.5 - 16 / 7.5).double().mean()), abs=saturating.margin
        )

    def test_finer_bins_narrow_the_margin(self):
        x = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
        coarse, fine = (forecast(Histogram.of(x, bits), Scheme("int4")) for bits in (3, 7))
        flushed = float((fake_quantize(x, Scheme("int4")) == 0).double().mean())
        assert fine.margin < coarse.margin / 4
        assert fine.flushed == pytest.approx(flushed, abs=fine.margin)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_values_of_few_bits_are_known(self, dtype, measure_sqnr):
        x = torch.randn(50_000, generator=torch.Generator().manual_seed(2)).to(dtype)
        assert forecast(Histogram.of(x), {torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]).sqnr_db == math.inf
        exact = forecast(Histogram.of(x.bfloat16(), 7), "fp8_e4m3")
        # Every value has a bin of its own: nothing is left open but FP64 rounding.
        assert exact.margin == 0
        assert exact.spread_db == 0
        assert exact.sqnr_db == pytest.approx(measure_sqnr(x.bfloat16(), round_to(x.bfloat16(), "fp8_e4m3")), abs=1e-9)


class TestManyScales:
    """Where blocks, groups and tokens find their own scale: 0.3 dB more, since the distribution of their largest
    elements is told in four points to a bin, and values of few bits count as spread over their bins."""

    @pytest.mark.parametrize("kind", [n for n in FORMAT_NAMES if FORMATS[n].is_block] + SHARING, ids=str)
    def test_exchangeable_elements(self, named, kind, measure_sqnr):
        name, x = named
        if name == "integers" and not (isinstance(kind, str) and "fp" in kind):
            pytest.skip("whole numbers meet steps of about 1, where chance decides")
        expected = forecast(Histogram.of(x), kind, elements_per_scale=512)
        assert_sqnr(expected, measure_sqnr(x, apply(x, kind)), 0.4)

    def test_shares(self):
        x = torch.randn(1024, 512, generator=torch.Generator().manual_seed(3))
        for kind in (
            "mxfp4",
            "mxfp8_e4m3",
            "nvfp4",
            Scheme("int4", "group", group=32),
            Scheme("int4", "square", group=16),
        ):
            flushed = float((apply(x, kind) == 0).double().mean())
            assert forecast(Histogram.of(x), kind).flushed == pytest.approx(flushed, abs=0.005)

    def test_saturation_of_mx(self):
        x = torch.randn(1024, 512, generator=torch.Generator().manual_seed(3))
        blocks = x.reshape(-1, 32)
        scale = 2.0 ** (blocks.abs().amax(1, keepdim=True).log2().floor() - 8)
        saturated = float((blocks.abs() > FORMATS["fp8_e4m3"].overflow_threshold * scale).double().mean())
        assert forecast(Histogram.of(x), "mxfp8_e4m3").saturated == pytest.approx(saturated, rel=0.05)

    def test_structure_does_better_than_forecast(self, measure_sqnr):
        """Outlier channels, as in transformers: that elements are exchangeable is the pessimist's view of channels."""
        generator = torch.Generator().manual_seed(4)
        x = torch.randn(512, 256, generator=generator)
        x[:, :4] *= 50
        scheme = Scheme("int8", "channel", axis=1)
        expected = forecast(Histogram.of(x), scheme, elements_per_scale=512).sqnr_db
        assert measure_sqnr(x, fake_quantize(x, scheme)) > expected + 3

    def test_one_block_is_the_tensor(self):
        histogram = Histogram.of(torch.randn(1000, generator=torch.Generator().manual_seed(5)))
        whole, token = (
            forecast(histogram, Scheme("int8")),
            forecast(histogram, Scheme("int8", "token"), elements_per_scale=1000),
        )
        assert token.sqnr_db == pytest.approx(whole.sqnr_db, abs=0.01)


def test_an_explicit_scale(measure_sqnr):
    x = torch.randn(50_000, generator=torch.Generator().manual_seed(6))
    scheme = Scheme("int8", dynamic=False)
    scale = torch.tensor(2.0 / 127)
    expected = forecast(Histogram.of(x), scheme, scale)
    assert expected.sqnr_db == pytest.approx(measure_sqnr(x, fake_quantize(x, scheme, scale)), abs=0.1)
    assert expected.saturated == pytest.approx(
        float((x.abs() > 127.5 * float(scale)).double().mean()), abs=expected.margin
    )
    asymmetric = Scheme("int8", dynamic=False, symmetric=False)
    scale, zero_point = find_scale(x.clamp(-1, 3), asymmetric)
    expected = forecast(Histogram.of(x), asymmetric, scale, zero_point)
    assert expected.sqnr_db == pytest.approx(measure_sqnr(x, fake_quantize(x, asymmetric, scale, zero_point)), abs=0.1)


def test_a_calibrator_finds_the_scale():
    x = torch.randn(50_000, generator=torch.Generator().manual_seed(7))
    x[0] = 100
    found = {
        c: forecast(Histogram.of(x, 7), Scheme("int4", dynamic=False, calibrator=c))
        for c in ("minmax", "percentile", "mse")
    }
    assert found["minmax"].saturated == 0
    # Beyond the percentile lies a share of 1e-4, but INT4 reaches half a step farther.
    assert 0 < found["percentile"].saturated < 1e-4
    assert found["mse"].sqnr_db >= max(each.sqnr_db for each in found.values())


def test_plain_casts_overflow_and_formats_saturate():
    x = torch.tensor([1.0, 1e5])
    assert forecast(Histogram.of(x), Scheme("fp16")).sqnr_db == -math.inf
    assert forecast(Histogram.of(x), "fp16").saturated == 0.5
    assert forecast(Histogram.of(x), "fp16").sqnr_db == pytest.approx(20 * math.log10(1e5 / (1e5 - 65504)), abs=1e-6)


def test_nan_and_inf():
    x = torch.tensor([math.nan, math.inf, -math.inf, 1.0])
    found = forecast(Histogram.of(x), "fp8_e4m3")
    assert (found.saturated, found.flushed, found.sqnr_db) == (0.5, 0.0, math.inf)


@pytest.mark.parametrize("kind", [*FORMAT_NAMES, *PER_TENSOR, *SHARING], ids=str)
@pytest.mark.parametrize("x", [torch.empty(0), torch.zeros(64)], ids=["empty", "zeros"])
def test_nothing_to_lose(x, kind):
    found = forecast(Histogram.of(x), kind, elements_per_scale=32)
    assert (found.saturated, found.flushed, found.subnormal, found.sqnr_db) == (0.0, 0.0, 0.0, math.inf)


def test_powers_of_two_change_nothing():
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(8))
    a, b = (forecast(Histogram.of(x * factor), Scheme("fp8_e4m3")) for factor in (1, 2.0**20))
    assert (a.saturated, a.flushed) == (b.saturated, b.flushed)
    np.testing.assert_allclose(a.sqnr_db, b.sqnr_db, rtol=1e-12)


def test_refusals():
    histogram = Histogram.of(torch.ones(4))
    with pytest.raises(PrecisionError, match="holds scales only"):
        forecast(histogram, "e8m0")
    with pytest.raises(PrecisionError, match="elements_per_scale"):
        forecast(histogram, Scheme("int8", "token"))
    with pytest.raises(PrecisionError, match="leave scale out"):
        forecast(histogram, "mxfp4", 1.0)
    with pytest.raises(PrecisionError, match="plain cast"):
        forecast(histogram, Scheme("bf16"), 1.0)
    with pytest.raises(PrecisionError, match="no format has this name"):
        forecast(histogram, "fp9")
