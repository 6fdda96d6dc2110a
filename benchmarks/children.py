"""Processes that a benchmark runs in: ended when they take too long, with an own trial store. (Effect: processes.)

The store remembers which kernel was fastest at a problem; a benchmark measures that anew, on the machine as it is now.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

POLITE_SECONDS = 30.0
HOME = "PRECISION_EXPLORER_HOME"


def run(module: str, *arguments: str, seconds: float) -> bool:
    """Run ``python -m benchmarks.<module>`` and return whether it went well; how long it took is printed."""
    start = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *arguments]
    with subprocess.Popen(command) as child:
        try:
            worked = child.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            worked = False
            _end(child)
    told = "done" if worked else "FAILED"
    print(f"-- {' '.join((module, *arguments))}: {told} after {time.perf_counter() - start:.0f} s", flush=True)
    return worked


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process, politely first: it may have started others."""
    child.terminate()
    try:
        child.wait(POLITE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


@contextmanager
def own_store() -> Iterator[None]:
    """Give this process and its children an empty trial store, unless the process that runs it has done so."""
    if "BENCHMARK_STORE" in os.environ:
        yield
        return
    before = os.environ.get(HOME)
    with TemporaryDirectory() as folder:
        os.environ |= {HOME: folder, "BENCHMARK_STORE": folder}
        try:
            yield
        finally:
            del os.environ["BENCHMARK_STORE"], os.environ[HOME]
            if before is not None:
                os.environ[HOME] = before
