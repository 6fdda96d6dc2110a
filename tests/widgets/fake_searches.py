"""What the fake session predicts: a map, prices of recipes, and the frontier of a search."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd

import explorer as px

if TYPE_CHECKING:
    from tests.widgets.fake import FakeRecipe

COST = {"bf16": 1e-6, "fp16": 2e-7, "fp8": 6e-4, "int8": 6e-5, "int8_static": 9e-5, "w8": 9e-6, "w4": 4e-3}
BREAKS = ("blocks.1.mlp.fc2/linear", "fp16")
"""The cell whose output becomes NaN."""
PROBES = 4
PARTS = 3
"""Into how many equal steps the fake cuts its work."""


@dataclass(frozen=True)
class FakePrice:
    cost: float
    low: float
    high: float
    additive: float
    interaction: float
    error: float
    trials: int
    valid: bool
    words: str


@dataclass(frozen=True, eq=False)
class FakeMap:
    """Costs by op and precision; the first samples say the same, less surely."""

    costs: pd.DataFrame
    samples: int
    total: int
    unit: str = "nats"
    positions: int = 1
    probes: int = PROBES

    @property
    def products(self) -> dict[tuple[str, str], None]:
        known = self.costs.drop(columns="fp32", errors="ignore").stack().dropna().index
        breaks = BREAKS[0] in self.costs.index and BREAKS[1] in self.costs.columns
        return dict.fromkeys([*known, *([BREAKS] if breaks else [])])

    def table(self) -> pd.DataFrame:
        return self.costs

    def errors(self) -> pd.DataFrame:
        return self.costs / math.sqrt(self.samples)


@dataclass(frozen=True, eq=False)
class FakeProposal:
    recipe: Any
    price: FakePrice
    latency_ms: float
    memory_bytes: float
    bits: float
    kind: str = "search"
    quality: Any = None
    latency: Any = None

    def amount(self, objective: str) -> float:
        return {"latency": self.latency_ms, "memory": self.memory_bytes, "bits": self.bits}[objective]


@dataclass(frozen=True, eq=False)
class FakeFrontier:
    """Proposals from the fastest to FP32; ``at`` gives the best one that keeps to a budget."""

    objective: str
    unit: str
    proposals: tuple[FakeProposal, ...]
    session: Any = None
    baselines: tuple[FakeProposal, ...] = field(default=())

    @property
    def limits(self) -> tuple[float, float]:
        spent = [proposal.amount(self.objective) for proposal in self.proposals]
        return min(spent), max(spent)

    def at(self, budget: float) -> FakeProposal:
        self.session.calls.append("at")
        fits = [proposal for proposal in self.proposals if proposal.amount(self.objective) <= budget * (1 + 1e-9)]
        if not fits:
            raise px.ExplorerError(f"keep to {budget:.3g}", "no recipe does", "a larger budget")
        return min(fits, key=lambda proposal: proposal.price.cost)

    def verify(
        self, k: int | None = None, *, progress: Any = None, cancel: Any = None, partial: Any = None
    ) -> FakeFrontier:
        self.session.calls.append("verify")
        found = self
        for at, proposal in enumerate(self.proposals):
            self.session._wait(cancel)
            measured = replace(
                proposal,
                quality=self.session.quality_of(proposal.recipe, proposal.price.cost * 1.1),
                latency=SimpleNamespace(
                    candidate_ms=proposal.latency_ms * 1.03, speedup=2.0, interval=(1.9, 2.1), emulated=False
                ),
            )
            found = replace(found, proposals=(*found.proposals[:at], measured, *found.proposals[at + 1 :]))
            if progress:
                progress(at + 1, len(self.proposals), f"{at + 1} of {len(self.proposals)}")
            if partial:
                partial(found)
        return found


class FakeSearches:
    """Mixed into the fake session; each long call waits at its gate and may be told to fail."""

    ids: list[str]
    recipe: Any
    samples: int
    calls: list[str]
    precisions: tuple[str, ...]
    measured_cells: dict[tuple[str, str], tuple[float, int]]
    no_search: Exception | None = None
    no_map: Exception | None = None

    def _wait(self, cancel: Any) -> None:
        raise NotImplementedError

    def options(self, op: str) -> Any:
        raise NotImplementedError

    def predicted_map(
        self,
        precisions: Any = None,
        probes: int = PROBES,
        n: int | None = None,
        *,
        progress: Any = None,
        cancel: Any = None,
        partial: Any = None,
    ) -> FakeMap:
        self.calls.append("map")
        if self.no_map:
            raise self.no_map
        samples = min(n or self.samples, self.samples)
        costs = self._costs()[list(precisions or self.precisions)]
        for part in range(1, PARTS + 1):
            self._wait(cancel)
            if progress:
                progress(part, PARTS, "")
            if partial and part < PARTS:
                partial(FakeMap(costs, samples * part // PARTS, self.samples))
        self.mapped = True
        return FakeMap(costs, samples, self.samples)

    mapped = False
    _cost_table: pd.DataFrame | None = None

    def _costs(self) -> pd.DataFrame:
        if self._cost_table is None:
            rows = {op: [self._cost(op, name) for name in self.precisions] for op in self.ids}
            self._cost_table = pd.DataFrame.from_dict(rows, orient="index", columns=list(self.precisions))
        return self._cost_table

    def _cost(self, op: str, precision: str) -> float:
        if not self.options(op)[precision].possible or (op, precision) == BREAKS:
            return math.nan
        return COST.get(precision, 0.0) * (0.2 + (zlib.crc32(op.encode()) % 97) / 20)

    def price(self, recipe: FakeRecipe | None = None) -> FakePrice:
        """The sum of the cells, doubted by a third; beyond 0.01 nats nothing is promised."""
        assert self.mapped or "map" in self.calls
        chosen = recipe or self.recipe
        cost = math.fsum(self._cost(op, precision) for op, precision in chosen.choices)
        valid = cost <= 0.01
        words = "" if valid else "Errors are no longer small here: the prediction may be off by more than its band."
        return FakePrice(cost, 0.75 * cost, 1.33 * cost, cost, 0.0, 0.05 * cost, 5, valid, words)

    def search(
        self,
        objective: str = "latency",
        budget: float | None = None,
        max_cost: float | None = None,
        precisions: Any = None,
        constraints: Any = None,
        *,
        progress: Any = None,
        cancel: Any = None,
    ) -> FakeFrontier:
        self.calls.append(f"search {objective}")
        if self.no_search:
            raise self.no_search
        for part in range(PARTS):
            self._wait(cancel)
            if progress:
                progress(part, PARTS, "timing ops")
        held = dict(constraints.locked) if constraints else {}
        names = [name for name in ("bf16", "int8", "w8") if name in (precisions or self.precisions)]
        recipes = [self._lowered(share, names, held) for share in range(6)]
        proposals = tuple(self._proposal(recipe) for recipe in recipes)
        return FakeFrontier(objective, {"latency": "ms", "memory": "bytes", "bits": "bits"}[objective], proposals, self)

    def _lowered(self, share: int, names: list[str], held: dict[str, str]) -> Any:
        """The base recipe with ``share`` fifths of its ops in the last of ``names`` that each can take."""
        recipe: Any = self.presets()["fp32"]  # type: ignore[attr-defined]
        for at, op in enumerate(self.ids):
            fits = [name for name in names if self.options(op)[name].possible]
            if op in held:
                recipe = recipe.put([op], held[op], "locked")
            elif fits and at % 5 < share:
                recipe = recipe.put([op], "int8" if "int8" in fits else fits[-1], "search")
        return recipe

    def _proposal(self, recipe: Any) -> FakeProposal:
        self.mapped = True
        lowered = sum(name != "fp32" for _, name in recipe.choices) / len(self.ids)
        return FakeProposal(recipe, self.price(recipe), 90.0 - 55 * lowered, 10e6 - 7e6 * lowered, 32 - 22 * lowered)
