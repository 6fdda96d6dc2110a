"""The one lock under which times are taken, across threads and processes. (Effect: lock file.)"""

from __future__ import annotations

import getpass
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from filelock import FileLock, Timeout

from explorer.errors import Cancelled
from explorer.measure.device import Device

_LOCK = threading.Lock()
_MINE = threading.local()
"""Of each thread, as ``kinds``: the kinds of device whose lock it holds."""
POLL_SECONDS = 0.01
WORTH_TELLING_S = 1.0
"""A wait of so many seconds is told of."""
WAITING = "waiting for another timing"


@dataclass
class _Waits:
    """How long a thread has waited for the lock: the seconds of waits that are over, and since when it waits now."""

    over_s: float = 0.0
    since: float | None = None


_WAITS: WeakKeyDictionary[threading.Thread, _Waits] = WeakKeyDictionary()
_TABLE = threading.Lock()
"""Over what ``_WAITS`` holds: one thread writes it, another reads."""


@contextmanager
def exclusive(device: Device, cancel: Any = None, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the one lock under which times may be taken on ``device``, across threads and processes of this user.

    A thread that holds it already goes on: what it times inside is its own. The operating system frees the lock when a
    process that holds it dies, however it dies. ``tell`` is called once, with :data:`WAITING`, where the wait takes
    longer than a second. Raises :class:`Cancelled` when ``cancel`` (an Event) is set while it waits.
    """
    with holding(device.type, cancel, tell):
        yield


@contextmanager
def holding(kind: str, cancel: Any = None, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock of a kind of device, such as ``cuda``: see :func:`exclusive`."""
    mine: set[str] = _MINE.__dict__.setdefault("kinds", set())
    if kind in mine:
        yield
        return
    patience = _Patience(cancel, tell)
    with nullcontext() if mine else _among_threads(patience):
        lock = FileLock(_path(kind))
        with _waiting():
            _wait_for(lock, patience)
        mine.add(kind)
        try:
            yield
        finally:
            mine.discard(kind)
            lock.release()


def waited_s(thread: threading.Thread) -> float:
    """Return how many seconds a thread has waited for the lock so far, its present wait included."""
    with _TABLE:
        waits = _WAITS.get(thread, _Waits())
        now = 0.0 if waits.since is None else time.monotonic() - waits.since
        return waits.over_s + now


@contextmanager
def _waiting() -> Iterator[None]:
    """Counts the time inside as waited by this thread."""
    with _TABLE:
        waits = _WAITS.setdefault(threading.current_thread(), _Waits())
        waits.since = start = time.monotonic()
    try:
        yield
    finally:
        with _TABLE:
            waits.over_s += time.monotonic() - start
            waits.since = None


class _Patience:
    """Of one wait: ends it when it was cancelled, and tells of it once where it is long."""

    def __init__(self, cancel: Any, tell: Callable[[str], None] | None) -> None:
        self._cancel, self._tell, self._start = cancel, tell, time.monotonic()

    def look(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("wait for another timing on this device")
        if self._tell is not None and time.monotonic() - self._start > WORTH_TELLING_S:
            self._tell(WAITING)
            self._tell = None


@contextmanager
def _among_threads(patience: _Patience) -> Iterator[None]:
    with _waiting():
        while not _LOCK.acquire(timeout=POLL_SECONDS):
            patience.look()
    try:
        yield
    finally:
        _LOCK.release()


def lock_path(device: Device) -> Path:
    """Return the lock file of a kind of device; empty, and left in place."""
    return _path(device.type)


def _path(kind: str) -> Path:
    user = getattr(os, "getuid", getpass.getuser)()  # in a container a user may have a number and no name
    return Path(tempfile.gettempdir()) / f"precision-explorer-{user}-{kind}.lock"


def _wait_for(lock: FileLock, patience: _Patience) -> None:
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            patience.look()
            time.sleep(POLL_SECONDS)
