"""Tensors whose values spread in the ways that ranges must tell: light and heavy tails, zeros, few values, few bits."""

import math

import pytest
import torch

SIZE = 1 << 16


def make_tensors():
    """Name -> FP32 [128, 512], always the same."""
    generator = torch.Generator().manual_seed(0)

    def normal():
        return torch.randn(SIZE, generator=generator)

    share = torch.rand(SIZE, generator=generator)
    tensors = {
        "normal": normal(),
        "laplace": -(share - 0.5).sign() * torch.log1p(-2 * (share - 0.5).abs() + 1e-6),
        "lognormal": torch.exp(2 * normal()),
        "outliers": torch.where(share < 1e-3, 60 * normal(), normal()),
        "relu": normal().relu(),
        "constant": torch.full((SIZE,), 0.37),
        "zeros": torch.zeros(SIZE),
        "small": normal() * 1e-6,
        "large": normal() * 1e4,
        "shifted": normal() * 0.1 + 1.0,
        "negative": -normal().abs() - 0.01,
        "bf16": normal().bfloat16().float(),
        "fp16": normal().half().float(),
        "integers": torch.randint(0, 256, (SIZE,), generator=generator).float(),
    }
    return {name: x.reshape(128, 512) for name, x in tensors.items()}


TENSORS = make_tensors()


@pytest.fixture(params=TENSORS)
def named(request):
    """A name and its tensor."""
    return request.param, TENSORS[request.param]


@pytest.fixture
def x(named):
    return named[1]


def random_bits(n=100_000, seed=0):
    """FP32 of every kind: all exponents, subnormals, NaN and Inf."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(2**31), 2**31, (n,), generator=generator).to(torch.int32).view(torch.float32)


@pytest.fixture
def every_kind():
    specials = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 2.0**-149, -(2.0**-149), 3.4028234663852886e38])
    return torch.cat([random_bits(), specials, torch.zeros(5)])


def sqnr_db(x, y):
    """20 log10(||x|| / ||x - y||), by the definition."""
    error = float((x.double() - y.double()).norm())
    return math.inf if error == 0 else 20 * math.log10(float(x.double().norm()) / error)


@pytest.fixture
def measure_sqnr():
    return sqnr_db
