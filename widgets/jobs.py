"""Effects: one background thread for long work, and the way back from any thread to the page's main loop."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress

import explorer as px
from explorer.measure import waited_s

LOG = logging.getLogger("widgets")
EVERY_S = 0.1
SOON_S = 0.01
"""How soon at the earliest a job is looked at again that has nearly worked for as long as it may."""
REST_S = 5.0
"""After so long without work the worker rests."""
END_S = 5.0
"""How long a process that ends waits for what runs to notice."""
BEHIND = 5
"""How much less urgent the worker is than what answers clicks (a nice value). On busy cores a click was answered in
17 ms instead of 37 (medians of turns that alternated); another 5 gained nothing more."""


class MainLoop:
    """Runs callbacks on the event loop that was running where this was made; without one, inline, one at a time.

    JupyterLab hands widget callbacks to subshell threads and the worker has its own thread; whatever touches the
    page's state or a trait comes through ``call``, so that state has one thread only.
    """

    _inline = threading.RLock()
    """Without an event loop the callbacks of all views and workers still take turns, as they would on one."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._thread = threading.get_ident()

    @property
    def answers(self) -> bool:
        """Whether an event loop runs here, which has clicks to answer while a worker computes."""
        return self._loop is not None

    def call(self, run: Callable[[], None]) -> None:
        """Runs ``run`` on the main loop: at once when already there, otherwise soon; without a loop, at once."""
        loop = self._loop
        if loop is None or loop.is_closed():
            with self._inline:
                run()
        elif threading.get_ident() == self._thread:
            run()
        else:
            loop.call_soon_threadsafe(run)


class Overdue(px.ExplorerError):
    """A job took longer than this server grants a visitor."""

    def __init__(self, name: str, limit_s: float) -> None:
        super().__init__(name, f"it was stopped after {limit_s:g} s, the most that this server grants one job", LESS)


LESS = "fewer samples or a smaller model, or a notebook of your own"


class Task:
    """One piece of work: its cancel flag, and its line back to the main loop while it is still wanted.

    ``then`` is called on the main loop after a success that nothing superseded.
    """

    def __init__(self, name: str, main: MainLoop, key: Hashable = None, then: Callable[[], None] | None = None) -> None:
        self.name, self.key, self.then = name, key, then
        self.cancel = threading.Event()
        self.ended = False
        self._main = main
        self._last: dict[str, float] = {}

    def post(self, run: Callable[[], None]) -> None:
        """Runs ``run`` on the main loop, unless by then the task was cancelled or superseded."""
        self._main.call(lambda: None if self.cancel.is_set() else run())

    def post_some(self, topic: str, run: Callable[[], None]) -> None:
        """Like ``post``, at most ten times a second for one topic; the rest is dropped."""
        now = time.monotonic()
        if now - self._last.get(topic, -EVERY_S) >= EVERY_S:
            self._last[topic] = now
            self.post(run)


