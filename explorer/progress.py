"""Progress of a long call: the caller's own report, or a tqdm bar on a terminal. (Effect: standard error.)"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Progress = Callable[[int, int, str], None]
Item = TypeVar("Item")


@contextmanager
def terminal_progress(progress: Progress | None) -> Iterator[Progress | None]:
    """Yield ``progress``, or where it is None and standard error is a terminal, a function that drives a tqdm bar."""
    if progress is not None or not sys.stderr.isatty():
        yield progress
        return
    from tqdm import tqdm

    with tqdm(total=0, leave=False) as bar:

        def report(done: int, total: int, text: str) -> None:
            bar.total, bar.n, bar.desc = total, done, text
            bar.refresh()

        yield report


def with_progress(items: Sequence[Item], progress: Progress | None, text: str) -> Iterator[Item]:
    """Yield ``items``, reporting before each how many are done."""
    for done, item in enumerate(items):
        if progress is not None:
            progress(done, len(items), text)
        yield item
