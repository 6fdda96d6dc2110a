"""Where NaN and Inf are born: the first op that makes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from explorer.compare.items import Batch, floats_in, samples_first
from explorer.compare.runs import Extent, each_batch
from explorer.graph import ModelGraph, Op
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.run import Executor
from explorer.subject import Subject

IGNORED_BY = ("softmax", "log_softmax", "attention")
"""Kinds of op to which -Inf means "not this one": what masks are made of."""


@dataclass(frozen=True)
class Birth:
    """The first NaN or Inf of a recipe's run, in execution order.

    op: id of the op that made it, or the name of the model's input that came with it. kind: ``"nan"`` where any of its
    elements is NaN. elements, samples: how many elements of the op's output are NaN or Inf, in how many samples.
    source, source_line: where the model's code asks for the op, empty for an input. in_fp32: whether the op makes NaN
    or Inf in FP32 too.
    """

    op: str
    kind: Literal["nan", "inf"]
    elements: int
    samples: int
    source: str
    source_line: str
    in_fp32: bool


@dataclass(frozen=True)
class _Count:
    """NaN and Inf in the samples that count of an op's output."""

    nan: int = 0
    inf: int = 0
    samples: int = 0

    @property
    def elements(self) -> int:
        return self.nan + self.inf

    def plus(self, other: _Count) -> _Count:
        return _Count(self.nan + other.nan, self.inf + other.inf, self.samples + other.samples)


def first_nonfinite(
    subject: Subject, recipe: Recipe, n: int | None = None, progress: Progress | None = None, cancel: Any = None
) -> Birth | None:
    """Return where the first NaN or Inf of ``recipe`` is born on the first ``n`` samples (default all), or None.

    The first is the first op in the order of execution in which any sample has one. -Inf that only softmax and
    attention will read is a mask, not a fault, unless a product made it. Works for a recipe in FP32 too.
    """
    extent = Extent(n, progress, cancel)
    if (given := _find_in_inputs(subject, extent)) is not None:
        return given
    found: int | None = None
    count = _Count()
    where: list[tuple[dict[str, Tensor], Batch]] = []
    executor = Executor(subject.plan(recipe), subject.kernels)
    for inputs, batch in each_batch(subject, extent, "looking for NaN and Inf"):
        hit = _find_in_batch(subject.graph, executor, inputs, batch, found, cancel)
        if hit is None:
            continue
        if hit[0] != found:
            found, count, where = hit[0], _Count(), []
        count = count.plus(hit[1])
        where.append((inputs, batch))
    if found is None:
        return None
    op = subject.graph.ops[found]
    baseline = Executor(subject.baseline, subject.kernels)
    in_fp32 = recipe.is_baseline or any(_makes_one(subject.graph, baseline, *each, found, cancel) for each in where)
    kind: Literal["nan", "inf"] = "nan" if count.nan else "inf"
    return Birth(op.id, kind, count.elements, count.samples, op.source, op.source_line, in_fp32)


def _find_in_inputs(subject: Subject, extent: Extent) -> Birth | None:
    """What came with the data."""
    total = extent.of(len(subject.samples))
    for name, x in zip(subject.graph.inputs, subject.samples.inputs, strict=True):
        real = x[:total]
        bad = ~real.isfinite()
        if bool(bad.any()):
            samples = int(bad.reshape(total, -1).any(1).sum())
            return Birth(name, "nan" if bool(real.isnan().any()) else "inf", int(bad.sum()), samples, "", "", True)
    return None


def _find_in_batch(
    graph: ModelGraph, executor: Executor, inputs: dict[str, Tensor], batch: Batch, last: int | None, cancel: Any
) -> tuple[int, _Count] | None:
    """The first op of a batch that makes NaN or Inf, by position and up to the position ``last``, and how many."""
    for position, visit in enumerate(executor.walk(dict(inputs), cancel)):
        count = _count(graph, visit.step.op, visit.output, batch)
        if count.elements:
            return position, count
        if position == last:
            return None
    return None


def _makes_one(
    graph: ModelGraph, executor: Executor, inputs: dict[str, Tensor], batch: Batch, at: int, cancel: Any
) -> bool:
    for position, visit in enumerate(executor.walk(dict(inputs), cancel)):
        if position == at:
            return _count(graph, visit.step.op, visit.output, batch).elements > 0
    return False


def _count(graph: ModelGraph, op: Op, output: Any, batch: Batch) -> _Count:
    parts = [x for x in floats_in(output) if not _is_finite(x)]
    found = [batch.pick(x, op) for x in parts]
    if not parts or (all(_only_minus_inf(x) for x in found) and _is_mask(graph, op)):
        return _Count()
    nan = inf = samples = 0
    for x, real in zip(parts, found, strict=True):
        bad = ~real.isfinite()
        nan += int(real.isnan().sum())
        inf += int(real.isinf().sum())
        of_samples = samples_first(x, op, batch.size) is not None
        samples = max(samples, int(bad.reshape(batch.count, -1).any(1).sum()) if of_samples else batch.count)
    return _Count(nan, inf, samples)


def _is_finite(x: Tensor) -> bool:
    """Whether no element is NaN or Inf: one pass for the extremes, into which NaN and Inf go."""
    if not x.numel():
        return True
    low, high = torch.aminmax(x)
    return bool(low.isfinite() & high.isfinite())


def _only_minus_inf(x: Tensor) -> bool:
    return not bool((x.isnan() | x.isposinf()).any())


def _is_mask(graph: ModelGraph, op: Op) -> bool:
    """Whether softmax and attention alone will read what ``op`` makes, perhaps through sums and views. Products make
    no masks."""
    if op.role == "compute" or op.kind in IGNORED_BY:
        return False
    ahead, seen = [op], {op.name}
    while ahead:
        each = ahead.pop()
        if each.name == graph.output.name or (each is not op and each.role in ("compute", "sensitive")):
            return False
        readers = [reader for reader in graph.users.get(each.name, ()) if reader.kind not in IGNORED_BY]
        ahead += [reader for reader in readers if reader.name not in seen]
        seen |= {reader.name for reader in readers}
    return True
