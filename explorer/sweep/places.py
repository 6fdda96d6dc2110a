"""Where a sweep runs: here, on processes of this machine, or on a cluster. (Effect: processes, network.)"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from explorer.errors import ExplorerError, MissingPackage
from explorer.sweep.cluster import START

CONNECT_SECONDS = 10.0


@contextmanager
def executor_for(workers: int | None = None, scheduler: str | None = None) -> Iterator[Any]:
    """Yield what :func:`explorer.sweep.sweep` takes as its executor: None, a pool of processes, or a Dask client.

    Processes are started anew, not forked: a fork of a process whose threads compute can wait for ever. Raises
    :class:`ExplorerError` for less than one process, and where no scheduler answers; :class:`MissingPackage`.
    """
    if scheduler is not None:
        with connect(scheduler) as client:
            yield client
    elif workers is not None:
        if workers < 1:
            raise ExplorerError(f"sweep on {workers} processes", "there must be at least one", "2 processes")
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    else:
        yield None


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """Yield a client of the scheduler at ``address``. Raises :class:`ExplorerError` for what is no address, and where
    none answers."""
    asked = f"connect to the scheduler {address!r}"
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingPackage(asked, "distributed", "cluster") from error
    _refuse_malformed(address, asked)
    try:
        client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ExplorerError(asked, f"no scheduler answers there within {CONNECT_SECONDS:g} s", START) from error
    with client:
        yield client


def _refuse_malformed(address: str, asked: str) -> None:
    """Refuse what is no address before there is a client: one that failed on it waits in vain when it is closed."""
    from distributed.comm.addressing import get_address_host_port, parse_address
    from distributed.security import Security

    try:
        get_address_host_port(address)
    except ValueError as error:
        raise ExplorerError(asked, f"that is no address of one: {error}", "tcp://<host>:8786") from error
    scheme, _ = parse_address(address)
    if scheme in ("tls", "wss") and Security().get_connection_args("client")["ssl_context"] is None:  # type: ignore[no-untyped-call]
        found = "it asks for TLS, and Dask is given no certificate here"
        raise ExplorerError(asked, found, "tcp://<host>:8786, or certificates in distributed.comm.tls of its settings")
