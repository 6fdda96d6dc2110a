"""Evaluating recipes on the data: paired with FP32, batch by batch, through the replay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.errors import Cancelled
from explorer.graph import ModelGraph, Op, interpret
from explorer.measure import Quality, QualityMeter, Task
from explorer.progress import Progress
from explorer.run import Executor, KernelCache, Plan, Replay, choose_cuts
from explorer.samples import Samples

FIRST_SLICE = 64


@dataclass(frozen=True, eq=False)
class Pair:
    """A batch's outputs under a recipe and under FP32, [n, ...] each, and what the task scores them against."""

    output: Tensor
    wanted: Tensor
    target: Tensor


class Evaluator:
    """Evaluates plans of one graph on one data set.

    Keeps the FP32 outputs (up to ``output_budget`` bytes; beyond, they are computed again) and the live sets of the
    replay (up to ``replay_budget`` bytes). One evaluation at a time; others wait.
    """

    def __init__(
        self, graph: ModelGraph, samples: Samples, task: Task, replay_budget: int, output_budget: int = 256 << 20
    ) -> None:
        self.graph, self.samples, self.task = graph, samples, task
        self.shapes, self.costs = _measure_ops(graph, samples.batch(0))
        cuts = choose_cuts(graph, self.shapes, self.costs, samples.batches, replay_budget)
        self.replay = Replay(cuts, replay_budget)
        self._baseline: dict[int, Tensor] = {}
        self._output_budget = output_budget
        self._lock = threading.Lock()

    def evaluate(
        self,
        plan: Plan,
        baseline: Plan,
        kernels: KernelCache,
        n: int | None = None,
        progress: Progress | None = None,
        cancel: Any = None,
        partial: Callable[[Quality], None] | None = None,
    ) -> Quality:
        """Return the quality of ``plan`` against ``baseline`` on the first ``n`` samples (default all).

        ``partial`` gets the quality so far after the first slice and after every later batch.
        """
        total = len(self.samples) if n is None else max(1, min(n, len(self.samples)))
        meter = QualityMeter(self.task, len(self.samples), bool(plan.emulated))
        executors = Executor(plan, kernels), Executor(baseline, kernels)
        done = 0
        with self._lock:
            for batch in range(-(-total // self.samples.batch_size)):
                pair = self._pair(executors, batch, total - done, cancel)
                meter.add(pair.output, pair.wanted, pair.target)
                done += len(pair.output)
                if progress is not None:
                    progress(done, total, "measuring quality")
                if partial is not None and FIRST_SLICE <= done < total:
                    partial(meter.read())
        return meter.read()

    def pairs(
        self, plan: Plan, baseline: Plan, kernels: KernelCache, n: int | None = None, cancel: Any = None
    ) -> Iterator[Pair]:
        """Yield the outputs of ``plan`` and ``baseline`` on the first ``n`` samples (default all), batch by batch.

        Others may evaluate between two batches.
        """
        left = len(self.samples) if n is None else max(1, min(n, len(self.samples)))
        executors = Executor(plan, kernels), Executor(baseline, kernels)
        for batch in range(-(-left // self.samples.batch_size)):
            with self._lock:
                pair = self._pair(executors, batch, left, cancel)
            left -= len(pair.output)
            yield pair

    def outputs(self, plan: Plan, kernels: KernelCache, use_replay: bool = True) -> list[Tensor]:
        """Return the outputs of every batch, for checks and benchmarks."""
        executor = Executor(plan, kernels)
        with self._lock:
            found = []
            for batch in range(self.samples.batches):
                inputs = dict(zip(self.graph.inputs, self.samples.batch(batch), strict=True))
                found.append(self.replay.run(executor, batch, inputs) if use_replay else executor.run(inputs))
            return found

    def forget(self) -> None:
        """Let go of the replay's live sets: the next evaluation runs from the start, with the same result."""
        with self._lock:
            self.replay.clear()

    def output_of_first_batch(self, plan: Plan, kernels: KernelCache) -> Tensor:
        """Return the output of the first batch: enough to check targets against."""
        inputs = dict(zip(self.graph.inputs, self.samples.batch(0), strict=True))
        with self._lock:
            return self.replay.run(Executor(plan, kernels), 0, inputs)

    def _pair(self, executors: tuple[Executor, Executor], batch: int, most: int, cancel: Any) -> Pair:
        """The outputs of a plan and of the baseline for at most so many samples of a batch."""
        if cancel is not None and cancel.is_set():
            raise Cancelled("evaluate a recipe")
        executor, reference = executors
        count = min(self.samples.real(batch), most)
        inputs = dict(zip(self.graph.inputs, self.samples.batch(batch), strict=True))
        output = self.replay.run(executor, batch, inputs, cancel)
        if executor.plan.recipe.is_baseline:
            wanted = output
            self._keep(batch, output)
        else:
            wanted = self._reference(reference, batch, inputs, cancel)
        return Pair(output[:count], wanted[:count], self._target(batch, count, wanted))

    def _target(self, batch: int, count: int, baseline: Tensor) -> Tensor:
        target = self.samples.target(batch, count)
        return baseline[:count] if target is None else target

    def _reference(self, executor: Executor, batch: int, inputs: dict[str, Any], cancel: Any) -> Tensor:
        if batch not in self._baseline:
            output = executor.run(dict(inputs), cancel=cancel)
            self._keep(batch, output)
            return output
        return self._baseline[batch]

    def _keep(self, batch: int, output: Tensor) -> None:
        held = sum(t.nbytes for t in self._baseline.values())
        if batch not in self._baseline and held + output.nbytes <= self._output_budget:
            self._baseline[batch] = output


def _measure_ops(graph: ModelGraph, inputs: tuple[Any, ...]) -> tuple[dict[str, tuple[int, ...]], list[float]]:
    """Run the graph twice in FP32; return the shape of every tensor and the seconds of every op in the second run."""
    shapes = {n: tuple(x.shape) for n, x in zip(graph.inputs, inputs, strict=True) if isinstance(x, Tensor)}
    costs: list[float] = []
    clock = [0.0]

    def note(op: Op, output: Any) -> None:
        if output is not None and isinstance(output, Tensor) and output.is_cuda:
            torch.cuda.synchronize()
        costs.append(time.perf_counter() - clock[0])
        tensor = output[0] if isinstance(output, (tuple, list)) and output else output
        if isinstance(tensor, Tensor):
            shapes[op.name] = tuple(tensor.shape)
        clock[0] = time.perf_counter()

    for _ in range(2):
        costs.clear()
        clock[0] = time.perf_counter()
        interpret(graph, inputs, note)
    return shapes, costs
