"""Dealing a sweep's changes out: in which order, how many in one wave, and what makes one task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from statistics import fmean
from typing import Any

from explorer.run import Detour, Executor, Plan, Stacking, find_stacking
from explorer.run.memory import peak_activations
from explorer.run.waves import group
from explorer.sweep.bench import Bench, Task
from explorer.sweep.record import Change

ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 23}
"""Elements of a usual value of the graph up to which a wave is worth widening, by device.

On a CPU that is what its inner cache holds: measured per copy on one core, waves of 2 and 4 take 0.76 of the time on a
graph of 34,000 elements a value, none takes less at 320,000, and at 670,000 waves of 8 take 1.3 times as long. On a GPU
it is an estimate: the work that a launch of 5 us hides at 4 TB/s.
"""
WIDEST = 16
"""More copies in one wave bring little, and the copies of more ops have to wait for each other."""


@dataclass(frozen=True, eq=False)
class Part:
    """A task with its changes' detours."""

    task: Task
    detours: tuple[Detour, ...]


@dataclass(frozen=True, eq=False)
class Deal:
    """The changes of a sweep in waves, in the order of their detours' starts."""

    waves: tuple[Part, ...]
    n: int
    baseline: Plan

    @staticmethod
    def of(bench: Bench, changes: Sequence[Change], n: int, budget_bytes: int, cancel: Any = None) -> Deal:
        """Return how ``changes`` are measured on the first ``n`` samples, waves within ``budget_bytes``."""
        detours = [bench.detour(change) for change in changes]
        width = choose_width(bench.baseline, budget_bytes)
        stacking = Deal.stacking_of(bench, cancel) if width > 1 and len(changes) > 1 else None
        return Deal(
            tuple(
                Part(
                    Task(tuple(changes[place] for place in places), n, width, stacking),
                    tuple(detours[place] for place in places),
                )
                for places in group(detours, stacking, width)
            ),
            n,
            bench.baseline,
        )

    @staticmethod
    def stacking_of(bench: Bench, cancel: Any = None) -> Stacking:
        """Return how the values of a bench's graph stack, from its first batch."""
        inputs = dict(zip(bench.baseline.graph.inputs, bench.samples.batch(0), strict=True))
        return find_stacking(Executor(bench.baseline, bench.kernels), inputs, cancel)

    def cut(self, tasks: int) -> list[Part]:
        """Return whole waves in at most so many parts of about equally many changes."""
        changes = sum(len(wave.task.changes) for wave in self.waves)
        return list(self._join([len(wave.task.changes) for wave in self.waves], changes / tasks))

    def cut_by_bytes(self, limit: float) -> list[Part]:
        """Return whole waves in parts whose weights, in FP32 for each change, take at most ``limit`` bytes if any can.

        So the packed weights of a part stay in memory from one batch to the next.
        """
        return list(self._join([sum(map(_weight_bytes, wave.detours)) for wave in self.waves], limit))

    def _join(self, sizes: Sequence[float], limit: float) -> Iterator[Part]:
        """Join neighbouring waves up to a limit."""
        held: list[Part] = []
        total = 0.0
        for wave, size in zip(self.waves, sizes, strict=True):
            if held and total + size > limit:
                yield _joined(held)
                held, total = [], 0.0
            held.append(wave)
            total += size
        if held:
            yield _joined(held)


def choose_width(baseline: Plan, budget_bytes: int) -> int:
    """Return how many copies of a batch a wave may hold: a power of two, 1 where waves bring nothing.

    A wave saves calls: it pays while a call's own cost counts beside its work, that is while values are small. So it is
    widened until a usual value, the mean over the ops, has :data:`ELEMENTS` elements. The rule looks at shapes alone,
    not at a clock, so that a sweep gives the same bits each time. ``budget_bytes`` bounds the copies' values.
    """
    most = ELEMENTS[baseline.device.type]
    sizes = [prod(baseline.shapes[op.name]) for op in baseline.graph.rows if op.name in baseline.shapes]
    usual, peak = fmean(sizes) if sizes else most, max(1, peak_activations(baseline))
    width = 1
    while width < WIDEST and 2 * width * usual <= most and 4 * width * peak <= budget_bytes:
        width *= 2
    return width


def _joined(waves: Sequence[Part]) -> Part:
    changes = tuple(change for wave in waves for change in wave.task.changes)
    return Part(replace(waves[0].task, changes=changes), tuple(d for wave in waves for d in wave.detours))


def _weight_bytes(detour: Detour) -> int:
    steps = (step for step in detour.steps if step.op.id in detour.changed)
    return sum(t.nbytes for step in steps for t in step.site.constants.values())
