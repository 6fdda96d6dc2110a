"""Crews: workers of any executor, given tasks, asked for outcomes as they come. (Effect: threads, processes, disk.)"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch

from explorer.errors import Cancelled, ExplorerError
from explorer.subject import Subject
from explorer.sweep import work
from explorer.sweep.bench import Bench, Task
from explorer.sweep.record import Outcome
from explorer.sweep.work import Parcel, Work

Errors = tuple[type[BaseException], ...]
POLL_SECONDS = 0.25
"""How often cancelling and lost workers are looked for while no outcome arrives."""
TRIES = 3
"""How often a task is given out before its loss ends the sweep."""


class CrewLost(Exception):
    """No workers are left; the message says what was found, ``try_`` what would work."""

    def __init__(self, found: str, try_: str) -> None:
        super().__init__(found)
        self.try_ = try_


class Crew(Protocol):
    """Workers that take tasks. ``lost`` are the errors of a future whose worker is gone."""

    lost: Errors

    def submit(self, task: Task) -> Any:
        """Return the future of a task's outcomes."""

    def recover(self) -> None:
        """Make sure that tasks can be submitted again; raise :class:`CrewLost` where they cannot."""

    def check(self) -> None:
        """Raise :class:`CrewLost` where nobody is left who could finish what was submitted."""

    def withdraw(self, futures: list[Any]) -> None:
        """Let go of what was submitted and has not begun."""


def collect(crew: Crew, tasks: list[Task], cancel: Any) -> Iterator[tuple[int, list[Outcome]]]:
    """Yield the outcomes of each task with its place, as they come; a task whose worker was lost is given out again.

    What has not begun is withdrawn at the end, however it comes. Raises :class:`CrewLost`, :class:`Cancelled`.
    """
    stirred = threading.Event()
    waiting: dict[Any, int] = {}
    tries: Counter[int] = Counter()

    def give(place: int) -> None:
        future = crew.submit(tasks[place])
        waiting[future] = place
        future.add_done_callback(lambda _: stirred.set())

    try:
        for place in range(len(tasks)):
            give(place)
        while waiting:
            if cancel is not None and cancel.is_set():
                raise Cancelled("sweep the cells")
            if not stirred.wait(POLL_SECONDS):
                crew.check()
            stirred.clear()
            for future in [future for future in waiting if future.done()]:
                place = waiting.pop(future)
                try:
                    yield place, future.result()
                except crew.lost as error:
                    tries[place] += 1
                    if tries[place] >= TRIES:
                        raise CrewLost(f"the same cells lost {TRIES} workers ({error})", "fewer samples") from error
                    crew.recover()
                    give(place)
    finally:
        crew.withdraw(list(waiting))


class ThreadCrew:
    """Threads of this process: they share the model and the packed weights."""

    lost: Errors = ()

    def __init__(self, executor: Executor, bench: Bench, cancel: Any) -> None:
        self._executor, self._bench, self._cancel = executor, bench, cancel
        self._threads = torch.get_num_threads()

    def submit(self, task: Task) -> Future[list[Outcome]]:
        return self._executor.submit(self._measure, task)

    def recover(self) -> None: ...

    def check(self) -> None: ...

    def withdraw(self, futures: list[Any]) -> None:
        for future in futures:
            future.cancel()

    def _measure(self, task: Task) -> list[Outcome]:
        with work.threads(self._threads):
            return self._bench.measure(task, cancel=self._cancel)


class ProcessCrew:
    """Processes of this machine: each opens the model from one file, once, and makes its own kernels."""

    lost: Errors = (BrokenExecutor, CancelledError)

    def __init__(self, executor: Executor, parcel: Parcel) -> None:
        self._executor, self._parcel = executor, parcel

    def submit(self, task: Task) -> Future[list[Outcome]]:
        try:
            return self._executor.submit(work.measure, self._parcel, task)
        except BrokenExecutor as error:
            raise CrewLost(
                f"the pool is broken ({error})", "a new pool, of fewer processes if memory ran out"
            ) from error

    def recover(self) -> None: ...

    def check(self) -> None: ...

    def withdraw(self, futures: list[Any]) -> None:
        for future in futures:
            future.cancel()


@contextmanager
def hire(executor: Any, subject: Subject, tasks: list[Task], cancel: Any) -> Iterator[Crew]:
    """Yield the crew of an executor: any of ``concurrent.futures``, or a Dask client.

    Raises :class:`ExplorerError` for a pool of forked processes: they wait for ever for this one's threads.
    """
    _refuse_forks(executor)
    if isinstance(executor, ThreadPoolExecutor):
        yield ThreadCrew(executor, Bench.of(subject), cancel)
    elif isinstance(executor, Executor):
        with TemporaryDirectory(prefix="explorer-sweep-") as folder:
            yield ProcessCrew(executor, Parcel.of(Work.of(subject, tasks)).in_file(Path(folder)))
    else:
        from explorer.sweep.cluster import hire_cluster

        with hire_cluster(executor, lambda: Parcel.of(Work.of(subject, tasks))) as crew:
            yield crew


def _refuse_forks(executor: Any) -> None:
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and context is not None and context.get_start_method() == "fork":
        found = "its processes are forks of this one, and would wait for ever for threads that compute here"
        spawn = "ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn'))"
        raise ExplorerError("sweep on an executor", found, spawn)
