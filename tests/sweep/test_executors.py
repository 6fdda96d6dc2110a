"""The same numbers wherever a sweep runs: threads, processes, a Dask cluster; and what happens when workers go."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from explorer.errors import Cancelled, DataError, ExplorerError
from explorer.subject import Subject
from explorer.sweep import SweepLost, SweepResult, choose_cells, cluster, deal, executor_for, places, sweep, work
from explorer.sweep.bench import Bench
from explorer.sweep.deal import Deal
from explorer.sweep.work import Parcel, Work

PRECISIONS = ("bf16", "int8_static", "w4")


@pytest.fixture(scope="module", autouse=True)
def narrow_waves() -> Iterator[None]:
    """So small a model would be three tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deal, "WIDEST", 2)
        yield


@pytest.fixture(scope="module")
def cells(vit: Subject) -> list[tuple[str, str]]:
    return choose_cells(vit, PRECISIONS)


@pytest.fixture(scope="module")
def serial(vit: Subject, cells: list[tuple[str, str]]) -> SweepResult:
    return sweep(vit, cells)


class Elsewhere(Executor):
    """What is given to it goes through bytes both ways, as to a process; ``breaks_after`` so many tasks."""

    def __init__(self, breaks_after: int = 10**6) -> None:
        self.left, self.bytes = breaks_after, 0

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        sent = pickle.dumps((call, given, named))
        self.bytes, self.left = self.bytes + len(sent), self.left - 1
        if self.left < 0:
            future.set_exception(BrokenExecutor("a process died"))
        else:
            there, values, more = pickle.loads(sent)
            future.set_result(pickle.loads(pickle.dumps(there(*values, **more))))
        return future


def test_threads_share_the_model(vit: Subject, cells: list[tuple[str, str]], serial: SweepResult) -> None:
    seen: list[int] = []
    with ThreadPoolExecutor(3) as executor:
        found = sweep(vit, cells, executor=executor, partial=lambda result: seen.append(len(result.cells)))
    assert found.cells == serial.cells
    assert seen == sorted(seen) and len(seen) > 3 and seen[-1] == len(cells)


def test_processes_get_the_model_once(
    vit: Subject, cells: list[tuple[str, str]], serial: SweepResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Bench] = []
    open_ = Work.open

    def count(self: Work) -> Bench:
        opened.append(open_(self))
        return opened[-1]

    monkeypatch.setattr(Work, "open", count)
    executor = Elsewhere()
    assert sweep(vit, cells, executor=executor).cells == serial.cells
    assert len(opened) == 1
    assert opened[0].baseline.graph is not vit.graph and opened[0].kernels is not vit.kernels
    weights = sum(tensor.nbytes for tensor in vit.graph.constants.values())
    assert executor.bytes < 32 * weights, "weights do not travel with each task"


def test_a_graph_survives_the_journey(vit: Subject) -> None:
    task = Deal.of(Bench.of(vit), [(("head/linear", "bf16"),)], 9, 0).waves[0].task
    shipped = Work.of(vit, [task])
    assert shipped.scales == {}, "no static precision is swept"
    assert len(shipped.samples) == 16, "whole batches: what fills a batch up counts in its scales"
    parcel = Parcel.of(shipped)
    assert parcel.key == Parcel.of(shipped).key
    back = pickle.loads(pickle.dumps(parcel)).unpack()
    assert back.graph.ops == vit.graph.ops
    assert set(back.graph.constants) == set(vit.graph.constants)
    assert all(torch.equal(back.graph.constants[name], tensor) for name, tensor in vit.graph.constants.items())
    assert torch.equal(back.samples.inputs[0], vit.samples.inputs[0][:16])
    with pytest.raises(DataError, match=r"this worker cannot read .*nowhere"):
        work.measure(Parcel("elsewhere", parcel.hollow, b"", "/nowhere/at.all"), task)


def test_threads_of_an_op_are_those_of_the_session() -> None:
    before = torch.get_num_threads()
    with work.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_broken_pool_keeps_what_was_measured(vit: Subject, cells: list[tuple[str, str]], serial: SweepResult) -> None:
    with pytest.raises(SweepLost, match=r"lost 3 workers \(a process died\); \d+ cells were measured") as caught:
        sweep(vit, cells, executor=Elsewhere(breaks_after=2))
    kept = caught.value.result.cells
    assert 0 < len(kept) < len(cells)
    assert kept.items() <= dict(serial.cells).items()


