"""Planted faults: for every rule a model in which it must speak, and a healthy twin in which it must not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import Tensor, nn

import explorer as px
from explorer.kernels import Kernel, Packed, Site
from explorer.zoo.planted import PLANTED, Block, Reader, build_reader, readings

Treat = Callable[[px.Session], px.Recipe]


@dataclass(frozen=True)
class Case:
    """A model, and the recipe under which its fault shows (or, of a twin, does not)."""

    model: str
    recipe: Treat


@dataclass(frozen=True)
class Fault:
    """A case with its twin, the op that must be named, and words that its finding must say."""

    case: Case
    twin: Case
    op: str
    says: tuple[str, ...]


def preset(name: str) -> Treat:
    return lambda session: session.presets()[name]


def only(op: str, precision: str) -> Treat:
    return lambda session: session.presets()["fp32"].with_precision([op], precision, "test")


def narrow_head(session: px.Session) -> px.Recipe:
    """Every weight in 8 bits, the head's in 4."""
    return session.presets()["w8"].with_precision(["head/linear"], "w4", "test")


def calibrated(method: str) -> Treat:
    """Static INT8 under the scales that a calibrator finds."""

    def treat(session: px.Session) -> px.Recipe:
        session.calibrate(method)
        return session.presets()["int8-static"]

    return treat


class Spikes(nn.Module):
    """Logits [n, 3] of [n, 1024]: noise, and for a few samples one number so large that its size alone decides."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1024, 3)
        with torch.no_grad():
            self.fc.weight.mul_(2.0)
            self.fc.weight[:, 7] = torch.tensor([-0.2, 0.0, 0.2])

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x)
        return logits


def spikes() -> Tensor:
    x = 0.3 * torch.randn(96, 1024, generator=torch.Generator().manual_seed(2))
    x[::24, 7] = torch.tensor([40.0, -30.0, 20.0, 40.0])
    return x


class Wide(nn.Module):
    """Logits [n, 3] of [n, 1024], each the sum of 1024 products and large."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1024, 3)
        with torch.no_grad():
            self.fc.weight.mul_(24.0)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x)
        return logits


def noise() -> Tensor:
    return torch.randn(64, 1024, generator=torch.Generator().manual_seed(4))


def add_up_in_bf16(site: Site) -> Packed:
    """A linear whose running sums are BF16 after every product: a narrow accumulator, one product after another."""
    product = site.product
    assert product is not None and product.bias is not None
    weight, bias = product.weight.half(), product.bias.half()

    def run(x: Tensor) -> Tensor:
        total = torch.zeros(*x.shape[:-1], len(weight), dtype=torch.bfloat16)
        for k in range(x.shape[-1]):
            total += (x[..., k : k + 1] * weight[:, k]).bfloat16()
        return total.half() + bias

    return Packed(run)


NARROW = px.Precision("fp16_narrow", "fp16", "fp16", accumulate="bf16", title="FP16, added up in BF16")
NARROW_KERNEL = Kernel(
    "narrow", NARROW.name, "any", frozenset({"linear"}), "fp16", "fp16", add_up_in_bf16, emulated=True
)
"""A precision of a user's own, as no kernel of the explorer adds up in less than FP32 or INT32."""


class NormByHand(nn.Module):
    """A layer norm whose variance is the mean of squares minus the square of the mean: below 0 in BF16."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = (x * x).mean(-1, keepdim=True) - mean * mean
        return (x - mean) / torch.sqrt(variance)


def lift_branch(model: Reader) -> None:
    """In block 1, the MLP's output 24 above zero; the norm after it, written by hand, takes that away again."""
    block = model.blocks[1]
    assert isinstance(block, Block)
    block.fc2.bias += 24.0
    block.post2 = NormByHand()  # type: ignore[assignment]


def wide_column(model: Reader) -> None:
    """In block 1, weights of one input of fc1 32 times as large, and the norm before it as much smaller there."""
    block, channel = model.blocks[1], 5
    assert isinstance(block, Block)
    block.fc1.weight[:, channel] *= 32.0
    block.norm2.weight[channel] /= 32.0
    block.norm2.bias[channel] /= 32.0


