"""A page's state around the fake session, and a clean end for its worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.widgets.fake import FakeSession
from tests.widgets.small import open_small
from widgets import messages
from widgets.sharing import state_of
from widgets.state import PageState

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real session on a small model; a test that changes its recipe starts with ``reset()``."""
    return open_small(tmp_path_factory.mktemp("store") / "trials.sqlite")


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def state(session: FakeSession) -> Iterator[PageState]:
    state = state_of(session)
    assert messages.answer(state, {"id": 0, "type": "hello"})["ok"]
    assert state.wait(10)
    session.calls.clear()
    yield state
    session.gate.set()
    state.jobs.cancel()
    assert state.wait(10)


@pytest.fixture
def ask(state: PageState) -> Ask:
    """Sends a message as a browser would and returns the reply."""

    def send(kind: str, /, **fields: Any) -> dict[str, Any]:
        return messages.answer(state, {"id": "t-1", "type": kind, **fields})

    return send


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits for a condition, looked at between the page's callbacks and never in the middle of one."""
    import threading
    import time

    from widgets.jobs import MainLoop

    main, seen = MainLoop(), False
    pause, end = threading.Event(), time.monotonic() + seconds

    def look() -> None:
        nonlocal seen
        seen = bool(condition())

    main.call(look)
    while not seen:
        assert time.monotonic() < end, "the condition did not come true in time"
        pause.wait(0.002)
        main.call(look)
