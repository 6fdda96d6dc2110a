"""oneDNN's INT8 products on static codes equal their exact twin bit for bit, also where they end in codes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.formats import quantize
from explorer.graph import capture
from explorer.kernels import CARRIERS, Kernel, Post, Site, StaticScale, onednn, reference_int8
from explorer.measure import find_device

CPU = find_device("cpu")
MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(200, 24), (3, 11, 200)),
    "deep linear": (nn.Linear(5000, 17, bias=False), (1, 5000)),
    "conv2d": (nn.Conv2d(32, 17, 3, padding=1), (3, 32, 6, 5)),
    "grouped conv2d": (nn.Conv2d(32, 16, 3, groups=4, stride=2, bias=False), (3, 32, 6, 5)),
    "dilated conv2d": (nn.Conv2d(3, 8, (3, 2), padding=(2, 0), dilation=2), (2, 3, 9, 7)),
    "1x1 conv2d": (nn.Conv2d(64, 24, 1), (5, 64, 4, 4)),
    "conv1d": (nn.Conv1d(32, 16, 3, padding=1), (3, 32, 9)),
}
FIXED = StaticScale(0.021, 119)


@pytest.fixture(autouse=True, params=["as this CPU rounds", "sums alone"])
def ending(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with oneDNN's own epilogue, where it is ours, and with torch's after exact sums, as AMX needs."""
    if request.param == "sums alone":
        monkeypatch.setattr(onednn, "rounds_as_ours", lambda: False)


@pytest.fixture(scope="module", params=MODULES)
def case(request: pytest.FixtureRequest) -> tuple[Site, Tensor]:
    module, shape = MODULES[request.param]
    return site_of(module, torch.randn(shape, generator=torch.Generator().manual_seed(4)))


def site_of(module: nn.Module, x: Tensor) -> tuple[Site, Tensor]:
    graph = capture(module.eval(), (x.expand(2, *x.shape[1:]) if len(x) == 1 else x,))
    (op,) = graph.rows
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    return Site(op, constants, {graph.inputs[0]: tuple(x.shape)}, frozenset(graph.inputs)), x


def kernel_of(site: Site) -> Kernel:
    (kernel,) = (k for k in onednn.KERNELS if k.serves(site.op.kind))
    assert kernel.refuse(site, CPU) == ""
    return kernel


def test_the_product_is_exact(case: tuple[Site, Tensor]) -> None:
    site, x = case
    codes = CARRIERS["uint8:static"].convert(x, FIXED)
    got, wanted = kernel_of(site).build(site).run(codes), reference_int8.build_static(site).run(codes)
    assert got.dtype == torch.float32
    assert torch.equal(got, wanted)


@pytest.mark.parametrize("activation", ["", "relu"])
@pytest.mark.parametrize("codes", [None, StaticScale(0.17, 31)], ids=["floats", "codes"])
def test_what_it_takes_in_equals_the_separate_steps(case: tuple[Site, Tensor], activation: str, codes: Any) -> None:
    site, x = case
    x = CARRIERS["uint8:static"].convert(x, FIXED)
    extend = kernel_of(site).build(site).extend
    assert extend is not None
    fused = extend(Post(activation=activation, codes=codes))
    assert fused is not None
    wanted = reference_int8.build_static(site).run(x)
    wanted = wanted.relu() if activation else wanted
    if codes is None:
        assert torch.equal(fused(x), wanted)
        return
    got, expected = fused(x), CARRIERS["uint8:static"].convert(wanted, codes)
    assert torch.equal(got.codes, expected.codes)
    assert (got.scale, got.zero_point, got.scheme) == (expected.scale, expected.zero_point, expected.scheme)


def test_what_it_cannot_take_in_is_left_to_others(case: tuple[Site, Tensor]) -> None:
    extend = kernel_of(case[0]).build(case[0]).extend
    assert extend is not None
    assert extend(Post(addend=True)) is None and extend(Post(activation="gelu")) is None


def test_a_convolution_stays_channels_last_in_a_chain() -> None:
    site, x = site_of(nn.Conv2d(16, 16, 3, padding=1), torch.randn(2, 16, 8, 8))
    extend = kernel_of(site).build(site).extend
    assert extend is not None
    step = extend(Post(codes=FIXED))
    assert step is not None
    first = step(CARRIERS["uint8:static"].convert(x, FIXED))
    assert first.codes.is_contiguous(memory_format=torch.channels_last)
    assert step(first).codes.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("part", ["input", "bias"])
def test_a_nan_never_looks_like_a_number(part: str) -> None:
    layer = nn.Linear(32, 8)
    if part == "bias":
        with torch.no_grad():
            layer.bias[2] = torch.nan
    site, x = site_of(layer, torch.randn(4, 32))
    if part == "input":
        x = x.clone()
        x[1, 1] = torch.nan
    codes = quantize(x, onednn.STATIC, torch.tensor(0.02), torch.tensor(119.0))
    extend = kernel_of(site).build(site).extend
    assert extend is not None
    for post in (Post(), Post(activation="relu"), Post(codes=FIXED), Post(activation="relu", codes=FIXED)):
        fused = extend(post)
        assert fused is not None
        out = fused(codes)
        values = out if isinstance(out, Tensor) else out.dequantize()
        assert values[:, 2].isnan().all()


def test_padding_in_words_is_refused() -> None:
    site, _ = site_of(nn.Conv2d(4, 4, 3, padding="same"), torch.randn(2, 4, 6, 6))
    assert "padding in numbers" in onednn.refuse_conv(site, CPU)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("is_available", lambda: False, "built without oneDNN"),
        ("_is_exact", lambda *_, **__: False, "not exact on this CPU"),
        ("_is_exact", lambda *_, **__: torch.ops.onednn.no_such_operator(), "do not run: "),
    ],
)
def test_what_is_missing_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, reason: str
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn if name == "is_available" else onednn, name, value)
    onednn.why_none.cache_clear()
    try:
        site, _ = site_of(nn.Linear(16, 8), torch.randn(2, 16))
        assert reason in onednn.refuse_linear(site, CPU)
    finally:
        onednn.why_none.cache_clear()
