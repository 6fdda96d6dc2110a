"""Gathering the evidence of a recipe: what each op costs alone, and its tensors where it is much. (Effect: runs it.)"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from explorer.compare.births import first_nonfinite
from explorer.compare.runs import Extent
from explorer.compare.views import find_isolated, find_local
from explorer.diagnosis.evidence import CALIBRATED, LATER, Born, Calibrated, Evidence, OpEvidence
from explorer.diagnosis.holding import compare_weights, find_sides, hold
from explorer.diagnosis.lengths import real_lengths
from explorer.diagnosis.limits import limit
from explorer.graph import ModelGraph, Op
from explorer.graph.pairs import find_pairs
from explorer.observe import RangeSet, observe
from explorer.precision import PRECISIONS, find_precision
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.run import Executor, Plan
from explorer.samples import Samples
from explorer.subject import Subject

SAMPLES = 64
"""Samples, spread over the data, that costs are measured on: each op takes a run of its own."""


@dataclass(frozen=True)
class Costs:
    """What one op costs, see :class:`OpEvidence`."""

    cost: float
    local_sqnr_db: float = math.nan
    output_sqnr_db: float = math.nan


def gather(
    subject: Subject,
    recipe: Recipe,
    range_set: RangeSet,
    n: int = SAMPLES,
    progress: Progress | None = None,
    cancel: Any = None,
) -> Evidence:
    """Return the evidence of ``recipe``: costs on ``n`` samples spread over the data, tensors from ``range_set``.

    Ops are looked at closely where they cost at least the limit, or break the output; where the whole recipe costs
    less, none is. Raises :class:`Cancelled`.
    """
    plan, few = subject.plan(recipe), thin_out(subject, n)
    total = _total(subject, plan, range_set, progress, cancel)
    costs = {} if total < limit("cost") else measure_costs(few, plan, Extent(None, progress, cancel))
    worth = {op: found for op, found in costs.items() if found.cost >= limit("cost")}
    breaking = [op for op, found in worth.items() if math.isinf(found.cost)]
    born = _find_births(subject, plan, range_set, breaking, total, cancel)
    worth |= {op: replace(costs.get(op, Costs(math.inf)), cost=math.inf) for op in born}
    calibrated = _calibrated(subject) if recipe.is_static and worth else None
    if calibrated is not None:
        range_set = observe(subject, None, _sides_of(subject, calibrated), progress, cancel)
    products = [costs[op.id].cost for op in plan.graph.rows if op.role == "compute" and op.id in costs]
    return Evidence(
        unit="nats" if subject.task.logits else "relative squared error",
        cost=total,
        n=len(few.samples),
        ops=tuple(_look(few, plan, op.id, worth, range_set, born) for op in plan.graph.rows if op.id in worth),
        typical=median([cost for cost in products if math.isfinite(cost)] or [0.0]),
        calibrated=calibrated,
        samples=len(subject.samples),
    )


def thin_out(subject: Subject, n: int) -> Subject:
    """Return the subject with at most ``n`` of its samples, spread evenly over them, so that no part is missed."""
    samples = subject.samples
    if n >= len(samples):
        return subject
    chosen = torch.linspace(0, len(samples) - 1, n).round().long()
    inputs = tuple(x[chosen.to(x.device)] for x in samples.inputs)
    targets = None if samples.targets is None else samples.targets[chosen.to(samples.targets.device)]
    return replace(subject, samples=Samples(inputs, targets, samples.batch_size))


def measure_costs(subject: Subject, plan: Plan, extent: Extent) -> Mapping[str, Costs]:
    """Return what each op that is not FP32 costs at the output of the model, lowered alone."""
    local, isolated = find_local(subject, plan, extent), find_isolated(subject, plan, extent)
    return {
        op: Costs(
            cost_of(error.nonfinite, isolated.kl.get(op, math.nan), error.relative),
            local.by_op[op].sqnr_db,
            error.sqnr_db,
        )
        for op, error in isolated.by_op.items()
    }


def cost_of(nonfinite: int, kl: float, relative: float) -> float:
    """Infinite where outputs became NaN or Inf; else nats, or where these are unknown the relative squared error."""
    if nonfinite:
        return math.inf
    return kl if math.isfinite(kl) else relative**2 if math.isfinite(relative) else 0.0


def _total(subject: Subject, plan: Plan, ranges: RangeSet, progress: Progress | None, cancel: Any) -> float:
    """What the recipe costs on all samples: infinite where it gives NaN or Inf, NaN where the model itself does."""
    output = ranges.values.get(plan.graph.output.name)
    if output is not None and output.histogram.nan + output.histogram.inf > 0:
        return math.nan
    if plan.recipe.is_baseline:
        return 0.0
    found = subject.evaluator.evaluate(plan, subject.baseline, subject.kernels, None, progress, cancel)
    cost = found.kl if subject.task.logits else 10 ** (-found.sqnr_db / 10)
    return cost if math.isfinite(cost) else math.inf


def _find_births(
    subject: Subject, plan: Plan, ranges: RangeSet, breaking: list[str], total: float, cancel: Any
) -> Mapping[str, Born]:
    """Where NaN or Inf begin, by the op to blame: the op where they do so in FP32; else each of those that are
    ``breaking`` the output when lowered alone; and where only the whole recipe does, the op where they begin then."""
    if math.isnan(total):
        born = _find_birth(subject, subject.baseline.recipe, ranges, cancel)
        return {} if born is None else {born.op.id: replace(born, in_fp32=True)}
    alone = {op: subject.baseline.recipe.with_precision([op], plan.recipe[op], "diagnosis") for op in breaking}
    births = {op: _find_birth(subject, recipe, ranges, cancel) for op, recipe in alone.items()}
    if math.isinf(total) and not births and (first := _find_birth(subject, plan.recipe, ranges, cancel)):
        births[first.op.id] = first
    return {op: born for op, born in births.items() if born is not None}


def _find_birth(subject: Subject, recipe: Recipe, ranges: RangeSet, cancel: Any) -> Born | None:
    """The first birth of NaN or Inf under a recipe."""
    birth = first_nonfinite(subject, recipe, cancel=cancel)
    if birth is None:
        return None
    op, given = _row_at(subject.graph, birth.op)
    largest = max((ranges.values[name].absmax for name in op.refs if name in ranges.values), default=0.0)
    return Born(op, birth.kind, birth.elements, birth.samples, False, largest, given)


def _row_at(graph: ModelGraph, where: str) -> tuple[Op, str]:
    """The op with a precision at a birth, and what it reads there where the birth is at an input or a view."""
    if where in graph.by_id and graph.by_id[where].has_precision:
        return graph.by_id[where], ""
    name = graph.by_id[where].name if where in graph.by_id else where
    readers = [
        reader
        for row in graph.users.get(name, ())
        for reader in ([row.id] if row.has_precision else _readers(graph, row))
    ]
    return (graph.by_id[readers[0]] if readers else graph.rows[0]), where


def _look(
    subject: Subject, plan: Plan, op: str, worth: Mapping[str, Costs], ranges: RangeSet, born: Mapping[str, Born]
) -> OpEvidence:
    costs = worth[op]
    step, graph = plan.step_of[op], plan.graph
    precision = find_precision(plan.recipe[op])
    able = frozenset(name for name in PRECISIONS if subject.planner.option(op, name).possible)
    of_inputs, of_weight = math.inf, math.inf
    if step.op.role == "compute" and precision.name != "fp32":
        of_inputs, of_weight = find_sides(plan, step, precision, _inputs_of(subject, op))
    compute = [row.id for row in graph.rows if row.role == "compute"]
    return OpEvidence(
        op=step.op,
        precision=precision,
        kernel=step.kernel.name if step.kernel else "",
        cost=costs.cost,
        local_sqnr_db=costs.local_sqnr_db,
        output_sqnr_db=costs.output_sqnr_db,
        tensors=hold(plan, op, precision, ranges),
        input_sqnr_db=of_inputs,
        weight_sqnr_db=of_weight,
        weights=compare_weights(step, precision, able),
        reduction=_reduction(plan, step.op),
        readers=tuple(reader for reader in _readers(graph, step.op) if plan.recipe[reader] == precision.name),
        able=able,
        first=op == compute[0] if compute else False,
        last=op == compute[-1] if compute else False,
        balanced=any(op in pair.consumers for pair in find_pairs(graph).pairs),
        born=born.get(op),
    )


def _inputs_of(subject: Subject, op: str) -> tuple[Any, ...]:
    """What an op reads in FP32, of the first batch."""
    values = dict(zip(subject.graph.inputs, subject.samples.batch(0), strict=True))
    for visit in Executor(subject.baseline, subject.kernels).walk(values):
        if visit.step.op.id == op:
            return visit.inputs
    raise AssertionError(f"{op} is no op of the plan")


def _reduction(plan: Plan, op: Op) -> int:
    """How many products one element of a product's output adds up; 0 for other ops."""
    site = plan.step_of[op.id].site
    if site.product is not None:
        return site.product.weight[0].numel()
    return plan.shapes[site.operands[0]][-1] if op.role == "compute" and site.operands else 0


def _readers(graph: ModelGraph, op: Op) -> list[str]:
    """The rows that read an op's output, looking through views."""
    found: list[str] = []
    for reader in graph.users.get(op.name, ()):
        found += [reader.id] if reader.has_precision else _readers(graph, reader)
    return list(dict.fromkeys(found))


def _calibrated(subject: Subject) -> Calibrated:
    calibration, samples = subject.calibration(), subject.samples
    n, lengths = min(calibration.n, len(samples)), real_lengths(samples)
    if lengths is None or n == len(samples):
        return Calibrated(calibration.method, n, len(samples))
    ends = [(int(part.min()), int(part.max())) for part in (lengths[:n], lengths[n:])]
    return Calibrated(calibration.method, n, len(samples), *ends)


def _sides_of(subject: Subject, calibrated: Calibrated) -> list[str]:
    """Whether static scales were found from each sample."""
    return [CALIBRATED if index < calibrated.n else LATER for index in range(len(subject.samples))]
