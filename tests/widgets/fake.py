"""A small session that keeps the engine's contract without computing anything: a vision transformer of two blocks."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pandas as pd

import explorer as px
from explorer.errors import PrecisionError, RecipeError
from explorer.recipe import History
from explorer.tables import OpStates
from tests.widgets.fake_analyses import FakeAnalyses
from tests.widgets.fake_searches import FakeSearches

PRECISIONS = ("fp32", "bf16", "fp16", "fp8", "int8", "int8_static", "w8", "w4")
COMPUTE = {"linear", "conv2d"}
SPEED = {"fp32": 1.0, "bf16": 0.62, "fp16": 1.4, "fp8": 2.2, "int8": 0.31, "int8_static": 0.26, "w8": 0.8, "w4": 1.9}
KERNELS = 1.25
"""How much faster the kernels are in FP32 than eager's."""
DIFFERENCE = {"bf16": 1e-6, "fp16": 2e-7, "fp8": 6e-4, "int8": 6e-5, "int8_static": 9e-5, "w8": 9e-6, "w4": 4e-3}


@dataclass(frozen=True)
class Option:
    precision: str
    possible: bool
    emulated: bool
    kernel: str
    reason: str


@dataclass(frozen=True)
class FakeRecipe:
    choices: tuple[tuple[str, str], ...]
    why: tuple[tuple[str, str], ...] = ()
    calibration: None = None

    @property
    def precisions(self) -> dict[str, str]:
        return dict(self.choices)

    def __getitem__(self, op: str) -> str:
        return dict(self.choices)[op]

    def reason(self, op: str) -> str:
        return dict(self.why).get(op, "default")

    @property
    def hash(self) -> str:
        return f"{abs(hash(self.choices)):016x}"[:16]

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(precision for _, precision in self.choices).most_common())

    def to_json(self) -> str:
        return json.dumps(dict(self.choices))

    def with_precision(self, ops: list[str], precision: str, reason: str) -> FakeRecipe:
        return self.put(ops, precision, reason)

    def put(self, ops: list[str], precision: str, reason: str) -> FakeRecipe:
        return FakeRecipe(
            tuple((op, precision if op in ops else old) for op, old in self.choices),
            tuple({**dict(self.why), **dict.fromkeys(ops, reason)}.items()),
        )


@dataclass(frozen=True)
class FakeQuality:
    score: float
    baseline: float
    difference: float
    interval: tuple[float, float]
    kl: float
    agreement: float
    sqnr_db: float
    n: int
    total: int
    emulated: bool
    squared_error: float | None = None

    @property
    def cost(self) -> float:
        return self.kl if self.squared_error is None else self.squared_error

    @property
    def cost_interval(self) -> tuple[float, float]:
        return 0.8 * self.cost, 1.25 * self.cost


@dataclass(frozen=True)
class FakeRatio:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class FakeLatency:
    baseline_ms: float
    candidate_ms: float
    speedup: float
    interval: tuple[float, float]
    n: int
    predicted_ms: float | None
    conditions: str
    table: pd.DataFrame
    emulated: bool
    engine: str = "eager"
    eager_ms: float | None = None
    fp32_ms: float | None = None
    over_eager: FakeRatio | None = None
    over_fp32: FakeRatio | None = None
    kernel_gain: float | None = None
    precision_gain: float | None = None
    percentiles: dict[str, float] = field(default_factory=dict)
    throughput: float | None = None
    drift: FakeRatio | None = None
    steady: bool = True
    rest_us: float | None = None
    energy_mj: float | None = None
    peak_bytes: int | None = None


def vit_ops(blocks: int) -> list[dict[str, Any]]:
    """Rows of the op table, in execution order."""
    rows = [
        _row("patch_embed.proj", "conv2d", "32x1x32x32", "32x192x8x8", 3264),
        _row("", "add", "32x64x192", "32x64x192"),
    ]
    for block in range(blocks):
        name = f"blocks.{block}"
        rows += [
            *(
                _row(f"{name}.norm1", kind, "32x64x192", "32x64x192", fold=f"{name}.norm1/LayerNorm")
                for kind in ("mean", "sub", "rsqrt", "mul")
            ),
            _row(f"{name}.attn.qkv", "linear", "32x64x192, 576x192, 576", "32x64x576", 111168),
            _row(f"{name}.attn", "attention", "32x6x64x32", "32x6x64x32"),
            _row(f"{name}.attn.proj", "linear", "32x64x192, 192x192, 192", "32x64x192", 37056),
            _row(name, "add", "32x64x192", "32x64x192"),
            _row(f"{name}.norm2", "layer_norm", "32x64x192", "32x64x192", 384),
            _row(f"{name}.mlp.fc1", "linear", "32x64x192, 768x192, 768", "32x64x768", 148224),
            _row(f"{name}.mlp.act", "gelu", "32x64x768", "32x64x768"),
            _row(f"{name}.mlp.fc2", "linear", "32x64x768, 192x768, 192", "32x64x192", 147648),
            {**_row(name, "add", "32x64x192", "32x64x192"), "id": f"{name}/add_1"},
        ]
    return [
        *rows,
        _row("norm", "layer_norm", "32x64x192", "32x64x192", 384),
        _row("head", "linear", "32x192, 10x192, 10", "32x10", 1930),
    ]


