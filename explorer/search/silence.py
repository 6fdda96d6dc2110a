"""Keeps what a library's C code prints off standard output. (Effect: the process's standard output.)

HiGHS, as scipy ships it, prints a line of its own debugging now and then ("transformNewIntegerFeasibleSolution"), which
no option turns off; the engine never prints.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
STDOUT = 1


@contextmanager
def silence() -> Iterator[None]:
    """Send what is written to the file descriptor of standard output meanwhile nowhere; where it is closed, nothing."""
    with _lock:
        try:
            kept = os.dup(STDOUT)
        except OSError:
            kept = -1
        if kept < 0:
            yield
            return
        _flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STDOUT)
        try:
            yield
        finally:
            _flush()
            os.dup2(kept, STDOUT)
            os.close(nowhere)
            os.close(kept)


def _flush() -> None:
    """Write out what Python and C have buffered, so that each line goes where it was meant to."""
    if sys.__stdout__ is not None and not sys.__stdout__.closed:
        sys.__stdout__.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
