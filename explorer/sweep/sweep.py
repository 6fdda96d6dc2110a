"""The sweep: exact costs of cells and pairs, here or on workers. (Effect: runs the model.)"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from explorer.compare.runs import Extent
from explorer.errors import PrecisionError, SelectionError
from explorer.precision import find_precision
from explorer.progress import Progress
from explorer.recipe.select import Where, select
from explorer.subject import Subject
from explorer.sweep.bench import Bench
from explorer.sweep.crews import CrewLost, collect, hire
from explorer.sweep.deal import Deal
from explorer.sweep.record import Cell, Change, ExactCost, Outcome, SweepLost, SweepResult

TEXT = "measuring one cell at a time"
TASKS = 32
"""Tasks that a sweep on workers is cut into: enough to keep some workers busy to the end, few enough that walking the
FP32 graph once for each costs little."""


def choose_cells(subject: Subject, precisions: Iterable[str], ops: Where | None = None) -> list[Cell]:
    """Return the cells of ``ops`` (default all) in ``precisions`` that can run here, in the order of execution.

    FP32, where asked for, is among them: it costs nothing and is not run. Raises :class:`SelectionError` and
    :class:`PrecisionError` for what is unknown.
    """
    names = [find_precision(name).name for name in precisions]
    possible = subject.planner.option
    return [(op, name) for op in choose_ops(subject, ops) for name in names if possible(op, name).possible]


def choose_ops(subject: Subject, ops: Where | None = None) -> tuple[str, ...]:
    """Return the ids of ``ops`` (default all), in the order of execution; :class:`SelectionError` as ``select``."""
    return tuple(op.id for op in subject.graph.rows) if ops is None else select(subject.graph, ops)


def sweep(
    subject: Subject,
    cells: Iterable[Cell],
    n: int | None = None,
    executor: Any = None,
    progress: Progress | None = None,
    cancel: Any = None,
    partial: Callable[[SweepResult], None] | None = None,
) -> SweepResult:
    """Return the exact cost of each of ``cells`` on the first ``n`` samples (default 128).

    executor: None for this process, an executor of ``concurrent.futures``, or a ``dask.distributed`` Client. The
    numbers are the same wherever they come from, as long as the devices are: batches, waves and threads of an op are.
    partial: is given the result so far, here after each batch (all cells on few samples), on workers whenever some
    cells are done. A cell whose kernel fails is marked, and the others go on. Raises :class:`PrecisionError` for a cell
    that cannot run, :class:`Cancelled`, and :class:`SweepLost`, which holds what was measured, where workers are gone.
    """
    chosen = check_cells(subject, cells)
    extent = Extent(n, progress, cancel).or_first()

    def read(outcomes: Mapping[Change, Outcome]) -> SweepResult:
        return read_result(subject, chosen, outcomes)

    listen = None if partial is None else lambda outcomes: partial(read(outcomes))
    changes: list[Change] = [(cell,) for cell in chosen if cell[1] != "fp32"]
    try:
        return read(measure_changes(subject, changes, extent, executor, listen))
    except _Lost as lost:
        raise SweepLost(str(lost.cause), lost.cause.try_, read(lost.outcomes)) from lost


def interactions(
    subject: Subject,
    pairs: Iterable[tuple[Cell, Cell]],
    n: int | None = None,
    executor: Any = None,
    progress: Progress | None = None,
    cancel: Any = None,
) -> pd.DataFrame:
    """Return what pairs of cells cost together beyond what each costs alone, on the first ``n`` samples (default 128).

    Indexed by the pair (two cells), in the order given, with columns first, second, together (costs) and interaction =
    together - first - second: below 0 where errors cancel. Raises as :func:`sweep` does.
    """
    chosen = list(dict.fromkeys(pairs))
    for first, second in chosen:
        if first[0] == second[0]:
            raise SelectionError(f"measure {first} with {second}", "they are one op", "cells of two different ops")
    singles = check_cells(subject, (cell for pair in chosen for cell in pair))
    extent = Extent(n, progress, cancel).or_first()
    changes: list[Change] = [*((cell,) for cell in singles), *chosen]
    try:
        found = measure_changes(subject, changes, extent, executor)
    except _Lost as lost:
        result = read_result(subject, singles, lost.outcomes)
        raise SweepLost(str(lost.cause), lost.cause.try_, result) from lost
    cost = {change: ExactCost.of(outcome).cost for change, outcome in found.items()}
    rows = [(cost[(a,)], cost[(b,)], cost[a, b], cost[a, b] - cost[(a,)] - cost[(b,)]) for a, b in chosen]
    names = ["one", "other"]
    index = (
        pd.MultiIndex.from_tuples(chosen, names=names) if chosen else pd.MultiIndex.from_arrays([[], []], names=names)
    )
    return pd.DataFrame(rows, columns=["first", "second", "together", "interaction"], index=index, dtype=float)


def check_cells(subject: Subject, cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells, each once. Raises :class:`PrecisionError` where one cannot run here."""
    chosen = list(dict.fromkeys((op, find_precision(name).name) for op, name in cells))
    for op, name in chosen:
        (found,) = select(subject.graph, [op])
        option = subject.planner.option(found, name)
        if not option.possible:
            able = [other for other in ("bf16", "fp16", "int8") if subject.planner.option(op, other).possible]
            raise PrecisionError(f"measure {op!r} in {name!r}", option.reason, f"one of {', '.join(able) or 'fp32'}")
    return chosen