def _row(layer: str, kind: str, inputs: str, output: str, params: int = 0, fold: str = "") -> dict[str, Any]:
    return {
        "id": f"{layer}/{kind}",
        "layer": layer,
        "kind": kind,
        "role": "compute"
        if kind in COMPUTE
        else "elementwise"
        if kind in ("add", "gelu", "mul", "sub")
        else "sensitive",
        "fold": fold,
        "input_shapes": inputs.split(",")[0].replace("x", "\u00d7"),
        "output_shape": output.replace("x", "\u00d7"),
        "params": params,
        "flops": 2 * params,
        "bytes": 4 * params,
        "note": "",
        "source": "vit.py:40",
    }


class FakeSession(FakeAnalyses, FakeSearches):
    """Keeps the contract; ``gate`` holds every long call until it is set."""

    name, title, task, batch_size, samples, samples_label = (
        "digits-vit",
        "Digits ViT",
        "classification",
        32,
        397,
        "397 test images",
    )
    score_name, score_unit, precisions = "Accuracy", "%", PRECISIONS

    def __init__(self, blocks: int = 2, pace: float = 0.0) -> None:
        self.device = SimpleNamespace(label="CPU \u00b7 AVX512-VNNI \u00b7 2 threads")
        self.rows = vit_ops(blocks)
        self.ids = [row["id"] for row in self.rows]
        self.tree = History.of(FakeRecipe(tuple((op, "fp32") for op in self.ids)))  # type: ignore[arg-type]
        self.store: dict[str, list[Any]] = {}
        self.tried: dict[str, FakeRecipe] = {}
        self.pace = pace
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[str] = []
        self.measured_cells: dict[tuple[str, str], tuple[float, int]] = {}
        self.fail: Exception | None = None
        self.waiting = False
        self.steady = True

    def options(self, op: str) -> dict[str, Option]:
        kind = self.rows[self.ids.index(op)]["kind"]
        return {precision: self._option(kind, precision) for precision in PRECISIONS}

    def _option(self, kind: str, precision: str) -> Option:
        if precision in ("fp8", "int8", "int8_static", "w8", "w4") and kind not in COMPUTE:
            return Option(
                precision, False, False, "", f"{kind} has no weights; {precision} is for linear and conv layers"
            )
        emulated = precision in ("fp16", "fp8", "w4")
        reason = f"this CPU has no {precision} arithmetic" if emulated else ""
        return Option(
            precision, True, emulated, "reference (emulated)" if emulated else f"onednn_{precision}_{kind}", reason
        )

    @property
    def ops(self) -> pd.DataFrame:
        frame = pd.DataFrame(self.rows).set_index("id")
        chosen = [self.options(op)[self.recipe[op]] for op in self.ids]
        return frame.assign(
            precision=[option.precision for option in chosen],
            reason=[self.recipe.reason(op) for op in self.ids],
            kernel=[option.kernel for option in chosen],
            emulated=[option.emulated for option in chosen],
            refusal=[option.reason for option in chosen],
        )

    @property
    def op_states(self) -> OpStates:
        formats = self.formats_out
        return OpStates.of_table(self.ops, [formats[op] for op in self.ids])

    @property
    def cast_rows(self) -> list[tuple[Any, ...]]:
        return list(self.casts().itertuples(index=False, name=None))

    @property
    def links(self) -> list[tuple[str, str]]:
        links = list(zip(self.ids, self.ids[1:], strict=False))
        stream = "/add"
        for op in self.ids:
            if op.startswith("blocks") and "/add" in op:
                links.append((stream, op))
                stream = op
        return links

    @property
    def formats_out(self) -> dict[str, str]:
        out = {"bf16": "bf16", "fp16": "fp16"}
        return {op: out.get(self.recipe[op], "fp32") for op in self.ids}

    def casts(self) -> pd.DataFrame:
        return self.casts_of(self.recipe)

    def casts_of(self, recipe: FakeRecipe) -> pd.DataFrame:
        rows = []
        for a, b in self.links:
            flows = {"bf16": "bf16", "fp16": "fp16"}.get(recipe[a], "fp32")
            wanted = {"bf16": "bf16", "fp16": "fp16", "int8": "int8", "int8_static": "uint8", "fp8": "fp8_e4m3"}.get(
                recipe[b], "fp32"
            )
            if flows != wanted:
                timed = 11.0 if len(self.store.get(recipe.hash, [])) > 1 else math.nan
                rows.append(
                    (a, (b,), flows, wanted, "down" if wanted != "fp32" else "up", 393216, 1572864, timed, False, "")
                )
        columns = [
            "source",
            "consumers",
            "from",
            "to",
            "direction",
            "elements",
            "bytes",
            "time_us",
            "emulated",
            "inside",
        ]
        return pd.DataFrame(rows, columns=columns)

    def memory(self, recipe: FakeRecipe | None = None) -> pd.DataFrame:
        small = {"int8": 0.25, "int8_static": 0.25, "w8": 0.25, "w4": 0.125, "fp8": 0.25, "bf16": 0.5, "fp16": 0.5}
        full = sum(row["bytes"] for row in self.rows)
        now = sum(row["bytes"] * small.get((recipe or self.recipe)[row["id"]], 1) for row in self.rows)
        data = {
            "fp32_bytes": [full, 0, 16.8e6],
            "bytes": [now, 0 if now == full else 21e3, 16.8e6],
            "kind": ["measured", "measured", "predicted"],
        }
        return pd.DataFrame(data, index=["weights", "scales", "activations"])

    def presets(self) -> dict[str, FakeRecipe]:
        base = FakeRecipe(tuple((op, "fp32") for op in self.ids))
        linears = [row["id"] for row in self.rows if row["kind"] in COMPUTE]
        others = [op for op in self.ids if op not in linears]
        mixed = base.put(linears[1:-1], "int8", "preset int8-dynamic").put(others, "bf16", "preset int8-dynamic")
        return {
            "fp32": base,
            "autocast-bf16": base.put(self.ids, "bf16", "preset"),
            "int8-dynamic": mixed,
            "w4": base.put(linears, "w4", "preset"),
        }

    def _move(self, recipe: FakeRecipe, words: str) -> FakeRecipe:
        self.tree = self.tree.push(recipe, words)  # type: ignore[arg-type]  # a tree takes what it can compare
        return recipe

    recipe = property(lambda self: self.tree.current)
    node = property(lambda self: self.tree.node)
    history = property(lambda self: self.tree.nodes)
    can_undo = property(lambda self: self.tree.can_undo)
    can_redo = property(lambda self: self.tree.can_redo)

    def undo(self) -> None:
        self.tree = self.tree.undo()

    def redo(self) -> None:
        self.tree = self.tree.redo()

    def go_to(self, node: int) -> None:
        self.tree = self.tree.go_to(node)

    def set(self, where: Any, precision: str, reason: str = "user") -> FakeRecipe:
        ops = [where] if isinstance(where, str) else list(where)
        for op in ops:
            if not self.options(op)[precision].possible:
                raise PrecisionError(
                    f"set {op} to {precision}", self.options(op)[precision].reason, "another precision"
                )
        return self._move(self.recipe.put(ops, precision, reason), f"{len(ops)} ops to {precision}")

    def apply(self, recipe: Any, words: str = "") -> FakeRecipe:
        if not isinstance(recipe, FakeRecipe):
            raise RecipeError("apply a recipe", "it belongs to another model", "a recipe of digits-vit")
        return self._move(recipe, words or "another recipe")

    def reset(self) -> FakeRecipe:
        return self._move(self.presets()["fp32"], "back to fp32")

    def known(self, recipe: FakeRecipe | None = None) -> SimpleNamespace:
        quality, latency = [*self.store.get((recipe or self.recipe).hash, []), None, None][:2]
        return SimpleNamespace(quality=quality, latency=latency)

    def comparable_trials(self) -> tuple[SimpleNamespace, ...]:
        """What this session measured, each with its recipe."""
        known = [(self.known(recipe), recipe) for recipe in self.tried.values()]
        return tuple(
            SimpleNamespace(hash=recipe.hash, recipe=recipe, quality=found.quality, latency=found.latency)
            for found, recipe in known
        )

    def predicted_latency_ms(self, recipe: FakeRecipe | None = None) -> float | None:
        return None if not self.store else float(self._table(recipe or self.recipe)["time_us"].sum()) / 1e3

    def _wait(self, cancel: threading.Event | None) -> None:
        time.sleep(self.pace)
        self.waiting = not self.gate.is_set()
        while not self.gate.is_set() and not (cancel and cancel.is_set()):
            self.gate.wait(0.005)
        if cancel and cancel.is_set():
            raise px.Cancelled("measure")
        if self.fail:
            raise self.fail

    def quality_of(self, recipe: FakeRecipe, cost: float) -> FakeQuality:
        """The quality of a recipe that costs so much, on all samples."""
        emulated = any(self.options(op)[precision].emulated for op, precision in recipe.choices)
        worse, n = -min(0.4, cost * 8), self.samples
        interval = (worse - 0.004, worse + 0.004)
        return FakeQuality(0.982 + worse, 0.982, worse, interval, cost, 1 + worse, 40.0, n, n, emulated)

    def evaluate(
        self, recipe: FakeRecipe, n: int | None = None, *, progress: Any = None, cancel: Any = None, partial: Any = None
    ) -> FakeQuality:
        self.calls.append("evaluate")
        cost = sum(DIFFERENCE.get(precision, 0.0) for _, precision in recipe.choices)
        full = self.quality_of(recipe, cost)
        worse = full.difference
        for n_now in (64, 160, 288):
            self._wait(cancel)
            if partial:
                partial(replace(full, n=n_now, interval=(worse - 0.02, worse + 0.02)))
            if progress:
                progress(n_now, self.samples, f"{n_now} of {self.samples}")
        self.store[recipe.hash], self.tried[recipe.hash] = [full], recipe
        return full

    def latency(
        self,
        recipe: FakeRecipe,
        against: str = "eager",
        seconds: float = 2.0,
        *,
        within: float = 0.01,
        progress: Any = None,
        cancel: Any = None,
    ) -> FakeLatency:
        self.calls.append("latency")
        for step in range(4):
            self._wait(cancel)
            if progress:
                progress(step, 4, "A/B against eager FP32")
        table = self._table(recipe)
        now, before = float(table["time_us"].sum()) / 1e3 * 1.04, float(table["baseline_us"].sum()) / 1e3
        best = before / KERNELS * 1.04

        def over(baseline: float) -> FakeRatio:
            return FakeRatio(baseline / now, baseline / now * 0.97, baseline / now * 1.03)

        found = FakeLatency(
            before,
            now,
            before / now,
            (before / now * 0.97, before / now * 1.03),
            120,
            now / 1.04,
            "2 threads, batch 32",
            table,
            bool(table["emulated"].any()),
            eager_ms=before,
            fp32_ms=best,
            over_eager=over(before),
            over_fp32=over(best),
            kernel_gain=before / best,
            precision_gain=best / now,
            percentiles={"p50": now, "p90": now * 1.1},
            throughput=self.batch_size / now * 1e3,
            drift=FakeRatio(1.01, 0.99, 1.03) if self.steady else FakeRatio(1.07, 1.05, 1.09),
            steady=self.steady,
            rest_us=now * 1e3 - float(table["time_us"].sum()),
        )
        self.store[recipe.hash] = [*self.store.get(recipe.hash, [None])[:1], found]
        return found

    def _table(self, recipe: FakeRecipe) -> pd.DataFrame:
        """A GELU in FP32 after an INT8 product is done inside it; every op could be a third faster at most."""
        rows: list[tuple[Any, ...]] = []
        hosts = {op: before for before, op in zip(self.ids, self.ids[1:], strict=False)}
        for row in self.rows:
            op, precision = row["id"], recipe[row["id"]]
            base = 60 + row["params"] / 120 + (200 if "attention" in row["kind"] else 0)
            host = hosts[op] if row["kind"] == "gelu" and recipe[op] == "fp32" and recipe[hosts[op]] == "int8" else ""
            emulated = self.options(op)[precision].emulated
            time_us = math.nan if host else base * SPEED[precision] / KERNELS
            limit = math.nan if host or emulated else 2 / 3
            kernel = self.options(op)[precision].kernel
            rows.append((op, row["kind"], kernel, time_us, base, emulated, host, time_us * limit, limit))
        for cast in self.casts_of(recipe).itertuples():
            name = f"cast {cast[1]} to {cast[4]}"
            rows.append((name, f"cast {cast[3]} \u2192 {cast[4]}", "cast", 11.0, math.nan, False, "", 9.0, 9 / 11))
        columns = "id what kernel time_us baseline_us emulated inside floor_us of_limit"
        return pd.DataFrame(rows, columns=columns.split())