class Masked(nn.Module):
    """Logits [n, 3] of [n, 6, 8]: attention whose mask is a number beyond FP16, as many models have it; its scores all
    lie 3,000 too high, which a softmax does not mind, and FP16 is too coarse for the sum of both."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.register_buffer("mask", torch.full((6, 6), -1e9).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ x.transpose(1, 2) + 3000.0
        logits: Tensor = 4.0 * self.head((torch.softmax(scores + self.mask, -1) @ x).mean(1))
        return logits


def sequences() -> Tensor:
    return torch.randn(96, 6, 8, generator=torch.Generator().manual_seed(9))


def wide_channels(model: Reader) -> None:
    """The planted outlier channel, in every block."""
    for at, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        block.norm2.weight[3 + at] *= 512.0
        block.norm2.bias[3 + at] *= 512.0
        block.fc1.weight[:, 3 + at] /= 512.0


BUILT: Mapping[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "reader": (build_reader, readings),
    "lifted": (lambda: build_reader(lift_branch), readings),
    "wide-column": (lambda: build_reader(wide_column), readings),
    "wide-channels": (lambda: build_reader(wide_channels), readings),
    "spikes": (Spikes, spikes),
    "masked": (Masked, sequences),
    "wide": (Wide, noise),
}

FAULTS: Mapping[str, Fault] = {
    "born-in-model": Fault(
        Case("planted/softmax-inf", preset("fp32")),
        Case("planted/softmax-inf-healthy", preset("fp32")),
        "blocks.1.attn.softmax/exp",
        ("38 of 96 samples", "88.7", "torch.exp(scores)"),
    ),
    "overflow": Fault(
        Case("planted/fp16-overflow", preset("fp16")),
        Case("reader", preset("fp16")),
        "blocks.1.attn/matmul",
        ("FP16", "65,504", "BF16"),
    ),
    "calibration-misses": Fault(
        Case("planted/short-calibration", preset("int8-static")),
        Case("planted/short-calibration-healthy", preset("int8-static")),
        "fc1/linear",
        ("3 to 5 tokens", "22 to 24", "short inputs only", "all 96 samples"),
    ),
    "tail-clipped": Fault(
        Case("spikes", calibrated("percentile")),
        Case("spikes", calibrated("minmax")),
        "fc/linear",
        ("percentile", "40"),
    ),
    "outlier-channel": Fault(
        Case("planted/outlier-channel", preset("int8-dynamic")),
        Case("reader", preset("int8-dynamic")),
        "blocks.1.fc1/linear",
        ("channel 11", "per token", "SmoothQuant"),
    ),
    "flushed": Fault(
        Case("planted/flushed-layer", preset("autocast-fp16")),
        Case("reader", preset("autocast-fp16")),
        "blocks.2.fc2/linear",
        ("100 %", "6.0e-8"),
    ),
    "weight-outliers": Fault(
        Case("wide-column", preset("w4")), Case("reader", preset("w4")), "blocks.1.fc1/linear", ("groups of 32",)
    ),
    "narrow-sum": Fault(
        Case("wide", only("fc/linear", NARROW.name)),
        Case("wide", only("fc/linear", "fp16")),
        "fc/linear",
        ("1,024 products", "BF16", "8 bits"),
    ),
    "born-in-recipe": Fault(
        Case("lifted", preset("bf16")),
        Case("lifted", preset("fp32")),
        "blocks.1.post2/mean",
        ("NaN", "root"),
    ),
    "amplified": Fault(
        Case("lifted", only("blocks.1.fc2/linear", "bf16")),
        Case("reader", only("blocks.1.fc2/linear", "bf16")),
        "blocks.1.fc2/linear",
        ("nearly equal",),
    ),
    "costly-end": Fault(
        Case("reader", narrow_head), Case("reader", preset("w8")), "head/linear", ("last", "times as much")
    ),
    "too-coarse": Fault(
        Case("reader", only("blocks.1.fc1/linear", "mxfp4")),
        Case("reader", only("blocks.1.fc1/linear", "mxfp8")),
        "blocks.1.fc1/linear",
        ("mxfp4",),
    ),
}


@cache
def open_model(name: str) -> px.Session:
    """The session on a model; opened once, as capturing costs most of a test's time."""
    store = Path(mkdtemp()) / "trials.sqlite"
    planted, healthy = PLANTED.get(name.removesuffix("-healthy")), name.endswith("-healthy")
    if planted is not None and healthy and planted.healthy is build_reader:
        return open_model("reader")
    if planted is not None:
        loaded = planted.load(healthy)
        return px.open(loaded.module, loaded.inputs[0], loaded.data, loaded.task, "cpu", name, store=store)
    build, inputs = BUILT[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = build().eval()
    x = inputs()
    with torch.no_grad():
        labels = module(x).argmax(-1)
    return px.open(module, x[:2], (x, labels), "classification", "cpu", name, store=store)
