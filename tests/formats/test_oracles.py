"""Each format against ml_dtypes and gfloat: all codes, inputs where rounding is decided, ten million random ones."""

from concurrent.futures import ThreadPoolExecutor

import gfloat
import numpy as np
import pytest
import torch

from explorer.formats import FORMATS, all_values, decode, encode, round_to
from tests.formats import oracles
from tests.formats.conftest import ML_DTYPES
from tests.formats.oracles import CODED, ELEMENTS, INFOS, MODES

THREADS = 2  # the oracles are NumPy, on one thread each
RANDOM_INPUTS = 10_000_000
NO_DIFFERENCES = {"gfloat": 0, "ml_dtypes": 0}
STEPS = {16: 7, 19: 61, 32: 1}  # of the boundaries of wide formats that FP64 inputs are made from, by bits
CHUNK = 1 << 16  # gfloat is ten times quicker within a CPU's cache

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy on overflow and NaN


def compare(name, x, saturate, rounding="nearest"):
    """Differences from each oracle, over chunks of x: FP32 or FP64."""
    parts = np.array_split(x, max(len(x) // CHUNK, 1))
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda part: compare_part(name, part, saturate, rounding), parts))
    return {oracle: sum(each[oracle] for each in found) for oracle in NO_DIFFERENCES}


def compare_part(name, part, saturate, rounding):
    ours = round_to(torch.from_numpy(part), name, saturate, rounding).numpy()
    expected = oracles.round_by_gfloat(name, part, saturate, rounding)
    found = NO_DIFFERENCES | {"gfloat": oracles.count_differences(ours, expected)}
    if name in ML_DTYPES and rounding == "nearest" and part.dtype == np.float32:  # it rounds FP64 twice
        found["ml_dtypes"] = oracles.count_differences(ours, oracles.round_by_ml_dtypes(name, part, saturate))
    return found


def test_the_oracles_cover_every_format():
    assert set(ELEMENTS) == {name for name, spec in FORMATS.items() if not spec.is_block}


@pytest.mark.parametrize("name", CODED)
class TestEveryCode:
    def test_decode(self, name):
        codes = np.arange(2 ** oracles.bits_of(name))
        ours = decode(torch.from_numpy(codes), name, torch.float64).numpy()
        assert oracles.count_differences(ours, oracles.values_of_codes(name)) == 0
        assert oracles.count_differences(ours, gfloat.decode_ndarray(INFOS[name], codes)) == 0
        assert oracles.count_differences(all_values(name).numpy(), ours) == 0

    def test_encode(self, name):
        values = oracles.values_of_codes(name)
        kept = ~np.isnan(values)
        ours = encode(torch.from_numpy(values[kept]), name, saturate=False).numpy()
        assert np.array_equal(ours, np.arange(values.size)[kept])
        assert np.array_equal(ours, gfloat.encode_ndarray(INFOS[name], values[kept]))
        if oracles.has_nan(name):
            nan = np.array([np.nan], np.float32)
            by_ml_dtypes = nan.astype(ML_DTYPES[name])
            assert encode(torch.from_numpy(nan), name) == int(by_ml_dtypes.view(f"u{by_ml_dtypes.itemsize}")[0])


@pytest.mark.parametrize("name", ELEMENTS)
class TestRounding:
    @pytest.mark.parametrize("saturate", [True, False])
    @pytest.mark.parametrize("rounding", MODES)
    def test_every_boundary(self, name, rounding, saturate):
        assert compare(name, oracles.boundaries(name), saturate, rounding) == NO_DIFFERENCES

    def test_ten_million_random_inputs(self, name):
        x = oracles.random_inputs(name, RANDOM_INPUTS, seed=0)
        assert compare(name, x, saturate=True) == NO_DIFFERENCES

    @pytest.mark.parametrize("rounding", MODES)
    def test_random_inputs(self, name, rounding):
        x = oracles.random_inputs(name, RANDOM_INPUTS // 20, seed=1)
        assert compare(name, x, saturate=False, rounding=rounding) == NO_DIFFERENCES

    @pytest.mark.parametrize("saturate", [True, False])
    @pytest.mark.parametrize("rounding", MODES)
    def test_fp64_is_rounded_once(self, name, rounding, saturate):
        points = oracles.boundaries(name)[:: STEPS.get(oracles.bits_of(name), 1)].astype(np.float64)
        nudges = [0, 2.0**-40, -(2.0**-40), 2.0**-52, -(2.0**-52)]
        far = [1e300, -1e300, 5e-324, -5e-324, 2.0**-150, -(2.0**-150), 2.0**128, 2.0**-126 * (1 - 2.0**-30)]
        x = np.concatenate([*(points * (1 + nudge) for nudge in nudges), far])
        assert compare(name, x, saturate, rounding) == NO_DIFFERENCES


@pytest.mark.parametrize("rounding", MODES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ELEMENTS)
def test_every_half_input(name, dtype, rounding):
    x = torch.arange(2**16).to(torch.int16).view(dtype)
    y = round_to(x, name, rounding=rounding)
    assert y.dtype == dtype
    wide = x.double().numpy()
    expected = oracles.round_by_gfloat(name, wide, True, rounding)
    held = torch.from_numpy(expected).to(dtype).double().numpy() == expected
    kept = np.isnan(expected) | (held & (np.abs(wide) < 2.0**15 if name == "fp16" else True))
    assert kept.sum() > 2**15
    assert oracles.count_differences(y.double().numpy()[kept], expected[kept]) == 0
    assert torch.isfinite(y[~torch.from_numpy(np.isnan(expected))]).all()
