"""A worker that was started with another number of threads opens the model as the session has it."""

from __future__ import annotations

from dataclasses import replace

import torch

from explorer.subject import Subject
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
