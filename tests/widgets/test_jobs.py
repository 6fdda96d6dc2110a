"""The worker: latest wins, cancel, errors out, and one thread for whatever touches the page."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

import explorer as px
from explorer.measure import exclusive, find_device, waited_s
from tests.widgets.conftest import until
from widgets.jobs import BEHIND, Jobs, MainLoop, Overdue, Task


class Ends:
    """Remembers how each task ended."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Exception | None]] = []

    def __call__(self, task: Task, error: Exception | None) -> None:
        self.seen.append((task.name, error))


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def jobs(ends: Ends) -> Jobs:
    return Jobs(MainLoop(), ends)


def test_work_beyond_the_limit_is_cancelled_and_says_why(ends: Ends) -> None:
    jobs = Jobs(MainLoop(), ends, limit_s=0.02)
    jobs.submit("search", lambda task: task.cancel.wait(10) and None)
    assert jobs.wait(5)
    jobs.submit("measure", lambda task: None)
    assert jobs.wait(5)
    (name, error), (_, none) = ends.seen
    assert (name, type(error), none) == ("search", Overdue, None)
    assert "stopped after 0.02 s" in str(error)


def test_waiting_for_timings_of_others_is_not_counted_as_work(ends: Ends) -> None:
    jobs, limit_s, cpu = Jobs(MainLoop(), ends, limit_s=0.3), 0.3, find_device("cpu")
    workers: list[threading.Thread] = []

    def wait(task: Task) -> None:
        workers.append(threading.current_thread())
        with exclusive(cpu, task.cancel):
            pass

    def wait_and_work(task: Task) -> None:
        wait(task)
        assert task.cancel.wait(10)

    for name, work in (("waits", wait), ("waits, then works for too long", wait_and_work)):
        with exclusive(cpu):
            before = waited_s(workers[0]) if workers else 0.0
            jobs.submit(name, work)
            until(lambda before=before: workers and waited_s(workers[0]) - before > 3 * limit_s)
        assert jobs.wait(10)
    assert [(name, type(error)) for name, error in ends.seen] == [
        ("waits", type(None)),
        ("waits, then works for too long", Overdue),
    ]


def test_work_runs_off_the_calling_thread(jobs: Jobs, ends: Ends) -> None:
    where: list[int] = []
    jobs.submit("a", lambda task: where.append(threading.get_ident()))
    assert jobs.wait(5)
    assert where != [threading.get_ident()]
    assert ends.seen == [("a", None)]


def test_the_latest_cancels_what_runs_and_replaces_what_waits(jobs: Jobs) -> None:
    ran: list[str] = []
    started = threading.Event()

    def long(task: Task) -> None:
        started.set()
        task.cancel.wait(10)
        ran.append("long cancelled")

    jobs.submit("long", long)
    assert started.wait(5)
    never = jobs.submit("never", lambda task: ran.append("never"))
    jobs.submit("last", lambda task: ran.append("last"))
    assert jobs.wait(5)
    assert ran == ["long cancelled", "last"]
    assert never.cancel.is_set()


def test_a_worker_without_work_rests_once_until_there_is_some(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("widgets.jobs.REST_S", 0.01)
    rests: list[int] = []

    def rest() -> None:
        rests.append(threading.get_ident())
        raise MemoryError("which the worker outlives")

    jobs = Jobs(MainLoop(), ends, rest=rest)
    for asked in (1, 2):
        where: list[int] = []
        jobs.submit("a", lambda task, where=where: where.append(threading.get_ident()))
        until(lambda asked=asked: len(rests) == asked)
        assert where == [rests[-1]]
        assert not threading.Event().wait(0.05) and len(rests) == asked
    assert ends.seen == [("a", None)] * 2


def test_cancel_stops_running_and_waiting_work(jobs: Jobs) -> None:
    started = threading.Event()

    def long(task: Task) -> None:
        started.set()
        assert task.cancel.wait(10)
        raise px.Cancelled("measure")

    jobs.submit("long", long)
    assert started.wait(5)
    assert jobs.cancel()
    assert jobs.wait(5)
    assert not jobs.cancel()


def test_a_failure_is_handed_over_and_the_worker_lives_on(
    jobs: Jobs, ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(task: Task) -> None:
        raise RuntimeError("no such kernel")

    jobs.submit("bad", fail)
    assert jobs.wait(5)
    jobs.submit("good", lambda task: None)
    assert jobs.wait(5)
    assert [name for name, _ in ends.seen] == ["bad", "good"]
    assert str(ends.seen[0][1]) == "no such kernel"
    assert "no such kernel" in caplog.text


def test_posts_of_a_cancelled_task_are_dropped() -> None:
    task, seen = Task("a", MainLoop()), []
    task.post(lambda: seen.append(1))
    task.cancel.set()
    task.post(lambda: seen.append(2))
    assert seen == [1]


def test_progress_is_thinned_per_topic() -> None:
    task, seen = Task("a", MainLoop()), []
    for number in range(1000):
        task.post_some("one", lambda number=number: seen.append(("one", number)))
    task.post_some("two", lambda: seen.append(("two", 0)))
    assert seen[0] == ("one", 0)
    assert ("two", 0) in seen
    assert len(seen) < 50


def test_every_callback_reaches_the_loop_that_made_it() -> None:
    async def run() -> set[int]:
        main, threads = MainLoop(), set()
        done = asyncio.Event()
        main.call(lambda: threads.add(threading.get_ident()))
        worker = threading.Thread(target=lambda: main.call(lambda: (threads.add(threading.get_ident()), done.set())))
        worker.start()
        await asyncio.wait_for(done.wait(), 5)
        worker.join()
        return threads

    assert asyncio.run(run()) == {threading.get_ident()}


def test_after_its_loop_has_closed_a_callback_still_runs() -> None:
    async def make() -> MainLoop:
        return MainLoop()

    main, seen = asyncio.run(make()), []
    main.call(lambda: seen.append(1))
    assert seen == [1]


def test_superseded_tasks_end_without_news(jobs: Jobs) -> None:
    release = threading.Event()
    first = jobs.submit("first", lambda task: release.wait(5))
    until(lambda: not jobs.superseded(first))
    second = jobs.submit("second", lambda task: None)
    assert jobs.superseded(first)
    release.set()
    assert jobs.wait(5)
    assert not jobs.superseded(second)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_work_waits_for_a_core_behind_what_answers(jobs: Jobs, ends: Ends) -> None:
    seen: list[int] = []

    def look(task: Task) -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    async def on_a_page() -> None:
        page = Jobs(MainLoop(), ends)
        page.submit("look", look)
        await asyncio.to_thread(page.wait, 5)

    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    asyncio.run(on_a_page())
    jobs.submit("look, in a script that answers nobody", look)
    assert jobs.wait(5)
    assert seen == [min(mine + BEHIND, 19), mine]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine
