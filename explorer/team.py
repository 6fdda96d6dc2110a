# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator"
"""Work shared among torch's own OpenMP threads. Importing this file imports Numba. (Effect: threads, a lock file.)

A pool of Numba's would share the cores with torch's, and each would wait for the other's threads to stop spinning. So
the work is compiled as a C function, and torch's OpenMP library calls it in its team: every thread claims one share
after another until there is none.
"""

from __future__ import annotations

import ctypes
import getpass
import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from llvmlite import ir
from numba import cfunc, config, types
from numba.core import cgutils
from numba.extending import intrinsic

CALL = types.void(types.CPointer(types.int64))
"""The signature of work: it gets a block of INT64, the first of which counts the shares that were claimed."""


@intrinsic
def claim(typing_context: Any, call: Any) -> Any:
    """Take the number of the next share of a call, atomically."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.CPointer(types.int64)), generate


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """An address held as an integer, as a pointer: Numba's documented way into its code generator."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def compiled(function: Any) -> Any:
    """Return ``function`` of a block, compiled as work for :func:`run`, or read from Numba's cache.

    One process at a time: Numba numbers what it compiles of a function in an index that it reads and writes without a
    lock, so that of two kernels that start together one could find the other's code under its own number. The second
    waits, and reads what the first compiled.
    """
    with FileLock(_lock_path()):
        return cfunc(CALL, cache=True)(function)


def _lock_path() -> Path:
    """One file for each cache that processes may share."""
    if config.CACHE_DIR:
        folder = Path(config.CACHE_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "compiling.lock"
    user = getattr(os, "getuid", getpass.getuser)()  # in a container a user may have a number and no name
    return Path(tempfile.gettempdir()) / f"precision-explorer-{user}-compiling.lock"


def digest(*files: Path) -> int:
    """60 bits that tell what is in the files.

    Numba's cache sees the text of one function only; one that encloses the digest of all files whose code it contains
    is compiled anew when they change.
    """
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return int(found.hexdigest()[:15], 16)


def run(work: Any, threads: int, *call: int) -> None:
    """Call the compiled ``work`` in so many threads of torch's team, or alone where there is no such team."""
    start(work, threads, (ctypes.c_int64 * (1 + len(call)))(0, *call))


def start(work: Any, threads: int, block: Any) -> None:
    """Do what :func:`run` does with a block of INT64 that is filled in already, its first one with 0."""
    team = _openmp()
    if team is None or threads == 1:
        _alone(work.address)(block)
    else:
        team.GOMP_parallel(work.address, block, threads, 0)


@cache
def _alone(address: int) -> Any:
    """The compiled function at this address."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)


@cache
def _openmp() -> Any:
    """Return the OpenMP library that torch has loaded, where it is GNU's (Linux), whose binary interface is stable."""
    path = Path(torch.__file__).parent / "lib" / "libgomp.so.1"
    if not path.exists():
        return None
    library = ctypes.CDLL(str(path))
    library.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    library.GOMP_parallel.restype = None
    return library
