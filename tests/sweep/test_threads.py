"""Workers that were started in another way: with other threads, as forks, or not at all."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from explorer import cli
from explorer import sweep as sweeping
from explorer.errors import ExplorerError
from explorer.subject import Subject
from explorer.sweep import SweepLost, SweepResult, sweep
from explorer.sweep.bench import Task
from explorer.sweep.work import Parcel, Work, bench_of


def test_a_bench_is_opened_with_the_sessions_threads(vit: Subject) -> None:
    """The fastest of rival kernels is kept by device and threads: another number would choose other kernels."""
    before = torch.get_num_threads()
    work = Work.of(vit, [Task(((("head/linear", "bf16"),),), 8, 1, None)])
    parcel = Parcel.of(replace(work, threads=before + 1))
    bench, count = bench_of(parcel)
    assert bench.planner.device.threads == count == before + 1
    assert bench.planner.device.key == replace(vit.planner.device, threads=before + 1).key
    assert torch.get_num_threads() == before


def test_a_pool_of_forks_is_refused_before_it_hangs(vit: Subject) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool,
        pytest.raises(ExplorerError, match=r"forks of this one.*get_context\('spawn'\)"),
    ):
        sweep(vit, [("head/linear", "bf16")], 8, pool)


def test_the_command_says_that_nothing_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(*given: Any) -> SweepResult:
        raise SweepLost(
            "the cluster has no workers for 30 s", "a cluster with workers", SweepResult((), (), "nats", {})
        )

    monkeypatch.setattr(sweeping, "sweep", lose)
    monkeypatch.setattr(sweeping, "executor_for", lambda *given: nullcontext())
    assert cli.main(["sweep", "digits-cnn", "--ops", "kind:linear", "--precisions", "bf16"]) == 2
    said = capsys.readouterr()
    assert not said.out and "no workers for 30 s; nothing was measured. Try: a cluster with workers." in said.err
