"""What goes wrong inside a call that is timed, as an error a user can act on. (Effect: frees what CUDA holds back.)"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch

from explorer.errors import ExplorerError
from explorer.run.lower import Lowered

_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"


class RunError(ExplorerError):
    """A call failed while it was timed; the session is as it was. ``op`` is the op that failed, where it is known."""

    def __init__(self, asked: str, found: str, try_: str, op: str = "") -> None:
        super().__init__(asked, found, try_)
        self.op = op


@contextmanager
def clear_faults(what: str, *lowered: Lowered) -> Iterator[None]:
    """Turn a failure inside into a :class:`RunError` that names the op; the explorer's own errors pass as they are, and
    so does whatever is no failure of a call (KeyboardInterrupt).

    Out of memory, what the failed call held is let go first, so that the next call finds the memory free.
    """
    try:
        yield
    except ExplorerError:
        raise
    except Exception as error:
        op = _failing_op(error.__traceback__, lowered)
        asked = f"{what}, in {op!r}" if op else what
        short = (str(error).splitlines() or [""])[0][:200]
        if _is_out_of_memory(error):
            _let_go(error)
            raise RunError(asked, f"out of memory ({short})", "a smaller batch_size, or fewer samples", op) from None
        raise RunError(asked, f"{type(error).__name__}: {short}", "another precision for this op", op) from error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _CPU_OUT_OF_MEMORY in str(error)


def _let_go(error: Exception) -> None:
    """Drop the tensors that the failed frames hold, and return free blocks to the driver."""
    traceback.clear_frames(error.__traceback__)
    error.__traceback__ = None
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _failing_op(where: TracebackType | None, lowered: tuple[Lowered, ...]) -> str:
    """Return the op of the line of a lowered function at which an error passed, empty where it was elsewhere."""
    lines = {each.function.__code__.co_filename: each.source.splitlines() for each in lowered}
    for frame, number in traceback.walk_tb(where):
        source = lines.get(frame.f_code.co_filename, [])
        if 0 < number <= len(source) and "  # " in source[number - 1]:
            return source[number - 1].split("  # ", 1)[1]
    return ""
