"""Other precisions for a few ops: what the planner makes of them, and what casts and time they would leave."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from explorer.kernels import StaticScale
from explorer.latency import LatencyTable
from explorer.recipe import Recipe
from explorer.run import Cast, Plan, Planner, inside_of

Toggles = tuple[tuple[str, str], ...]
"""Op ids and the precision that each would get, in execution order."""
REASON = "fewer casts"
STATIC = "int8_static"
"""The precision whose products write codes themselves, so that no cast is left between them."""


@dataclass(frozen=True)
class Standing:
    """The casts of a plan that are calls of their own, by id; their bytes; the predicted time of the whole plan in
    milliseconds, NaN where a call of it was never timed."""

    casts: Mapping[str, Cast]
    bytes: int
    ms: float = math.nan


@dataclass(frozen=True)
class Alternative:
    """A plan with other precisions for some ops, next to the plan as it is."""

    toggles: Toggles
    before: Standing
    after: Standing

    @property
    def removed(self) -> tuple[str, ...]:
        """Ids of the casts that are gone."""
        return tuple(name for name in self.before.casts if name not in self.after.casts)

    @property
    def added(self) -> tuple[str, ...]:
        """Ids of the casts that are new."""
        return tuple(name for name in self.after.casts if name not in self.before.casts)

    @property
    def pattern(self) -> frozenset[tuple[str, str]]:
        """Which ops of which precision, the numbers of their layers left open."""
        return frozenset((pattern_of(op), precision) for op, precision in self.toggles)

    @property
    def bytes_saved(self) -> int:
        return self.before.bytes - self.after.bytes

    @property
    def saved_us(self) -> float:
        """Microseconds that the whole plan would be shorter, as predicted from measured calls; NaN where unknown."""
        return (self.before.ms - self.after.ms) * 1e3

    @property
    def lowers(self) -> bool:
        """Whether there are fewer casts of no more bytes, or as many of fewer."""
        fewer = len(self.before.casts) - len(self.after.casts)
        return fewer >= 0 and self.bytes_saved >= 0 and (fewer, self.bytes_saved) != (0, 0)

    def is_wasteful(self, other: Alternative) -> bool:
        """Whether ``other`` spares as much with some of these toggles alone."""
        fewer = set(other.toggles) < set(self.toggles)
        return fewer and set(self.removed) <= set(other.removed) and self.bytes_saved <= other.bytes_saved


class Alternatives:
    """Plans recipes that differ from a plan's in a few ops, each once. Nothing runs and nothing is calibrated.

    Only toggles that the planner accepts count, and none that would emulate an op which now runs on a real kernel.
    """

    def __init__(self, plan: Plan, times: LatencyTable) -> None:
        # A scale changes what codes mean, not where they flow: any will do to plan with.
        scales = defaultdict[str, StaticScale](lambda: StaticScale(1.0, 0))
        self._planner = Planner(plan.graph, plan.device, plan.shapes, lambda: scales)
        self._plan, self._times = plan, times
        self._before = self._price(_stand(plan), plan)
        self._known: dict[Toggles, Alternative | None] = {}
        self._order = {op.id: position for position, op in enumerate(plan.graph.rows)}

    def toggle(self, ops: Iterable[str], precision: str) -> Toggles:
        """Return the toggles of those of ``ops`` that have another precision and can run in this one."""
        recipe = self._plan.recipe
        able = (op for op in ops if op in self._order and recipe[op] != precision and self._can(op, precision))
        return tuple((op, precision) for op in sorted(dict.fromkeys(able), key=self._order.__getitem__))

    def plan(self, toggles: Toggles) -> Alternative | None:
        """Return what toggles come to; None where there is nothing to toggle, or no cast and no byte is saved."""
        if not toggles:
            return None
        if toggles not in self._known:
            plan = self._planner.plan(self._recipe(toggles))
            found = Alternative(toggles, self._before, _stand(plan))
            self._known[toggles] = replace(found, after=self._price(found.after, plan)) if found.lowers else None
        return self._known[toggles]

    def _can(self, op: str, precision: str) -> bool:
        option = self._planner.option(op, precision)
        return option.possible and (not option.emulated or self._plan.step_of[op].emulated)

    def _recipe(self, toggles: Toggles) -> Recipe:
        recipe = self._plan.recipe
        for precision in {name for _, name in toggles}:
            recipe = recipe.with_precision([op for op, name in toggles if name == precision], precision, REASON)
        return recipe

    def _price(self, standing: Standing, plan: Plan) -> Standing:
        ms = self._times.predict_ms(plan)
        return standing if ms is None else replace(standing, ms=ms)


def _stand(plan: Plan) -> Standing:
    inside = inside_of(plan)
    casts = {cast.id: cast for cast in plan.casts if cast.id not in inside}
    return Standing(casts, sum(cast.bytes for cast in casts.values()))


def pattern_of(op: str) -> str:
    """Return an op's id with the numbers of its layers as ``*``: equal for like ops of like layers."""
    return re.sub(r"(?<![^./])\d+(?=[./])", "*", op)


def describe(toggles: Toggles) -> str:
    """Return toggles in words, like ops of like layers together: ``blocks.*.act/gelu (6 ops) → bf16``.

    Several ops of one layer, such as the pieces of a GELU, are named after it: ``blocks.*.act/{mul, tanh} (12 ops)``.
    """
    words = []
    for precision in dict.fromkeys(precision for _, precision in toggles):
        alike: dict[str, dict[str, int]] = {}
        for op in (pattern_of(op) for op, chosen in toggles if chosen == precision):
            layer, slash, leaf = op.rpartition("/")
            leaves = alike.setdefault(layer + slash, {})
            leaves[leaf] = leaves.get(leaf, 0) + 1
        named = (_name(layer, leaves) for layer, leaves in alike.items())
        words.append(f"{', '.join(named)} → {precision}")
    return "; ".join(words)


def _name(layer: str, leaves: Mapping[str, int]) -> str:
    """Ops of like layers in words; those without a layer one by one."""
    if not layer:
        return ", ".join(leaves)
    count, names = sum(leaves.values()), ", ".join(leaves)
    return layer + (names if len(leaves) == 1 else f"{{{names}}}") + (f" ({count} ops)" if count > 1 else "")