def read_result(subject: Subject, cells: Sequence[Cell], outcomes: Mapping[Change, Outcome]) -> SweepResult:
    """Return the cells among ``outcomes`` of which something was measured, in the order of execution."""
    ops, found = {op for op, _ in cells}, {cell: outcomes[(cell,)] for cell in cells if (cell,) in outcomes}
    return SweepResult(
        tuple(op.id for op in subject.graph.rows if op.id in ops),
        tuple(dict.fromkeys(precision for _, precision in cells)),
        "nats" if subject.task.logits else "squared error",
        {cell: ExactCost.of(each) for cell, each in found.items() if each.found.costs.n or each.failure},
    )


class _Lost(Exception):
    """The crew is gone; ``outcomes`` came before."""

    def __init__(self, cause: CrewLost, outcomes: dict[Change, Outcome]) -> None:
        super().__init__(str(cause))
        self.cause, self.outcomes = cause, outcomes


def measure_changes(
    subject: Subject,
    changes: Sequence[Change],
    extent: Extent,
    executor: Any = None,
    listen: Callable[[Mapping[Change, Outcome]], None] | None = None,
) -> dict[Change, Outcome]:
    """Return the outcome of each change; ``listen`` hears of those so far. Raises :class:`_Lost`."""
    if not changes:
        return {}
    bench, n = Bench.of(subject), extent.of(len(subject.samples))
    deal = Deal.of(bench, changes, n, subject.evaluator.replay.budget_bytes, extent.cancel)
    batches = -(-n // subject.samples.batch_size)
    total = len(changes) * batches
    extent.tell(0, total, TEXT)
    found: dict[Change, Outcome] = {}
    try:
        for outcomes, done, even in _outcomes(subject, bench, deal, executor, extent.cancel):
            found |= outcomes
            extent.tell(done, total, TEXT)
            if listen is not None and even:
                listen(dict(found))
    except CrewLost as lost:
        raise _Lost(lost, found) from lost
    return {change: found[change] for change in changes}


def _outcomes(
    subject: Subject, bench: Bench, deal: Deal, executor: Any, cancel: Any
) -> Iterator[tuple[dict[Change, Outcome], int, bool]]:
    """Yield the outcomes that are new, how many runs of one batch are done in all, and whether they are worth a look.

    Here they are after each batch, when all changes of a task have seen the same samples; on workers always.
    """
    batches = -(-deal.n // bench.samples.batch_size)
    done = 0
    if executor is None:
        for part in deal.cut_by_bytes(bench.kernels.budget_bytes / 2):
            for outcomes, even in bench.steps(part.task, part.detours, cancel):
                done += 1
                yield dict(zip(part.task.changes, outcomes, strict=True)) if even else {}, done, even
        return
    tasks = [part.task for part in deal.cut(TASKS)]
    with hire(executor, subject, tasks, cancel) as crew:
        for place, found in collect(crew, tasks, cancel):
            done += len(found) * batches
            yield dict(zip(tasks[place].changes, found, strict=True)), done, True
