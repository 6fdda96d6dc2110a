"""A proposal: a recipe with what it is predicted to cost and to use, and what was measured of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from explorer.latency import Latency
from explorer.measure import Quality
from explorer.predict.price import Price
from explorer.recipe import Recipe
from explorer.search.goal import Objective

Kind = Literal["search", "greedy", "random", "uniform"]
COLUMNS = [
    "kind",
    "words",
    "latency_ms",
    "memory_bytes",
    "bits",
    "cost",
    "low",
    "high",
    "measured_cost",
    "score",
    "n",
    "measured_ms",
    "speedup",
    "emulated",
    "hash",
]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A recipe with its predicted price and amounts, and what was measured of it (None until it was).

    latency_ms: predicted, the sum over its calls held against whole runs; NaN where calls were never timed, or are
    emulated. words: its short
    name.
    """

    recipe: Recipe
    price: Price
    latency_ms: float
    memory_bytes: int
    bits: float
    kind: Kind
    words: str
    emulated: bool = False
    quality: Quality | None = None
    latency: Latency | None = None

    def amount(self, objective: Objective) -> float:
        """How much of what is scarce it uses, predicted."""
        return {"latency": self.latency_ms, "memory": float(self.memory_bytes), "bits": self.bits}[objective]

    @property
    def measured_cost(self) -> float:
        """In the unit of its price, NaN until it is measured and where outputs are broken."""
        return math.nan if self.quality is None else self.quality.cost


def row_of(proposal: Proposal) -> tuple[object, ...]:
    """Return what a table says of a proposal, in the order of :data:`COLUMNS`."""
    price, quality, latency = proposal.price, proposal.quality, proposal.latency
    return (
        proposal.kind,
        proposal.words,
        proposal.latency_ms,
        proposal.memory_bytes,
        proposal.bits,
        price.cost,
        price.low,
        price.high,
        proposal.measured_cost,
        math.nan if quality is None else quality.score,
        0 if quality is None else quality.n,
        math.nan if latency is None else latency.candidate_ms,
        math.nan if latency is None else latency.speedup,
        proposal.emulated,
        proposal.recipe.hash,
    )
