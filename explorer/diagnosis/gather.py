"""Gathering the evidence of a recipe: what each op costs alone, and its tensors where it is much. (Effect: runs it.)"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from explorer.compare.births import first_nonfinite
from explorer.compare.runs import Extent
from explorer.compare.views import find_isolated, find_local
from explorer.diagnosis.evidence import Born, Calibrated, Evidence, OpEvidence, Sides
from explorer.diagnosis.holding import Outside, compare_weights, find_sides, hold
from explorer.diagnosis.lengths import real_lengths
from explorer.diagnosis.limits import limit
from explorer.diagnosis.reading import find_outside, read_inputs
from explorer.graph import ModelGraph, Op
from explorer.graph.pairs import find_pairs
from explorer.observe import RangeSet
from explorer.precision import PRECISIONS, find_precision
from explorer.recipe import Recipe
from explorer.run import Plan
from explorer.samples import Samples
from explorer.subject import Subject

SAMPLES = 64
"""Samples, spread over the data, that costs are measured on: each op takes a run of its own."""
SOFTMAXES = frozenset({"softmax", "log_softmax", "attention"})


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
    extent: Extent = Extent(SAMPLES),  # noqa: B008  a frozen value
    ops: Collection[str] | None = None,
) -> Evidence:
    """Return the evidence of ``recipe``: costs on samples of that number spread over the data, and its tensors.

    Ops are looked at closely where they cost at least the limit, or break the output; where the whole recipe costs
    less, none is. With ``ops`` no other is, nor is the cost of others measured, but where a rule compares with them.
    Raises :class:`Cancelled`.
    """
    cancel = extent.cancel
    plan, few = subject.plan(recipe), thin_out(subject, extent.of(len(subject.samples)))
    total = _total(subject, plan, range_set, extent)
    every = Extent(None, extent.progress, cancel)
    costs = {} if total < limit("cost") else measure_costs(few, plan, every, _compared(plan.graph, ops))
    worth = {op: found for op, found in costs.items() if found.cost >= limit("cost") and (ops is None or op in ops)}
    breaking = [op for op, found in worth.items() if math.isinf(found.cost)]
    if math.isnan(total) or (math.isinf(total) and not breaking):
        born = _find_first(subject, recipe, range_set, math.isnan(total), cancel)
    else:
        born = {op: _find_birth(few, _alone(subject, recipe, op), range_set, cancel) for op in breaking}
    born = {op: each for op, each in born.items() if ops is None or op in ops}
    worth |= {op: replace(costs.get(op, Costs(math.inf)), cost=math.inf) for op in born}
    calibrated = _calibrated(subject) if recipe.is_static and worth else None
    outside = find_outside(subject, plan, calibrated.n, cancel) if calibrated is not None else {}
    balanced = frozenset(op for pair in find_pairs(plan.graph).pairs for op in pair.consumers) if worth else frozenset()
    near = Near(few, plan, range_set, read_inputs(few, set(worth)), outside, balanced)
    products = [costs[op.id].cost for op in plan.graph.rows if op.role == "compute" and op.id in costs]
    return Evidence(
        unit="nats" if subject.task.logits else "relative squared error",
        cost=total,
        n=len(few.samples),
        ops=tuple(_look(near, op.id, worth[op.id], born.get(op.id)) for op in plan.graph.rows if op.id in worth),
        typical=median([cost for cost in products if math.isfinite(cost)] or [0.0]),
        calibrated=calibrated,
    )


def _compared(graph: ModelGraph, ops: Collection[str] | None) -> Collection[str] | None:
    """The ops whose costs are needed to judge ``ops``: a first or last product is judged beside the other products."""
    products = [row.id for row in graph.rows if row.role == "compute"]
    return ops if ops is None or not {*products[:1], *products[-1:]} & {*ops} else {*ops, *products}


def thin_out(subject: Subject, n: int) -> Subject:
    """Return the subject with at most ``n`` of its samples, spread evenly over them, so that no part is missed."""
    samples = subject.samples
    if n >= len(samples):
        return subject
    chosen = torch.linspace(0, len(samples) - 1, n).round().long()
    inputs = tuple(x[chosen.to(x.device)] for x in samples.inputs)
    targets = None if samples.targets is None else samples.targets[chosen.to(samples.targets.device)]
    return replace(subject, samples=Samples(inputs, targets, samples.batch_size))


def measure_costs(
    subject: Subject, plan: Plan, extent: Extent, ops: Collection[str] | None = None
) -> Mapping[str, Costs]:
    """Return what each op that is not FP32 (of ``ops``) costs at the output of the model, lowered alone."""
    local, isolated = find_local(subject, plan, extent, ops), find_isolated(subject, plan, extent, ops)
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


def _total(subject: Subject, plan: Plan, ranges: RangeSet, extent: Extent) -> float:
    """What the recipe costs on all samples: infinite where it gives NaN or Inf, NaN where the model itself does."""
    output = ranges.values.get(plan.graph.output.name)
    if output is not None and output.histogram.nan + output.histogram.inf > 0:
        return math.nan
    if plan.recipe.is_baseline:
        return 0.0
    found = subject.evaluator.evaluate(plan, subject.baseline, subject.kernels, None, extent.progress, extent.cancel)
    cost = found.kl if subject.task.logits else 10 ** (-found.sqnr_db / 10)
    return cost if math.isfinite(cost) else math.inf


def _find_first(
    subject: Subject, recipe: Recipe, ranges: RangeSet, in_fp32: bool, cancel: Any
) -> dict[str, Born | None]:
    """Where NaN or Inf of the output begin, by their op: in FP32 or under a recipe."""
    first = _find_birth(subject, subject.baseline.recipe if in_fp32 else recipe, ranges, cancel)
    return {} if first is None else {first.op.id: replace(first, in_fp32=in_fp32)}


def _alone(subject: Subject, recipe: Recipe, op: str) -> Recipe:
    """FP32 but for one op."""
    return subject.baseline.recipe.with_precision([op], recipe[op], "diagnosis")


def _find_birth(subject: Subject, recipe: Recipe, ranges: RangeSet, cancel: Any) -> Born | None:
    """The first birth of NaN or Inf under a recipe."""
    birth = first_nonfinite(subject, recipe, cancel=cancel)
    if birth is None:
        return None
    op, given = _row_at(subject.graph, birth.op)
    given = given or _broken_weight(subject.graph, op)
    largest = max((ranges.values[name].absmax for name in op.refs if name in ranges.values), default=0.0)
    return Born(op, birth.kind, birth.elements, birth.samples, len(subject.samples), False, largest, given)


def _broken_weight(graph: ModelGraph, op: Op) -> str:
    """The name of a weight of the op that holds NaN or Inf itself, else empty."""
    broken = (name for name in graph.weights_of(op) if not bool(graph.constants[name].isfinite().all()))
    return next((graph.parameters.get(name, name) for name in broken), "")


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


@dataclass(frozen=True, eq=False)
class Near:
    """What it takes to look at ops closely.

    inputs: what they read in FP32, of one batch. outside: what lies beyond static scales. balanced: ops whose inputs'
    channels can be balanced.
    """

    subject: Subject
    plan: Plan
    ranges: RangeSet
    inputs: Mapping[str, tuple[Any, ...]]
    outside: Outside
    balanced: frozenset[str]


def _look(near: Near, op: str, costs: Costs, born: Born | None) -> OpEvidence:
    plan, graph = near.plan, near.plan.graph
    step, precision = plan.step_of[op], find_precision(plan.recipe[op])
    able = frozenset(name for name in PRECISIONS if near.subject.planner.option(op, name).possible)
    lowered = step.op.role == "compute" and precision.name != "fp32"
    compute = [row.id for row in graph.rows if row.role == "compute"]
    return OpEvidence(
        op=step.op,
        precision=precision,
        kernel=step.kernel.name if step.kernel else "",
        cost=costs.cost,
        local_sqnr_db=costs.local_sqnr_db,
        output_sqnr_db=costs.output_sqnr_db,
        tensors=hold(plan, op, precision, near.ranges, near.outside),
        sides=find_sides(plan, op, precision, near.inputs[op], near.ranges) if lowered else Sides(),
        weights=compare_weights(step, precision, able),
        reduction=_reduction(plan, step.op),
        readers=tuple(reader for reader in _readers(graph, step.op) if plan.recipe[reader] == precision.name),
        able=able,
        first=op in compute[:1],
        last=op in compute[-1:],
        balanced=op in near.balanced,
        masks=_masks(graph, step.op),
        born=born,
    )


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


def _masks(graph: ModelGraph, op: Op) -> bool:
    """Whether an op is a softmax, or only softmaxes read it."""
    readers = _readers(graph, op)
    return op.kind in SOFTMAXES or bool(readers and all(graph.by_id[reader].kind in SOFTMAXES for reader in readers))


def _calibrated(subject: Subject) -> Calibrated:
    calibration, samples = subject.calibration(), subject.samples
    n, lengths = min(calibration.n, len(samples)), real_lengths(samples)
    if lengths is None or n == len(samples):
        return Calibrated(calibration.method, n, len(samples))
    ends = [(int(part.min()), int(part.max())) for part in (lengths[:n], lengths[n:])]
    return Calibrated(calibration.method, n, len(samples), *ends)
