"""What one visitor of a shared page may use: memory, time, data. (Effect: the environment, the process's limits.)

A server states its limits in the environment of the kernels that it starts (:data:`VARIABLE`); a kernel of one's own
has none, and may read local files and fetch models. Uploads are limited everywhere.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields

from explorer.errors import DataError, ExplorerError

VARIABLE = "EXPLORER_LIMITS"
MIB = 2**20
UPLOADS = {
    ".safetensors": "weights as safetensors",
    ".json": "a recipe as JSON",
    ".npz": "example inputs and data as .npz",
    ".pxb": "a recorded exploration as .pxb",
}
"""What may be uploaded, by the ending of its name: formats that hold numbers and words, and no code."""


@dataclass(frozen=True)
class Limits:
    """What one kernel may use; 0 says that there is no limit."""

    served: bool = False
    """Whether strangers may sit before it: then no local file is read and nothing is fetched by their word."""
    models_from_outside: bool = False
    """Whether strangers may have models of a hub fetched all the same; one's own kernel may always."""
    memory_bytes: int = 0
    job_seconds: float = 0.0
    """How long one job of the page (a measurement, a search, an opening) may run."""
    upload_bytes: int = 256 * MIB
    """The largest file that may be uploaded."""
    recipe_bytes: int = 2 * MIB
    samples: int = 100_000
    """The most samples that uploaded data may hold."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = bool if isinstance(field.default, bool) else (int, float)
            if not isinstance(value, kinds) or isinstance(value, bool) != (kinds is bool) or not 0 <= value < 2**60:
                raise ExplorerError(f"limit {field.name} to {value!r}", "it is no amount", "a number from 0 on")

    def as_text(self) -> str:
        """These limits for the environment of a kernel."""
        return json.dumps(asdict(self))


VISITOR = Limits(served=True, memory_bytes=4096 * MIB, job_seconds=120.0, upload_bytes=50 * MIB, samples=10_000)
"""What ``explorer serve`` grants each visitor unless told otherwise."""


def of_this_kernel(environment: Mapping[str, str] = os.environ) -> Limits:
    """Return the limits that this process was started with; those of one's own kernel where none are stated."""
    stated = environment.get(VARIABLE)
    if not stated:
        return Limits()
    try:
        return Limits(**json.loads(stated))
    except (ValueError, TypeError) as error:
        raise ExplorerError(f"read the limits in {VARIABLE}", f"{stated[:80]!r}: {error}", "explorer serve") from None


def check_upload(name: str, size: int, limits: Limits | None = None) -> str:
    """Return the ending of an uploaded file's name, one of :data:`UPLOADS`; raises ``DataError`` for anything else.

    ``size`` in bytes. The name is only looked at, never used as a path.
    """
    limits = of_this_kernel() if limits is None else limits
    ending = next((ending for ending in UPLOADS if name.lower().endswith(ending)), None)
    if ending is None:
        raise DataError(f"take the file {name[:80]!r}", "it is of no kind that is taken", ", ".join(UPLOADS.values()))
    most = min(limits.recipe_bytes, limits.upload_bytes) if ending == ".json" else limits.upload_bytes
    if size > most:
        found = f"it has {size / MIB:.1f} MiB, and {most / MIB:g} MiB are the most"
        raise DataError(f"take the file {name[:80]!r}", found, "a smaller file, or a notebook of your own")
    return ending


def enforce_memory(limits: Limits) -> None:
    """Have the operating system refuse this process more memory than its limit, for good.

    What is counted is what the process may write to (``RLIMIT_DATA``): shared libraries are not, threads' stacks are.
    An allocation beyond it fails with an error that the page shows; nothing is killed. Where a system has no such
    limit (it is Linux's), nothing happens.
    """
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    if limits.memory_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = limits.memory_bytes if hard == resource.RLIM_INFINITY else min(limits.memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def give_back_memory(*, collect: bool = False) -> None:
    """Give the memory back to the operating system that this process's allocator holds and nothing uses.

    Tensors of a map come and go in sizes that leave a gigabyte of gaps, which glibc keeps for later. Takes a tenth of
    a second or two. With another allocator than glibc's nothing happens. collect: cycles of garbage go first, and what
    is alive stays out of later searches, see :func:`spare_collector`.
    """
    if collect:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def spare_collector() -> None:
    """Leave all that this process holds out of Python's searches for cycles of garbage, until the next call.

    A model of 2,000 ops makes some 900,000 objects; a search among them stops every thread for 200 to 400 ms, in the
    middle of a click or a job. For a kernel that is the page's alone: in a notebook the heap is the user's.
    """
    gc.unfreeze()
    gc.freeze()
