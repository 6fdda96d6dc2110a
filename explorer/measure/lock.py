"""The one lock under which times are taken, across threads and processes. (Effect: lock file.)"""

from __future__ import annotations

import getpass
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from explorer.errors import Cancelled
from explorer.measure.device import Device

_LOCK = threading.Lock()
_MINE = threading.local()
"""Of each thread, as ``kinds``: the kinds of device whose lock it holds."""
POLL_SECONDS = 0.01


@contextmanager
def exclusive(device: Device, cancel: Any = None) -> Iterator[None]:
    """Hold the one lock under which times may be taken on ``device``, across threads and processes of this user.

    A thread that holds it already goes on: what it times inside is its own. The operating system frees the lock when a
    process that holds it dies, however it dies. Raises :class:`Cancelled` when ``cancel`` (an Event) is set while it
    waits.
    """
    with holding(device.type, cancel):
        yield


@contextmanager
def holding(kind: str, cancel: Any = None) -> Iterator[None]:
    """Hold the lock of a kind of device, such as ``cuda``: see :func:`exclusive`."""
    mine: set[str] = _MINE.__dict__.setdefault("kinds", set())
    if kind in mine:
        yield
        return
    with nullcontext() if mine else _among_threads(cancel):
        lock = FileLock(_path(kind))
        _wait_for(lock, cancel)
        mine.add(kind)
        try:
            yield
        finally:
            mine.discard(kind)
            lock.release()


@contextmanager
def _among_threads(cancel: Any) -> Iterator[None]:
    while not _LOCK.acquire(timeout=POLL_SECONDS):
        _give_up_if(cancel)
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


def _wait_for(lock: FileLock, cancel: Any) -> None:
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            _give_up_if(cancel)
            time.sleep(POLL_SECONDS)


def _give_up_if(cancel: Any) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("wait for another timing on this device")
