"""The bench: what measures changes of a model, wherever it runs. (Effect: runs the model.)"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from explorer.compare.runs import OutputError
from explorer.run import Detour, Executor, KernelCache, KernelError, Plan, Planner, Stacking, Waves, find_detour
from explorer.samples import Samples
from explorer.subject import Subject
from explorer.sweep.record import Change, Outcome


@dataclass(frozen=True)
class Task:
    """Changes to be measured on the first ``n`` samples, in waves of ``width`` where values stack.

    The changes are in the order of their detours' starts and whole waves, so that no task divides what another one
    would run together: the numbers are the same however the changes are dealt out.
    """

    changes: tuple[Change, ...]
    n: int
    width: int
    stacking: Stacking | None


OUTPUT_BUDGET = 256 << 20
"""Bytes of FP32 outputs that a bench keeps for its next task; beyond, they are computed again."""


@dataclass(frozen=True, eq=False)
class Bench:
    """A model with its samples, FP32 plan and kernels on one device; keeps FP32 outputs by batch."""

    samples: Samples
    logits: bool
    planner: Planner
    baseline: Plan
    kernels: KernelCache
    _outputs: dict[int, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(subject: Subject) -> Bench:
        return Bench(subject.samples, subject.task.logits, subject.planner, subject.baseline, subject.kernels)

    def plan(self, change: Change) -> Plan:
        """Return the plan in which the ops of ``change`` alone are not in FP32."""
        recipe = self.baseline.recipe
        for op, precision in change:
            recipe = recipe.with_precision([op], precision, "swept")
        return self.planner.plan(recipe, near=self.baseline)

    def detour(self, change: Change) -> Detour:
        return find_detour(self.plan(change), self.baseline)

    def measure(self, task: Task, cancel: Any = None) -> list[Outcome]:
        """Return the outcome of each change of ``task``. Raises :class:`Cancelled`."""
        detours = [self.detour(change) for change in task.changes]
        found, _ = deque(self.steps(task, detours, cancel), maxlen=1)[0]
        return found

    def steps(self, task: Task, detours: Sequence[Detour], cancel: Any = None) -> Iterator[tuple[list[Outcome], bool]]:
        """Yield the outcomes so far after every run of a change, and whether all changes have seen the same samples.

        The list is the same one each time. ``detours`` are those of the task's changes.
        """
        found = [self._start(*pair) for pair in zip(task.changes, detours, strict=True)]
        executor = Executor(self.baseline, self.kernels)
        waves = Waves(executor, detours, self.kernels, task.stacking, task.width)
        for index, (inputs, count) in enumerate(self.samples.first(task.n)):
            values = dict(zip(self.baseline.graph.inputs, inputs, strict=True))
            wanted = self._wanted(index, executor, values, cancel)[:count]
            for done, (place, given) in enumerate(waves.run(values, cancel), start=1):
                found[place] = self._add(found[place], wanted, given)
                yield found, done == len(found)

    def _wanted(self, batch: int, executor: Executor, values: Mapping[str, Any], cancel: Any) -> Tensor:
        if batch in self._outputs:
            return self._outputs[batch]
        output = executor.run(dict(values), cancel=cancel)
        if sum(kept.nbytes for kept in list(self._outputs.values())) + output.nbytes <= OUTPUT_BUDGET:
            self._outputs[batch] = output
        return output

    def _start(self, change: Change, detour: Detour) -> Outcome:
        """No samples yet; which kernels the changed ops run on."""
        changed = [step for step in detour.steps if step.op.id in dict(change)]
        names = dict.fromkeys(step.kernel.name for step in changed if step.kernel)
        return Outcome(OutputError(self.logits), ", ".join(names), any(step.emulated for step in changed))

    def _add(self, outcome: Outcome, wanted: Tensor, given: Tensor | KernelError) -> Outcome:
        if isinstance(given, KernelError):
            return replace(outcome, failure=outcome.failure or given.found)
        found = OutputError.of(wanted, given[: len(wanted)], self.logits)
        return replace(outcome, found=outcome.found.merge(found))
