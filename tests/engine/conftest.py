"""Small models with unequal dimensions, and sessions on them whose trials go to a temporary file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.graph import Op, capture, fold_batch_norms, interpret
from explorer.kernels import StaticScale
from explorer.measure import find_device
from explorer.recipe import Recipe
from explorer.run import Executor, KernelCache, Planner, calibrate


class Block(nn.Module):
    """Attention and MLP with residuals: width 32, 2 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.proj = nn.Linear(32, 96), nn.Linear(32, 32)
        self.fc1, self.act, self.fc2 = nn.Linear(32, 80), nn.GELU(), nn.Linear(80, 32)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, tokens, 3, 2, 16).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width)
        x = x + self.proj(mixed)
        out: Tensor = x + self.fc2(self.act(self.fc1(self.norm2(x))))
        return out


class TinyViT(nn.Module):
    """[n, 7, 24] -> [n, 5] through two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.drop = nn.Linear(24, 32), nn.Dropout(0.1)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.drop(self.embed(x))).mean(1))
        return out


class TinyCNN(nn.Module):
    """[n, 3, 9, 7] -> [n, 6] with two batch norms, a skip connection and a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn1 = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.conv, self.bn2 = nn.Conv2d(32, 32, 3, stride=1, padding=1, groups=4), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.stem(x)))
        out: Tensor = self.fc(torch.relu(x + self.bn2(self.conv(x))).mean((2, 3)))
        return out


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return build()


@pytest.fixture
def vit() -> nn.Module:
    return build_vit()


@pytest.fixture
def cnn() -> nn.Module:
    return build_cnn()


@pytest.fixture
def llama() -> nn.Module:
    return build_llama()


def build_vit() -> nn.Module:
    return _seeded(TinyViT).eval()


def build_cnn() -> nn.Module:
    def build() -> nn.Module:
        model = TinyCNN()
        for _ in range(4):
            model(torch.randn(16, 3, 9, 7) * 2 + 1)
        return model

    return _seeded(build).eval()


def build_llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=17, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, use_cache=False,
    )  # fmt: skip
    return _seeded(lambda: LlamaForCausalLM(config)).eval()


class Bench:
    """A model captured and planned, without data or session."""

    def __init__(self, model: nn.Module, *inputs: Tensor) -> None:
        self.inputs = inputs
        self.graph = fold_batch_norms(capture(model, tuple(x[:2] for x in inputs)))
        shapes = {n: tuple(x.shape) for n, x in zip(self.graph.inputs, inputs, strict=True)}

        def note(op: Op, output: Any) -> None:
            first = output[0] if isinstance(output, (tuple, list)) else output
            if isinstance(first, Tensor):
                shapes[op.name] = tuple(first.shape)

        interpret(self.graph, inputs, note)
        self.shapes = shapes
        self.planner = Planner(self.graph, find_device("cpu"), shapes, self.scales)
        self.kernels = KernelCache()
        self.base = Recipe.baseline("model", self.graph.fingerprint, [op.id for op in self.graph.rows])

    def scales(self) -> Mapping[str, StaticScale]:
        """Static scales from the extremes of the one batch."""
        batch = [(self.inputs, len(self.inputs[0]))]
        return calibrate(self.graph, self.planner.static_values, batch, "minmax").scales

    def recipe(self, **choices: str) -> Recipe:
        """Ops of a kind (``linear="int8"``) or all (``every="bf16"``) in a precision."""
        recipe = self.base
        for kind, precision in choices.items():
            ops = [op.id for op in self.graph.rows if kind in ("every", op.kind)]
            able = [op for op in ops if self.planner.option(op, precision).possible]
            recipe = recipe.with_precision(able, precision, "test")
        return recipe

    def run(self, recipe: Recipe) -> Tensor:
        values = dict(zip(self.graph.inputs, self.inputs, strict=True))
        return Executor(self.planner.plan(recipe), self.kernels).run(values)


@cache
def build_bench(name: str) -> Bench:
    """The bench of a tiny model; capturing costs seconds, and nothing in it changes."""
    generator = torch.Generator().manual_seed(1)
    if name == "vit":
        return Bench(build_vit(), torch.randn(3, 7, 24, generator=generator))
    if name == "cnn":
        return Bench(build_cnn(), torch.randn(3, 3, 9, 7, generator=generator))
    return Bench(build_llama(), torch.randint(0, 17, (3, 11), generator=generator))


@pytest.fixture(params=["vit", "cnn", "llama"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return build_bench(request.param)


@pytest.fixture
def vit_bench() -> Bench:
    return build_bench("vit")


@pytest.fixture
def make_bench() -> type[Bench]:
    """A bench of a test's own model: ``make_bench(model, *inputs)``."""
    return Bench


@pytest.fixture
def llama_bench() -> Bench:
    return build_bench("llama")


def vit_data(n: int = 70) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, 7, 24, generator=generator), torch.randint(0, 5, (n,), generator=generator)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "trials.sqlite"


@pytest.fixture
def session(vit: nn.Module, store: Path) -> px.Session:
    x, y = vit_data()
    return px.open(vit, inputs=x[:2], data=(x, y), task="classification", device="cpu", batch_size=16, store=store)


@pytest.fixture
def open_vit(vit: nn.Module, store: Path) -> Callable[..., px.Session]:
    """Open the tiny ViT with its data, any argument replaced."""

    def open_(**changes: Any) -> px.Session:
        x, y = vit_data()
        arguments: dict[str, Any] = {
            "inputs": x[:2], "data": (x, y), "task": "classification", "device": "cpu", "batch_size": 16,
            "store": store,
        }  # fmt: skip
        model = changes.pop("model", vit)
        return px.open(model, **(arguments | changes))

    return open_
