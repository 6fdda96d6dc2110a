"""Small models captured and planned, and a table of kernels that fuses the same on every CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.graph import Op, capture, interpret
from explorer.kernels import KERNELS, Kernel, Packed, Site, StaticScale, choose
from explorer.latency import LatencyTable
from explorer.measure import find_device
from explorer.recipe import Recipe
from explorer.run import Plan, Planner, choosing, keys_of


class Planned:
    """A model on some inputs, and plans of it: ``plan(linear="int8", relu="bf16")`` by kind or by op id."""

    def __init__(self, model: nn.Module, *inputs: Tensor) -> None:
        self.inputs = inputs
        with torch.random.fork_rng():
            self.graph = capture(model.eval(), tuple(x[:2] for x in inputs))
        self.shapes = {n: tuple(x.shape) for n, x in zip(self.graph.inputs, inputs, strict=True)}

        def note(op: Op, output: Any) -> None:
            first = output[0] if isinstance(output, (tuple, list)) else output
            if isinstance(first, Tensor):
                self.shapes[op.name] = tuple(first.shape)

        interpret(self.graph, inputs, note)
        self.planner = Planner(self.graph, find_device("cpu"), self.shapes, self._scales)
        self.base = Recipe.baseline("model", self.graph.fingerprint, [op.id for op in self.graph.rows])

    def _scales(self) -> Mapping[str, StaticScale]:
        return dict.fromkeys(self.planner.static_values, StaticScale(0.05, 128))

    def recipe(self, choices: Mapping[str, str]) -> Recipe:
        recipe = self.base
        for where, precision in choices.items():
            ops = [op.id for op in self.graph.rows if where in ("every", op.kind, op.id)]
            able = [op for op in ops if self.planner.option(op, precision).possible]
            assert able, f"{where} cannot run in {precision}"
            recipe = recipe.with_precision(able, precision, "test")
        return recipe

    def plan(self, choices: Mapping[str, str] | None = None, **more: str) -> Plan:
        return self.planner.plan(self.recipe({**(choices or {}), **more}))


def not_built(site: Site) -> Packed:
    raise AssertionError("boundaries run nothing")


PLAIN = tuple(
    Kernel(
        f"plain {precision}", precision, "cpu", frozenset({"linear", "conv2d"}), takes, "fp32", not_built,
        lambda site, device: "" if site.product else "no weight", fuses=fuses,
    )
    for precision, takes, fuses in (
        ("int8", "int8:token", frozenset({"addend"})),
        ("int8_static", "uint8:static", frozenset({"addend", "relu", "codes"})),
    )
)  # fmt: skip
"""INT8 products as the planner sees them, whatever this CPU can do."""


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    others = tuple(k for k in KERNELS if k.precision not in ("int8", "int8_static") or k.kinds <= {"add", "max_pool2d"})
    monkeypatch.setattr(choosing, "choose", partial(choose, table=(*PLAIN, *others)))
    monkeypatch.setattr(choosing, "CODE_WRITERS", {})


@pytest.fixture(scope="session")
def make() -> type[Planned]:
    """A test's own model, planned: ``make(model, *inputs)``."""
    return Planned


@pytest.fixture
def timed() -> Callable[..., LatencyTable]:
    """A table in which every call of the plans given takes as many microseconds as ``of(id, key)`` says."""

    def fill(*plans: Plan, of: Callable[[str], float]) -> LatencyTable:
        table = LatencyTable()
        for plan in plans:
            table.add(plan, {name: of(name) for name in keys_of(plan)})
        return table

    return fill


class Mixer(nn.Module):
    """[n, 6, 8] -> [n, 6, 8]: two blocks of norm, attention-like product, MLP with GELU, residuals, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MixerBlock() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class MixerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qk, self.fc1, self.fc2, self.gate = (nn.Linear(8, n) for n in (16, 24, 8, 8))
        self.fc2 = nn.Linear(24, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.qk(self.norm(x)).reshape(-1, 6, 2, 8).permute(2, 0, 1, 3).unbind(0)
        x = x + torch.softmax(q @ k.transpose(1, 2), -1) @ x
        x = x + self.fc2(nn.functional.gelu(self.fc1(x)))
        return x * torch.sigmoid(self.gate(x))


class Tower(nn.Module):
    """[n, 3, 8, 6] -> [n, 5]: convolutions with a residual, a pool and a view."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(8 * 12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.stem(x)))
        x = torch.relu(x + self.conv(x))
        return self.fc(x.flatten(1))


MODELS: Mapping[str, Callable[[], Planned]] = {
    "mixer": lambda: Planned(Mixer(), torch.randn(3, 6, 8)),
    "tower": lambda: Planned(Tower(), torch.randn(3, 3, 8, 6)),
}


@pytest.fixture(scope="session")
def models() -> Callable[[str], Planned]:
    """The models above by name, captured once: ``models("mixer")``."""
    made: dict[str, Planned] = {}

    def find(name: str) -> Planned:
        if name not in made:
            with torch.random.fork_rng():
                torch.manual_seed(7)
                made[name] = MODELS[name]()
        return made[name]

    return find


RECIPES: tuple[Mapping[str, str], ...] = (
    {},
    {"every": "bf16"},
    {"linear": "bf16"},
    {"linear": "int8"},
    {"linear": "int8_static"},
    {"linear": "w8", "gelu": "bf16"},
    {"linear": "int8", "gelu": "bf16", "softmax": "fp16"},
    {"conv2d": "int8_static", "add": "int8_static", "max_pool2d": "int8_static"},
    {"conv2d": "bf16", "relu": "fp16"},
)
MIXES = [
    (name, recipe)
    for name, kinds in (
        ("mixer", {"linear", "gelu", "softmax", "every"}),
        ("tower", {"conv2d", "add", "relu", "every"}),
    )
    for recipe in RECIPES
    if set(recipe) <= kinds | {"max_pool2d"}
]
"""Models and recipes over which what must always hold is checked."""


@pytest.fixture(params=MIXES, ids=str)
def mix(request: pytest.FixtureRequest, models: Callable[[str], Planned]) -> tuple[Planned, Plan]:
    name, recipe = request.param
    return models(name), models(name).plan(recipe)
