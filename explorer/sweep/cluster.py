"""A Dask cluster as a crew: the model once per worker, a GPU per task, lost tasks again. (Effect: network, clock.)"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from explorer.errors import ExplorerError
from explorer.sweep import work
from explorer.sweep.bench import Task
from explorer.sweep.crews import Crew, CrewLost, Errors
from explorer.sweep.work import Parcel

PATIENCE_SECONDS = 30.0
"""How long a cluster may be without workers: a nanny starts one anew within a few seconds."""
START = "a cluster with workers: dask scheduler, then dask worker tcp://<scheduler>:8786 on each machine"


class ClusterCrew:
    """The workers of a Dask cluster; where some declare the resource ``GPU``, only these, one GPU for a task."""

    def __init__(self, client: Any, parcel: Parcel) -> None:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError

        self.lost: Errors = (KilledWorker, CancelledError, FutureCancelledError, CommClosedError)
        self._client, self._parcel = client, parcel
        self._since: float | None = None
        self._resources: dict[str, float] | None = None
        self._sent: Any = None
        self.recover()

    def submit(self, task: Task) -> Any:
        return self._client.submit(work.measure, self._sent, task, pure=False, resources=self._resources)

    def recover(self) -> None:
        """Wait for workers and send them the model, which reaches later ones from them."""
        while not self._workers():
            self.check()
            time.sleep(0.1)
        if self._sent is not None and self._sent.status == "finished":
            return
        workers = self._workers()
        gpus = [address for address, facts in workers.items() if facts.get("resources", {}).get("GPU", 0) >= 1]
        self._resources = {"GPU": 1} if gpus else None
        try:
            self._sent = self._client.scatter(self._parcel, workers=gpus or None, broadcast=True, hash=False)
        except (OSError, CancelledError) as error:
            raise CrewLost(f"the workers could not be sent the model ({error})", START) from error

    def check(self) -> None:
        """Raise :class:`CrewLost` where the scheduler is gone, or there have been no workers for a while."""
        if self._client.status in ("closing", "closed"):
            raise CrewLost("the connection to the scheduler is closed", START)
        if self._workers():
            self._since = None
            return
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > PATIENCE_SECONDS:
            what = "has no workers" if self._client.status == "running" else "cannot be reached"
            raise CrewLost(f"the cluster {what} for {PATIENCE_SECONDS:g} s", START)

    def withdraw(self, futures: list[Any]) -> None:
        if self._client.status == "running":
            self._client.cancel(futures)

    def _workers(self) -> Mapping[str, Any]:
        """The workers by address; none while the scheduler cannot be reached."""
        if self._client.status != "running":
            return {}
        try:
            found: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        except OSError:
            return {}
        return found


@contextmanager
def hire_cluster(client: Any, parcel: Callable[[], Parcel]) -> Iterator[Crew]:
    """Yield the workers of a Dask client as a crew. Raises :class:`ExplorerError` for anything else."""
    asked = "sweep on an executor"
    try:
        from distributed import Client
    except ImportError:
        Client = ()  # type: ignore[misc,assignment]  # then this is none
    if not isinstance(client, Client):
        found = f"it is a {type(client).__name__}"
        raise ExplorerError(asked, found, "an executor of concurrent.futures, or a dask.distributed Client")
    if client.asynchronous:
        raise ExplorerError(asked, "this client is asynchronous", "distributed.Client(address), without asynchronous")
    yield ClusterCrew(client, parcel())