class Jobs:
    """One worker thread; the latest submission wins: it cancels what runs and replaces what waits.

    ``done(task, error)`` is called on the main loop when a task ends: error is None, ``px.Cancelled`` or the failure.
    ``limit_s``: a task that works for longer is cancelled and ends with ``Overdue``; while it waits for another timing
    on the device it does not work; 0: no limit. ``rest()`` is called in the worker when there was nothing to do for
    some seconds.
    """

    def __init__(
        self,
        main: MainLoop,
        done: Callable[[Task, Exception | None], None],
        limit_s: float = 0.0,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._main = main
        self._done = done
        self._limit_s = limit_s
        self._rest = rest
        self._wake = threading.Condition()
        self._waiting: tuple[Task, Callable[[Task], None]] | None = None
        self._running: Task | None = None
        self._thread: threading.Thread | None = None

    def submit(
        self, name: str, work: Callable[[Task], None], key: Hashable = None, then: Callable[[], None] | None = None
    ) -> Task:
        """Asks for ``work(task)`` in the worker; returns its task at once. ``key``: what it is, for ``busy_with``."""
        task = Task(name, self._main, key, then)
        with self._wake:
            if self._running:
                self._running.cancel.set()
            if self._waiting:
                self._waiting[0].cancel.set()
            self._waiting = (task, work)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="widgets-worker", daemon=True)
                self._thread.start()
                # An interpreter that ends while the worker is in compiled code would abort.
                atexit.register(self.end)
            self._wake.notify_all()
        return task

    def cancel(self) -> bool:
        """Cancels what runs and what waits; True where there was something."""
        with self._wake:
            tasks = [task for task in (self._running, self._waiting[0] if self._waiting else None) if task]
            self._waiting = None
        for task in tasks:
            task.cancel.set()
        return bool(tasks)

    def busy_with(self, key: Hashable) -> bool:
        """Whether the task of this key is the one that runs or waits, and is still wanted."""
        with self._wake:
            task = self._waiting[0] if self._waiting else self._running
            return task is not None and task.key == key and not task.cancel.is_set() and not task.ended

    def superseded(self, task: Task) -> bool:
        """Whether a later task waits already, so that the end of this one is no news."""
        with self._wake:
            later = self._waiting[0] if self._waiting else self._running
            return later is not None and later is not task

    def wait(self, timeout: float = 60.0) -> bool:
        """Blocks until nothing runs or waits; for scripts and tests, not for the main loop."""
        with self._wake:
            return self._wake.wait_for(lambda: self._running is None and self._waiting is None, timeout)

    def end(self) -> None:
        """Cancels all there is and waits for it, for a few seconds at most."""
        self.cancel()
        self.wait(END_S)

    def _loop(self) -> None:
        if self._main.answers:
            _stand_behind()
        while True:
            task, work = self._next()
            error = _run_within(self._limit_s, task, work)
            task.ended = True
            self._main.call(lambda task=task, error=error: self._done(task, error))  # type: ignore[misc]
            with self._wake:
                self._running = None
                self._wake.notify_all()

    def _next(self) -> tuple[Task, Callable[[Task], None]]:
        """Waits for the next task, which runs from now on; rests once while it waits."""
        patience: float | None = REST_S
        while True:
            with self._wake:
                if self._wake.wait_for(lambda: self._waiting is not None, patience):
                    assert self._waiting is not None
                    (task, work), self._waiting = self._waiting, None
                    self._running = task
                    return task, work
            patience = None
            try:
                self._rest()
            except Exception:  # the worker must outlive any failure
                LOG.exception("the worker could not rest")


def _stand_behind() -> None:
    """Makes this thread, and the team of threads that computes for it, wait for a core behind all else in the process.

    Linux gives each thread a priority of its own; elsewhere nothing is done.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            mine = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, mine, min(os.getpriority(os.PRIO_PROCESS, mine) + BEHIND, 19))


def _run_within(limit_s: float, task: Task, work: Callable[[Task], None]) -> Exception | None:
    """Runs the work, cancelled once it has worked for ``limit_s``; what was cancelled for that alone ends with
    ``Overdue``. While it waits for another timing on the device it does not work."""
    if not limit_s:
        return _run(task, work)
    overdue, ended = threading.Event(), threading.Event()
    worker, start = threading.current_thread(), time.monotonic()
    waited_before = waited_s(worker)

    def watch() -> None:
        left = limit_s
        while left > 0:
            if ended.wait(max(left, SOON_S)):
                return
            left = limit_s - (time.monotonic() - start) + (waited_s(worker) - waited_before)
        if not task.cancel.is_set():
            overdue.set()
            task.cancel.set()

    threading.Thread(target=watch, name="widgets-limit", daemon=True).start()
    error = _run(task, work)
    ended.set()
    return Overdue(task.name, limit_s) if overdue.is_set() else error


def _run(task: Task, work: Callable[[Task], None]) -> Exception | None:
    try:
        work(task)
    except px.Cancelled as error:
        return error
    except Exception as error:  # the worker must outlive any failure; the page shows it
        if not isinstance(error, px.ExplorerError):
            LOG.exception("job %r failed", task.name)
        return error
    return None
