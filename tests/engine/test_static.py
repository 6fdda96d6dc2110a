"""Static codes: their scales, where they flow, what a product takes in, and that no bit depends on it."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.errors import Cancelled, PrecisionError
from explorer.formats import Quantized, quantize
from explorer.kernels import CARRIERS, KERNELS, Kernel, Packed, Post, Site, StaticScale, bind, choose
from explorer.kernels.on_codes import pool_by_torch, pool_compiled
from explorer.precision import PRECISIONS
from explorer.run import calibrate, inside_of, lower
from explorer.run import choosing as choosing_module
from explorer.run import fuse as fuse_module

INT8 = PRECISIONS["int8_static"]
GELU = Kernel(
    "plain gelu", "fp32", "cpu", frozenset({"gelu"}), "fp32", "fp32", lambda site: Packed(bind(site, torch.float32))
)


def build_plain(site: Site) -> Packed:
    """A product of dequantised operands that does whatever follows it in separate steps."""
    assert site.product is not None
    assert INT8.weight is not None
    product = site.product
    weight = quantize(product.weight, INT8.weight).dequantize()

    def run(x: Quantized) -> Tensor:
        values = x.dequantize().float()
        if site.op.kind == "linear":
            return nn.functional.linear(values, weight, product.bias)
        out: Tensor = site.op.target(values, weight, product.bias, *product.settings)
        return out

    def extend(post: Post) -> Any:
        def run_extended(x: Quantized, *addend: Any) -> Any:
            out = run(x)
            for term in addend:
                out = out + (term.dequantize() if isinstance(term, Quantized) else term)
            if post.activation:
                out = {"relu": torch.relu, "gelu": nn.functional.gelu}[post.activation](out)
            return out if post.codes is None else CARRIERS["uint8:static"].convert(out, post.codes)

        return run_extended

    return Packed(run, extend=extend)


PLAIN = Kernel(
    "plain int8_static",
    "int8_static",
    "cpu",
    frozenset({"linear", "conv2d"}),
    "uint8:static",
    "fp32",
    build_plain,
    lambda site, device: "" if site.product else "no weight",
    fuses=frozenset(("addend", "relu", "gelu", "codes")),
)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of kernels whose static product fuses everything, on whatever CPU."""
    others = tuple(k for k in KERNELS if k.precision != "int8_static" or k.kinds <= {"add", "max_pool2d"})
    monkeypatch.setattr(choosing_module, "choose", partial(choose, table=(PLAIN, *others)))
    for module in (choosing_module, fuse_module):
        monkeypatch.setattr(module, "ACTIVATION_KERNELS", {("cpu", "gelu"): GELU})


def calls(bench: Any, recipe: Any) -> list[str]:
    """What the lowered plan does, a line for each call that has something inside; it equals the execution."""
    lowered = lower(bench.planner.plan(recipe), bench.kernels)
    assert torch.equal(lowered(*bench.inputs), bench.run(recipe))
    return [" + ".join((call.id, *call.inside)) for call in lowered.schedule.calls if call.inside]


@pytest.mark.usefixtures("plain")
def test_a_residual_block_keeps_its_integers(make_bench: Any, cnn: nn.Module) -> None:
    bench = make_bench(cnn, torch.randn(3, 3, 9, 7))
    assert calls(bench, bench.recipe(conv2d="int8_static", add="int8_static")) == [
        "stem/conv2d + bn1/batch_norm + relu + cast:relu:uint8:static",
        "conv/conv2d + bn2/batch_norm + add + relu_1",
    ]


@pytest.mark.usefixtures("plain")
def test_a_residual_in_fp32_makes_a_cast_of_its_own(make_bench: Any, cnn: nn.Module) -> None:
    bench = make_bench(cnn, torch.randn(3, 3, 9, 7))
    assert calls(bench, bench.recipe(conv2d="int8_static")) == [
        "stem/conv2d + bn1/batch_norm + relu",
        "conv/conv2d + bn2/batch_norm + add + relu_1",
    ]


