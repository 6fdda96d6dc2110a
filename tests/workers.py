"""How workers share the suite (``pytest -n 2``): what stays together, what begins first, what is each worker's own.

Effect: ``settle_in`` sets the environment of a worker, and so of the servers that it starts.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

BROWSING = ("tests/browser", "tests/test_notebooks.py")
"""What drives a browser; one worker runs all of it, for two browsers at once, each with a server, would be too much for
two cores."""
LONGEST = (*BROWSING, "tests/test_cli.py", "tests/engine", "tests/search", "tests/serving")
"""Where the long files are: with the longest begun last, one worker would end long after the other."""
CACHES = Path(__file__).resolve().parents[1] / ".pytest_cache" / "numba"


class Collected(Protocol):
    """A test that was found."""

    nodeid: str


Item = TypeVar("Item", bound=Collected)


def unit_of(nodeid: str) -> str:
    """Return what a test is handed to a worker with: its file, whose tests share fixtures, or all that browses."""
    return BROWSING[0] if any(_lies_in(nodeid, place) for place in BROWSING) else nodeid.split("::", 1)[0]


def longest_first(tests: Sequence[Item]) -> list[Item]:
    """Return the tests with those of long files before all others; else the order stays."""

    def rank(test: Item) -> int:
        return next((at for at, place in enumerate(LONGEST) if _lies_in(test.nodeid, place)), len(LONGEST))

    return sorted(tests, key=rank)


def settle_in(worker: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Give the worker of this name one thread for each op, and a cache of compiled loops that no other one writes.

    On two cores, two workers with two threads each would wait for each other; tests of threads ask for theirs. Numba
    writes an index and then what it points to, so that two processes that compile two versions of one loop at once can
    each find the other's.
    """
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment.setdefault("NUMBA_CACHE_DIR", str(CACHES / worker))


def _lies_in(nodeid: str, place: str) -> bool:
    return PurePosixPath(nodeid.split("::", 1)[0]).is_relative_to(place)
