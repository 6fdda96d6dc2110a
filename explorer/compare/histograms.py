"""How the error of one op is spread, beside what it should have made and what it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.compare.items import floats_in
from explorer.compare.runs import Extent, each_batch
from explorer.errors import SelectionError
from explorer.progress import Progress
from explorer.ranges import Histogram
from explorer.recipe import Recipe
from explorer.run import Alone, Executor
from explorer.subject import Subject


@dataclass(frozen=True)
class OutputHistograms:
    """Of one op on clean inputs: what it makes in FP32, what in its precision, and the second minus the first."""

    wanted: Histogram
    given: Histogram
    error: Histogram


def output_histograms(
    subject: Subject,
    recipe: Recipe,
    op: str,
    n: int | None = None,
    progress: Progress | None = None,
    cancel: Any = None,
) -> OutputHistograms:
    """Return how the outputs and the error of ``op`` are spread on clean FP32 inputs, over the first ``n`` samples.

    ``n`` is by default all. In FP32 the error is all zeros. Raises :class:`SelectionError` where the model has no such
    op with a precision.
    """
    if op not in recipe.by_op:
        raise SelectionError(f"the error of op {op!r}", "no op with a precision is called so", "an id from s.ops.index")
    plan = subject.plan(recipe)
    alone = Alone(plan.step_of[op], plan.scales, subject.kernels)
    baseline = Executor(subject.baseline, subject.kernels)
    wanted = given = error = Histogram.empty()
    for inputs, batch in each_batch(subject, Extent(n, progress, cancel), f"reading the error of {op}"):
        visit = next(visit for visit in baseline.walk(dict(inputs), cancel) if visit.step.op.id == op)
        for x, y in zip(floats_in(visit.output), floats_in(alone(visit.inputs)), strict=True):
            x, y = batch.pick(x, visit.step.op), batch.pick(y, visit.step.op)
            wanted, given, error = wanted.add(x), given.add(y), error.add(y - x)
    return OutputHistograms(wanted, given, error)


def error_histogram(
    subject: Subject,
    recipe: Recipe,
    op: str,
    n: int | None = None,
    progress: Progress | None = None,
    cancel: Any = None,
) -> Histogram:
    """Return how the error of ``op`` on clean inputs is spread: see :func:`output_histograms`, whose part it is."""
    return output_histograms(subject, recipe, op, n, progress, cancel).error
