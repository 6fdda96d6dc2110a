"""The exact sweep on bundled models: against naive brute force, by width of its waves, and on Dask workers of which one
is killed.

`python -m benchmarks.sweeping`. Brute force runs the whole model once for each cell and batch; both times are of the
same cells, samples and kernels, packed before, in turn.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import explorer as px
from benchmarks.record import note, tell
from explorer.compare.runs import cost_by_sample
from explorer.run import Executor
from explorer.subject import Subject
from explorer.sweep import SweepResult, choose_cells, sweep
from explorer.sweep.bench import Bench
from explorer.sweep.deal import Deal
from explorer.sweep.record import Cell

PRECISIONS = ("bf16", "int8", "int8_static", "w4")
MODELS = ("adder-gpt", "digits-cnn", "digits-vit")
N = 256
LARGEST_RATIO = 0.75
"""What follows an op is half of a model on average, and the op itself runs for each cell: more is a fault."""
WIDTHS = (1, 2, 4, 8)
PAIRED = 24
"""Cells whose waves are compared by width, spread over the model."""


def main() -> None:
    """Measure the three bundled models, then a cluster on the quickest of them."""
    subjects = {name: px.open(name, device="cpu").subject for name in MODELS}
    for name, subject in subjects.items():
        _against_force(name, subject)
        _by_width(name, subject)
    _on_workers("adder-gpt", subjects["adder-gpt"])


def _against_force(name: str, subject: Subject) -> None:
    cells = _spread(choose_cells(subject, PRECISIONS), 2 * PAIRED)
    sweep(subject, cells, 1)
    swept, result = _timed(lambda: sweep(subject, cells, N))
    forced, costs = _timed(lambda: _force(subject, cells))
    ratio = swept / forced
    tell(
        f"exact sweep of {name}, of brute force", ratio, "x", f"<= {LARGEST_RATIO}", ratio <= LARGEST_RATIO,
        cells=len(cells), samples=N, seconds=round(swept, 3), seconds_by_force=round(forced, 3),
    )  # fmt: skip
    apart = max(_apart(costs[cell], found.cost) for cell, found in result.cells.items())
    tell(f"exact sweep of {name}, apart from brute force", apart, "of the cost", "<= 1e-4", apart <= 1e-4)


def _apart(a: float, b: float) -> float:
    """The relative difference; costs below 1e-11 are rounding of FP32 sums."""
    return abs(a - b) / max(a, b, 1e-7)


def _force(subject: Subject, cells: list[Cell]) -> dict[Cell, float]:
    """Brute force: the whole model once for each cell and batch, and once in FP32 for each batch."""
    batches = [(dict(zip(subject.graph.inputs, x, strict=True)), count) for x, count in subject.samples.first(N)]
    baseline = Executor(subject.baseline, subject.kernels)
    wanted = [baseline.run(dict(values))[:count] for values, count in batches]
    found = {}
    for cell in cells:
        executor = Executor(Bench.of(subject).plan((cell,)), subject.kernels)
        costs = [
            cost_by_sample(right, executor.run(dict(values))[:count], subject.task.logits).sum()
            for right, (values, count) in zip(wanted, batches, strict=True)
        ]
        found[cell] = float(sum(costs)) / sum(count for _, count in batches)
    return found


def _by_width(name: str, subject: Subject) -> None:
    """Time the same cells in waves of every width; the rule's own choice must be near the best."""
    bench = Bench.of(subject)
    changes = [(cell,) for cell in _spread(choose_cells(subject, PRECISIONS), PAIRED)]
    deal = Deal.of(bench, changes, subject.samples.batch_size, subject.evaluator.replay.budget_bytes)
    (part,) = deal.cut(1)
    stacking = part.task.stacking or Deal.stacking_of(bench)
    tasks = {width: replace(part.task, width=width, stacking=stacking) for width in WIDTHS}
    times: dict[int, list[float]] = {width: [] for width in WIDTHS}
    for _ in range(5):
        for width, task in tasks.items():
            times[width].append(_timed(lambda task=task: bench.measure(task))[0])  # type: ignore[misc]
    best = {width: min(found) for width, found in times.items()}
    chosen = best[part.task.width] / min(best.values())
    tell(
        f"width of waves chosen for {name}, of the best", chosen, "x", "<= 1.15", chosen <= 1.15,
        width=part.task.width, seconds={str(width): round(found, 4) for width, found in best.items()},
        rounding=stacking.rounding, safe_from=stacking.safe_from,
    )  # fmt: skip


def _on_workers(name: str, subject: Subject) -> None:
    """Sweep on four Dask processes, each with its own copy of the model, and kill one after the first results."""
    from distributed import Client, LocalCluster

    cells = choose_cells(subject, PRECISIONS)
    serial_seconds, serial = _timed(lambda: sweep(subject, cells, N))
    cluster: Any = LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=None)  # type: ignore[no-untyped-call]
    client: Any = Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
    with cluster, client:
        sweep(subject, cells, 1, client)
        whole_seconds, whole = _timed(lambda: sweep(subject, cells, N, client))
        killed: list[int] = []

        def kill(result: SweepResult) -> None:
            if not killed:
                killed.append(cluster.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        seconds, found = _timed(lambda: sweep(subject, cells, N, client, partial=kill))
    for words, result in (("four Dask workers", whole), ("four Dask workers, one killed", found)):
        differing = sum(result.cells.get(cell) != cost for cell, cost in serial.cells.items())
        tell(f"cells of {name} that differ on {words}", differing, "cells", "0", differing == 0, cells=len(cells))
    note(
        f"sweep of {name} on four Dask workers", whole_seconds, "s", "main_job.jsonl",
        serial=round(serial_seconds, 3), one_killed=round(seconds, 3), killed=len(killed),
    )  # fmt: skip


def _spread(cells: list[Cell], most: int) -> list[Cell]:
    """At most so many of the cells, evenly spread."""
    step = max(1, len(cells) // most)
    return cells[::step][:most]


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


if __name__ == "__main__":
    main()
