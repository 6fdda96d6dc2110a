"""Activations against FP64, and static codes against plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.errors import ExplorerError
from explorer.formats import quantize
from explorer.kernels.simd.elementwise import activate, quantize_static
from explorer.kernels.simd.ending import float_bits
from explorer.kernels.site import ACTIVATIONS, StaticScale
from tests.kernels_simd.cases import STATIC

LONG = np.longdouble


def _logistic(x: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(x / (1 + np.exp(-exponent)))


def exact_gelu(x: np.ndarray) -> np.ndarray:
    tail = torch.special.erfc(torch.from_numpy(-np.asarray(x, dtype=np.float64)) / math.sqrt(2)).numpy() / 2
    return np.asarray(x * tail)


def exact_tanh(x: np.ndarray) -> np.ndarray:
    return _logistic(x, 2 * np.sqrt(2 / LONG(np.pi)) * (x + LONG(0.044715) * x**3))


EXACT: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "gelu_tanh": (exact_tanh, 4),
    "silu": (lambda x: _logistic(x, x), 4),
}


def sweep() -> Tensor:
    magnitudes = torch.logspace(-44, 38, 40_000)
    return torch.cat([torch.linspace(-15, 15, 400_001), torch.linspace(-90, 90, 100_001), magnitudes, -magnitudes])


@pytest.mark.parametrize("name", EXACT)
def test_activations_are_within_their_ulps(name: str) -> None:
    x = sweep()
    function, ulps = EXACT[name]
    exact, found = function(x.numpy().astype(LONG)), activate(x, name).numpy().astype(LONG)
    plain = np.abs(exact) > 1e-30
    ulp = np.spacing(np.abs(exact[plain]).astype(np.float32)).astype(LONG)
    assert float(np.max(np.abs(found[plain] - exact[plain]) / ulp)) <= ulps
    assert float(np.max(np.abs(found[~plain] - exact[~plain]))) <= 1e-34


def test_gelu_is_as_accurate_as_torchs() -> None:
    x = torch.cat([sweep(), torch.linspace(-6, 6, 2_000_001)])
    numbers = x.double().numpy()
    exact, size = exact_gelu(numbers), np.abs(numbers)
    own, torchs = (np.abs(y.double().numpy() - exact) for y in (activate(x, "gelu"), torch.nn.functional.gelu(x)))
    assert np.all(own <= 2.1e-7 * size + 2e-45) and own.max() <= 4e-7
    usual = (size > 0.01) & (size < 6)
    assert own.max() <= torchs.max() and np.max(own[usual] / size[usual]) <= np.max(torchs[usual] / size[usual])
    assert np.sqrt(np.mean(own[usual] ** 2)) <= np.sqrt(np.mean(torchs[usual] ** 2))


def test_gelu_ends_in_zero_without_denormals() -> None:
    ends = torch.arange(float_bits(5.5), float_bits(6.0), dtype=torch.int32).view(torch.float32)
    below, above = activate(-ends, "gelu"), activate(ends, "gelu")
    assert torch.equal(below == 0, ends >= 5.75) and float(below[ends < 5.75].max()) < -1.2e-38
    assert float(below.min()) > -3e-7 and torch.equal(above, ends + below)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_edges(name: str) -> None:
    found = activate(torch.tensor([math.inf, -math.inf, math.nan, 1e38, -1e38, 0.0, -0.0]), name)
    assert found[0] == math.inf and found[1] == 0 if name in ("relu", "gelu") else found[1].isnan()
    assert found[2].isnan() and found[3] == 1e38 and found[4] == 0
    assert torch.equal(torch.signbit(found[5:]), torch.tensor([False, True]))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_denormals_stay(name: str) -> None:
    x = torch.tensor([1e-45, 1e-39, -1e-39, 3e-41])
    expected = torch.relu(x) if name == "relu" else x / 2
    assert torch.allclose(activate(x, name), expected, rtol=0, atol=2e-45)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 63, 64, 65, 70_001])
def test_each_element_by_itself(name: str, count: int) -> None:
    x = torch.linspace(-6, 6, max(count, 1))[:count]
    some = activate(x, name)
    assert some.shape == x.shape
    assert all(torch.equal(activate(x[i : i + 1], name), some[i : i + 1]) for i in range(0, count, 7919))


def test_layouts_and_places_of_the_result() -> None:
    x = torch.randn(2, 5, 4, 3)
    last = x.to(memory_format=torch.channels_last)
    assert torch.equal(activate(last, "silu"), activate(x, "silu"))
    assert activate(last, "silu").is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(activate(x[:, 1:3], "gelu"), activate(x, "gelu")[:, 1:3])
    expected, place = activate(x, "gelu"), x.clone()
    assert activate(place, "gelu", out=place) is place and torch.equal(place, expected)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ExplorerError, match="there is no such activation"):
        activate(torch.zeros(3), "mish")


@pytest.mark.parametrize("fixed", [StaticScale(0.0173, 0), StaticScale(0.5, 128), StaticScale(3e-5, 255)])
def test_static_codes_are_those_of_plain_torch(fixed: StaticScale) -> None:
    x = torch.cat(
        [torch.randn(5000) * 2, torch.arange(-300, 300) * 0.25, torch.tensor([math.inf, -math.inf, 1e38, -0.0])]
    )
    for values in (x, torch.cat([x, torch.tensor([math.nan])]), x[:0], x[:12].reshape(3, 4).t()):
        found = quantize_static(values, fixed)
        expected = quantize(values, STATIC, torch.tensor(fixed.scale), torch.tensor(float(fixed.zero_point)))
        assert torch.equal(found.codes, expected.codes)
        assert found.scale.isnan() == expected.scale.isnan().any()
        assert found.zero_point == fixed.zero_point
