"""The three errors of each op: alone on clean inputs, alone but seen at the output, and all of them together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from explorer.compare.metrics import PairError
from explorer.compare.runs import Extent, OutputError, each_batch, error_of, in_step
from explorer.graph import Op
from explorer.kernels import as_float
from explorer.recipe import Recipe
from explorer.run import Alone, Detour, Executor, KernelError, Plan, Visit, Waves, find_detour
from explorer.subject import Subject


@dataclass(frozen=True)
class Errors:
    """The error of each op by its id, in execution order, and the KL at the output: of each op (isolated), of the whole
    recipe (cumulative, under the last op), or none."""

    by_op: Mapping[str, PairError]
    kl: Mapping[str, float]


def lowered_ops(plan: Plan, ops: Collection[str] | None = None) -> list[Op]:
    """The ops of a plan (or those of them that ``ops`` names) that do not compute in FP32, in execution order."""
    return [op for op in plan.graph.rows if plan.recipe[op.id] != "fp32" and (ops is None or op.id in ops)]


def find_local(subject: Subject, plan: Plan, extent: Extent, ops: Collection[str] | None = None) -> Errors:
    """Run each lowered op of ``plan``, of ``ops`` where they are named, on the inputs that it has in FP32.

    One pass in FP32, in which each such op runs once more, through the casts, scales and kernel of the plan.
    """
    alone = {op.id: Alone(plan.step_of[op.id], plan.scales, subject.kernels) for op in lowered_ops(plan, ops)}
    if not alone:
        return Errors({}, {})
    errors = dict.fromkeys(alone, PairError())
    baseline = Executor(subject.baseline, subject.kernels)
    for inputs, batch in each_batch(subject, extent, "comparing each op on clean inputs"):
        for visit in _until([*alone][-1], baseline.walk(dict(inputs), extent.cancel)):
            op = visit.step.op.id
            if op in alone:
                given = alone[op](visit.inputs)
                errors[op] = errors[op].merge(error_of(alone[op].step, visit.output, given, batch))
    return Errors(errors, {})


def _until(last: str, walk: Iterator[Visit]) -> Iterator[Visit]:
    """A walk that ends after the op ``last``: what follows it is of no interest."""
    for visit in walk:
        yield visit
        if visit.step.op.id == last:
            return


def find_isolated(subject: Subject, plan: Plan, extent: Extent, ops: Collection[str] | None = None) -> Errors:
    """Run the model once for each lowered op of ``plan`` (of ``ops``), all others in FP32, and compare the outputs.

    Each run leaves one FP32 walk where its op starts, so that nothing above it is computed again; each is bit for bit
    that of a recipe with this op alone.
    """
    lowered = [op.id for op in lowered_ops(plan, ops)]
    if not lowered:
        return Errors({}, {})
    batches = -(-extent.of(len(subject.samples)) // subject.samples.batch_size)
    total, done = len(lowered) * (1 + batches), len(lowered)
    detours = list(_detours(subject, plan.recipe, lowered, extent, total))
    found = [OutputError(subject.task.logits)] * len(lowered)
    baseline = Executor(subject.baseline, subject.kernels)
    waves = Waves(baseline, detours, subject.kernels)
    text, quiet = "changing one op at a time", Extent(extent.n, None, extent.cancel)
    for inputs, batch in each_batch(subject, quiet, text):
        wanted = baseline.run(dict(inputs), cancel=extent.cancel)[: batch.count]
        for place, given in waves.run(inputs, extent.cancel):
            extent.tell(done, total, text)
            if isinstance(given, KernelError):
                raise given
            found[place] = found[place].merge(OutputError.of(wanted, given[: batch.count], subject.task.logits))
            done += 1
    extent.tell(total, total, text)
    by_op = dict(zip(lowered, found, strict=True))
    return Errors({op: each.error for op, each in by_op.items()}, {op: each.kl for op, each in by_op.items()})


def _detours(subject: Subject, recipe: Recipe, ops: Sequence[str], extent: Extent, total: int) -> Iterator[Detour]:
    """The detour of each op alone in the precision that ``recipe`` gives it; of thousands, planning takes seconds."""
    text = "planning each op alone"
    for done, op in enumerate(ops):
        extent.step(done, total, text)
        alone = subject.baseline.recipe.with_precision([op], recipe[op], "compared alone")
        yield find_detour(subject.planner.plan(alone, near=subject.baseline), subject.baseline)


def find_cumulative(subject: Subject, plan: Plan, extent: Extent, ops: Collection[str] | None = None) -> Errors:
    """Run FP32 and ``plan`` side by side, op by op, and compare what every op with a precision makes.

    Nothing is kept but the values that ops still to come will read. With ``ops`` those alone are compared, and nothing
    runs after the last of them; the KL at the output is then not told.
    """
    graph = plan.graph
    rows = [op for op in graph.rows if ops is None or op.id in ops]
    if not lowered_ops(plan) or not rows:
        return Errors({}, {})
    errors = {op.id: PairError() for op in rows}
    output = OutputError(subject.task.logits)
    executors = Executor(subject.baseline, subject.kernels), Executor(plan, subject.kernels)
    for inputs, batch in each_batch(subject, extent, "comparing the recipe with FP32, op by op"):
        for wanted, given in in_step(executors, inputs, extent.cancel):
            op = given.step.op
            if op.id in errors:
                errors[op.id] = errors[op.id].merge(error_of(given.step, wanted.output, given.output, batch))
            if op.name == graph.output.name:
                right, ours = (as_float(visit.output)[: batch.count] for visit in (wanted, given))
                output = output.merge(OutputError.of(right, ours, subject.task.logits))
            if ops is not None and op is rows[-1]:
                break
    return Errors(errors, {graph.rows[-1].id: output.kl} if ops is None else {})
