"""The one lock under which times are taken, across threads and processes. (Effect: lock file.)"""

from __future__ import annotations

import getpass
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from explorer.errors import Cancelled
from explorer.measure.device import Device

_LOCK = threading.Lock()
POLL_SECONDS = 0.01


@contextmanager
def exclusive(device: Device, cancel: Any = None) -> Iterator[None]:
    """Hold the one lock under which times may be taken on ``device``, across threads and processes of this user.

    The operating system frees it when a process that holds it dies, however it dies. Raises :class:`Cancelled` when
    ``cancel`` (an Event) is set while it waits.
    """
    while not _LOCK.acquire(timeout=POLL_SECONDS):
        _give_up_if(cancel)
    try:
        lock = FileLock(lock_path(device))
        _wait_for(lock, cancel)
        try:
            yield
        finally:
            lock.release()
    finally:
        _LOCK.release()


def lock_path(device: Device) -> Path:
    """Return the lock file of a kind of device; empty, and left in place."""
    return Path(tempfile.gettempdir()) / f"precision-explorer-{getpass.getuser()}-{device.type}.lock"


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
