"""Keeps one line of a library's C code off standard output. (Effect: the process's standard output.)

HiGHS, as scipy ships it, may print a line of its own debugging when it repairs a rounded solution that has continuous
parts; it is a bare ``printf``, which no option turns off, and the engine never prints. Whatever else the process writes
meanwhile, from any thread, is passed on afterwards.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

_lock = threading.Lock()
STDOUT = 1
LINE = b"HighsMipSolverData::transformNewIntegerFeasibleSolution"


@contextmanager
def silence() -> Iterator[None]:
    """Hold back what is written to the file descriptor of standard output, and pass it on without the line.

    Threads take turns. Where standard output is closed, nothing is done.
    """
    with _lock:
        try:
            kept = os.dup(STDOUT)
        except OSError:
            kept = -1
        if kept < 0:
            yield
            return
        with TemporaryFile() as held:
            _flush()
            os.dup2(held.fileno(), STDOUT)
            try:
                yield
            finally:
                _flush()
                os.dup2(kept, STDOUT)
                os.close(kept)
                held.seek(0)
                _write(b"".join(line for line in held.read().splitlines(keepends=True) if not line.startswith(LINE)))


def _write(text: bytes) -> None:
    while text:
        text = text[os.write(STDOUT, text) :]


def _flush() -> None:
    """Write out what Python and C have buffered, so that each line goes where it was meant to."""
    if sys.__stdout__ is not None and not sys.__stdout__.closed:
        sys.__stdout__.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
