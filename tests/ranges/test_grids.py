"""Squared errors of rounding in closed form, against many points and against the formats' own rounding."""

import numpy as np
import pytest
import torch

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, FloatSpec, IntSpec, Scheme, fake_quantize, round_to
from explorer.ranges.grids import FloatGrid, UniformGrid, make_grid, mean_squared_error

ELEMENTS = [n for n, spec in FORMATS.items() if isinstance(spec, FloatSpec | IntSpec) and n != "e8m0"]
GRIDS = {
    "fp8_e4m3": FloatGrid(FORMATS["fp8_e4m3"], 0.3),
    "fp8_e5m2": FloatGrid(FORMATS["fp8_e5m2"], 1e-3),
    "fp4_e2m1": FloatGrid(FORMATS["fp4_e2m1"], 1.7),
    "fp16": FloatGrid(FORMATS["fp16"]),
    "int8": UniformGrid(-127, 127, 0.013),
    "uint8": UniformGrid(0, 255, 0.01, 31.0),
    "uint4, float zero": UniformGrid(0, 15, 0.31, 3.3),
}


@pytest.mark.parametrize("name", GRIDS)
def test_closed_form_against_many_points(name):
    grid, rng, points = GRIDS[name], np.random.default_rng(0), 100_001
    low = rng.normal(size=60) * 2
    high = low + np.abs(rng.normal(size=60)) * 10.0 ** rng.integers(-7, 1, 60)
    x = low + (high - low) * ((np.arange(points) + 0.5) / points)[:, None]
    expected = ((x - grid.round(x)) ** 2).mean(axis=0)
    # The rule of midpoints errs by 1e-10 of a smooth part, and by up to 1 / points at each of its jumps of slope;
    # the grid's own short cut for narrow cells by 1e-4 of a step squared.
    np.testing.assert_allclose(mean_squared_error(grid, low, high), expected, rtol=2e-4)


@pytest.mark.parametrize("name", ELEMENTS)
def test_rounds_as_the_format_does(name):
    spec = FORMATS[name]
    size = torch.exp2(torch.linspace(-30, np.log2(min(spec.largest, 2.0**100)) + 1, 4001))
    points = torch.cat(
        [size, -size, torch.tensor(spec.values[-20:]) if spec.bits < 16 else torch.ones(1), torch.zeros(1)]
    )
    expected = round_to(points, name).double().numpy()
    assert np.array_equal(make_grid(spec).round(points.double().numpy()), expected)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("format", ["int8", "int4", "int2"])
def test_rounds_as_the_scheme_does(format, symmetric):
    scheme = Scheme(format, symmetric=symmetric, dynamic=False)
    scale, zero_point = torch.tensor(0.25), None if symmetric else torch.tensor(1.0)
    x = torch.linspace(-50, 50, 4001)  # with every tie
    expected = fake_quantize(x, scheme, scale, zero_point).double().numpy() + 0.0
    grid = make_grid(scheme, 0.25, 0.0 if symmetric else 1.0)
    assert np.array_equal(grid.round(x.double().numpy()) + 0.0, expected)


@pytest.mark.parametrize("name", ELEMENTS)
def test_thresholds_are_where_the_rounding_changes(name):
    spec = FORMATS[name]
    grid = make_grid(spec)
    unsaturated = float(spec.largest)
    (low, high), (keeps_low, keeps_high) = grid.range, grid.keeps_ties
    # A number of more bits than the format's keeps the tie itself: FP64.
    if isinstance(spec, FloatSpec) and spec.nan != "none" and name not in ("fp32", "tf32"):
        at_end = round_to(torch.tensor([float(low), float(high)], dtype=torch.float64), spec, saturate=False)
        assert (at_end.abs() <= unsaturated).tolist() == [bool(keeps_low), bool(keeps_high)]
    zero_low, zero_high = (float(end) for end in grid.zero_range)
    ends = torch.tensor([max(zero_low, -1e30), zero_high], dtype=torch.float64)
    beyond = torch.nextafter(ends, torch.tensor([-float("inf"), float("inf")], dtype=torch.float64))
    if name != "fp32":
        assert (round_to(ends, spec) == 0).all()
        assert (round_to(beyond, spec) != 0).tolist() == [zero_low > -1e30, True]


def test_fp32_rounds_nothing():
    grid = make_grid(FORMATS["fp32"])
    assert mean_squared_error(grid, np.array([0.1, -3.0]), np.array([0.2, 5.0])).tolist() == [0.0, 0.0]


def test_scales_broadcast():
    scales = np.array([[0.1], [0.2], [0.5]])
    low, high = np.array([0.0, 0.3, -4.0]), np.array([0.3, 0.3, -1.0])
    together = mean_squared_error(UniformGrid(-7, 7, scales), low, high)
    alone = [mean_squared_error(UniformGrid(-7, 7, float(scale)), low, high) for scale in scales.ravel()]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_scales_of_scales_are_no_data():
    with pytest.raises(PrecisionError, match="holds scales only"):
        make_grid(FORMATS["e8m0"])