def test_a_cancelled_sweep_withdraws_its_tasks(vit: Subject, cells: list[tuple[str, str]]) -> None:
    class Idle(Elsewhere):
        given: ClassVar[list[Future[Any]]] = []

        def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
            self.given.append(Future())
            return self.given[-1]

    cancel = SimpleNamespace(is_set=lambda: bool(Idle.given))
    with pytest.raises(Cancelled):
        sweep(vit, cells, executor=Idle(), cancel=cancel)
    assert Idle.given and all(future.cancelled() for future in Idle.given)


@contextmanager
def local_cluster(workers: int) -> Iterator[tuple[Any, Any]]:
    """A Dask cluster in threads of this process, and its client; ``benchmarks/sweeping.py`` kills processes."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None) as started,  # type: ignore[no-untyped-call]
        Client(started, set_as_default=False) as client,  # type: ignore[no-untyped-call]
    ):
        yield started, client


def test_a_cluster_that_loses_a_worker_finishes_and_one_that_goes_keeps_what_it_had(
    vit: Subject, cells: list[tuple[str, str]], serial: SweepResult
) -> None:
    with local_cluster(3) as (started, client):
        lost: list[str] = []

        def lose(result: SweepResult) -> None:
            if not lost:
                lost.append(started.workers[0].address)
                started.sync(started.workers[0].close, executor_wait=False)

        found = sweep(vit, cells, executor=client, partial=lose)
        assert lost and lost[0] not in client.scheduler_info(n_workers=-1)["workers"]
        assert found.cells == serial.cells
        with pytest.raises(SweepLost, match="connection to the scheduler is closed") as caught:
            sweep(vit, cells, executor=client, partial=lambda result: client.close())
        assert caught.value.result.cells.items() <= dict(serial.cells).items()
        assert caught.value.result.cells


class Scheduler:
    """What a Dask client says of its workers, and what it is asked to do."""

    status = "running"

    def __init__(self, *resources: dict[str, float]) -> None:
        self.workers = {f"tcp://worker-{i}": {"resources": own} for i, own in enumerate(resources)}
        self.asked: dict[str, dict[str, Any]] = {}

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": self.workers}

    def scatter(self, parcel: Any, **named: Any) -> Any:
        self.asked["scatter"] = named
        return SimpleNamespace(status="finished")

    def submit(self, call: Any, *given: Any, **named: Any) -> None:
        self.asked["submit"] = named


def test_only_workers_with_a_gpu_are_used_where_some_have_one() -> None:
    with_gpu, without = Scheduler({}, {"GPU": 1}, {"GPU": 1}), Scheduler({}, {})
    for client in (with_gpu, without):
        cluster.ClusterCrew(client, None).submit(None)  # type: ignore[arg-type]
    assert with_gpu.asked["scatter"]["workers"] == ["tcp://worker-1", "tcp://worker-2"]
    assert with_gpu.asked["submit"]["resources"] == {"GPU": 1}
    assert without.asked["scatter"]["workers"] is None and without.asked["submit"]["resources"] is None


def test_a_cluster_without_workers_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(cluster.CrewLost, match=r"the cluster has no workers for 0\.2 s"):
        cluster.ClusterCrew(Scheduler(), None)  # type: ignore[arg-type]


def test_places_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, vit: Subject, free_port: Any) -> None:
    monkeypatch.setattr(places, "CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(ExplorerError, match="no scheduler answers there"),
        executor_for(None, f"tcp://127.0.0.1:{free_port()}"),
    ):
        pass
    with pytest.raises(ExplorerError, match="at least one"), executor_for(0):
        pass
    with pytest.raises(ExplorerError, match="it is a int"):
        sweep(vit, [("head/linear", "bf16")], executor=7)
    with executor_for() as here:
        assert here is None


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with (
        pytest.raises(ExplorerError, match=r"'distributed' is not installed.*precision-explorer\[cluster\]"),
        executor_for(scheduler="tcp://127.0.0.1:8786"),
    ):
        pass
