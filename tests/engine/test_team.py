"""Compiled work: one process at a time writes Numba's cache."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from filelock import FileLock

from explorer import team


def test_what_another_process_compiles_is_waited_for() -> None:
    done = threading.Event()

    def double(call: Any) -> None:
        call[1] = 2 * call[1]

    def compile_() -> None:
        made.append(team.compiled(double))
        done.set()

    made: list[Any] = []
    with FileLock(team._lock_path()):
        waiting = threading.Thread(target=compile_)
        waiting.start()
        assert not done.wait(0.2)
    waiting.join(60)
    block = (ctypes.c_int64 * 2)(0, 21)
    team.start(made[0], 1, block)
    assert block[1] == 42
