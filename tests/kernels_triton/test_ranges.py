"""One-pass range counts equal ``ranges.Histogram``, field for field."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.errors import PrecisionError
from explorer.kernels.triton.ranges import RangeCounts, candidates, count_range
from explorer.kernels.triton.tuning import Config
from explorer.ranges import Counter, Histogram

HAS_GPU = torch.cuda.is_available()

SPECIAL = (0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1.0, -2.0, 1e-45, -1e-40, 3.4e38, 65504.0)


def launches(dtype: torch.dtype = torch.float32) -> tuple[Config, ...]:
    return (candidates(dtype)[0], candidates(dtype)[-1]) if HAS_GPU else (Config.of(4, 1, BLOCK=256, PROGRAMS=1),)


def histogram_of(*tensors: Tensor) -> Histogram:
    """Counted by torch's operations on the CPU, which need nothing that a GPU's image may lack."""
    counter = Counter(3, compiled=False)
    for x in tensors:
        counter.see(x.cpu())
    return Histogram(3, *counter.read())


def check(x: Tensor) -> None:
    wanted = histogram_of(x)
    for config in launches(x.dtype):
        counts = RangeCounts.empty(x.device)
        counts.add(x, config)
        assert counts.read() == wanted, config


def cases() -> dict[str, Tensor]:
    normal = torch.randn(700)
    return {
        "normal": normal,
        "all of FP32's octaves": torch.randint(-(2**31), 2**31, (300,)).int().view(torch.float32),
        "far outliers": torch.cat([torch.tensor([1e30]), normal]),
        "after a tile of zeros": torch.cat([torch.zeros(512), normal[:300]]),
        "subnormals": normal[:300] * 1e-39,
        "near the top": normal[:300] * 1e38,
        "special": torch.tensor(SPECIAL * 30),
        "relu": normal[:300].relu(),
        "one": torch.tensor([-3.5]),
        "zeros": torch.zeros(70),
        "only NaN": torch.full((70,), torch.nan),
        "none": torch.zeros(0),
        "many tiles": torch.randn(5000) * torch.logspace(-4, 4, 5000),
        "negative": -normal.abs(),
    }


@pytest.mark.parametrize("name", cases())
def test_equals_the_histogram(name: str, device: str) -> None:
    check(cases()[name].to(device))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["normal", "special", "subnormals"])
def test_narrow_floats(name: str, dtype: torch.dtype, device: str) -> None:
    check(cases()[name].to(dtype).to(device))


def test_every_bf16_pattern(device: str) -> None:
    check(torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16).to(device))


def test_formats_mix_in_one_stream(device: str) -> None:
    counts, x = RangeCounts.empty(device), torch.randn(700, device=device)
    tensors = [x, x.bfloat16() * 3, x.half(), torch.zeros(5, device=device).bfloat16()]
    for part in tensors:
        counts.add(part, launches(part.dtype)[0])
    assert counts.read() == histogram_of(*tensors)


def test_strides_and_shapes(device: str) -> None:
    x = torch.randn(20, 30, device=device)
    check(x.t())
    check(x[::2, 3:])
    check(x[0, 0])


def test_a_stream_adds_up_and_is_not_changed(device: str) -> None:
    counts, tensors = (
        RangeCounts.empty(device),
        [torch.randn(300, device=device) * scale for scale in (1.0, 1e-20, 1e20)],
    )
    for x in tensors:
        before = x.clone()
        counts.add(x, launches()[0])
        assert torch.equal(x, before)
    assert counts.read() == histogram_of(*tensors)


def test_nothing_counted_is_the_empty_histogram(device: str) -> None:
    assert RangeCounts.empty(device).read() == Histogram.empty()
    assert count_range(torch.zeros(0, device=device)).read() == Histogram.empty()


def test_other_dtypes_are_refused(device: str) -> None:
    with pytest.raises(PrecisionError, match=r"x is torch\.float64"):
        count_range(torch.zeros(3, dtype=torch.float64, device=device))