class Pooled(nn.Module):
    """[n, 3, 9, 7] -> [n, 8] through a pool between two convolutions; what is pooled is also read as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(torch.relu(self.stem(x)))
        out: Tensor = self.conv(pooled).mean((2, 3)) + pooled.mean((2, 3))
        return out


@pytest.mark.usefixtures("plain")
def test_a_pool_keeps_its_integers(make_bench: Any) -> None:
    bench = make_bench(Pooled().eval(), torch.randn(3, 3, 9, 7))
    recipe = bench.recipe(conv2d="int8_static", max_pool2d="int8_static")
    plan = bench.planner.plan(recipe)
    assert calls(bench, recipe) == ["stem/conv2d + relu + cast:relu:uint8:static"]
    assert [(cast.source, cast.from_, cast.to) for cast in plan.casts] == [
        ("x", "fp32", "uint8"),
        ("relu", "fp32", "uint8"),
        ("pool/max_pool2d", "uint8", "fp32"),
    ]


@pytest.mark.parametrize("shape", [(2, 5, 9, 7), (1, 3, 4, 300), (0, 3, 8, 8), (3, 16, 12, 12)])
@pytest.mark.parametrize(
    "windows",
    [
        ((3, 3), (2, 2), (1, 1), (1, 1), False),
        ((3, 2), (2, 1), (1, 0), (1, 2), True),
        ((2, 2), (2, 2), (0, 0), (1, 1), True),
    ],
)
def test_a_compiled_pool_equals_torch_on_codes(shape: tuple[int, ...], windows: Any) -> None:
    codes = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    assert torch.equal(pool_compiled(codes, windows), pool_by_torch(codes, windows))


@pytest.mark.usefixtures("plain")
def test_an_mlp_keeps_its_integers(make_bench: Any, vit: nn.Module) -> None:
    bench = make_bench(vit, torch.randn(3, 7, 24))
    found = calls(bench, bench.recipe(linear="int8_static"))
    for index in (0, 1):
        block = f"blocks.{index}"
        name = "gelu" if index == 0 else "gelu_1"
        assert f"{block}.fc1/linear + {block}.act/gelu + cast:{name}:uint8:static" in found
        assert f"{block}.fc2/linear + {block}/add_1" in found


@pytest.mark.usefixtures("plain")
def test_an_activation_after_a_sum_uses_the_function_of_the_epilogue_or_is_left_out(make_bench: Any) -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.gelu(self.right(x) + self.left(x))

    bench = make_bench(Summed().eval(), torch.randn(6, 8))
    assert calls(bench, bench.recipe(linear="int8_static")) == ["left/linear + add"]


@pytest.mark.usefixtures("plain")
def test_what_is_read_in_two_forms_is_written_in_fp32(make_bench: Any) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.relu(self.first(x))
            out: Tensor = self.second(hidden).tanh() * hidden
            return out

    bench = make_bench(Twice().eval(), torch.randn(6, 8))
    plan = bench.planner.plan(bench.recipe(linear="int8_static"))
    assert calls(bench, plan.recipe) == ["first/linear + relu"]
    assert "cast:relu:uint8:static" not in inside_of(plan)


def test_scales_come_from_the_samples_that_count(make_bench: Any, vit: nn.Module) -> None:
    bench = make_bench(vit, torch.randn(3, 7, 24))
    x = torch.linspace(-1, 3, 4 * 7 * 24).reshape(4, 7, 24)
    x[3] = 1e6
    (name,) = bench.graph.inputs
    found = calibrate(bench.graph, [name], [((x,), 3)], "minmax")
    low, high = float(x[:3].min()), float(x[:3].max())
    assert found.n == 3
    assert found.scales[name].scale == pytest.approx((high - low) / 255)
    assert found.scales[name].zero_point == round(-low / found.scales[name].scale)


def test_a_calibration_that_cannot_be_is_refused(make_bench: Any, vit: nn.Module) -> None:
    bench = make_bench(vit, torch.randn(3, 7, 24))
    (name,) = bench.graph.inputs
    with pytest.raises(PrecisionError, match=r"calibrate 'x'.*no finite element"):
        calibrate(bench.graph, [name], [((torch.full((3, 7, 24), torch.nan),), 3)])
    with pytest.raises(PrecisionError, match="middling"):
        calibrate(bench.graph, [name], [(bench.inputs, 3)], "middling")


@pytest.mark.usefixtures("plain")
def test_the_session_calibrates_when_a_recipe_needs_it(session: px.Session) -> None:
    assert vars(session)["_calibration"] is None
    session.set("blocks.0.fc1/linear", "int8_static")
    assert set(session.plan.scales) == {"layer_norm_1"}
    assert session.calibration.method == "percentile"
    assert session.calibration.n == 64


@pytest.mark.usefixtures("plain")
def test_measurements_under_other_scales_are_kept_apart(session: px.Session) -> None:
    recipe = session.set("kind:linear", "int8_static")
    first = session.evaluate(recipe)
    session.calibrate("minmax", n=1)
    assert session.known(recipe).quality is None
    second = session.evaluate(recipe)
    assert second != first
    session.calibrate()
    assert session.known(recipe).quality == first


@pytest.mark.usefixtures("plain")
def test_a_cancelled_calibration_leaves_the_scales_as_they_were(session: px.Session) -> None:
    before, cancel = session.calibration, threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        session.calibrate("minmax", cancel=cancel)
    assert session.calibration is before


@pytest.mark.usefixtures("plain")
def test_a_static_scale_is_part_of_what_a_replay_may_resume_from(session: px.Session) -> None:
    recipe = session.set("kind:linear", "int8_static")
    keys = session.plan_of(recipe).prefix_keys
    session.calibrate("minmax", n=1)
    assert session.plan_of(recipe).prefix_keys[-1] != keys[-1]
    assert isinstance(next(iter(session.plan_of(recipe).scales.values())), StaticScale)


@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 1), (0, 4), (7, 300)])
@pytest.mark.parametrize("last", [0.0, 1e-42, 3.5, torch.inf, torch.nan])
def test_int8_codes_of_one_scale_are_those_of_the_scheme(shape: tuple[int, ...], last: float) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(4)) * (1.0 if last else 0.0)
    if x.numel():
        x.view(-1)[-1] = last
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    carrier = CARRIERS["int8:tensor"]
    assert carrier.scheme is not None
    found, wanted = carrier.convert(x), quantize(x, carrier.scheme)
    assert torch.equal(found.codes, wanted.codes)
    assert torch.equal(found.scale.nan_to_num(7.0), wanted.scale.nan_to_num(7.0))
