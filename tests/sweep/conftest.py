"""Small models whose cells are swept, and what brute force finds of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.run import Executor
from explorer.subject import Subject
from explorer.sweep.bench import Bench
from explorer.sweep.record import Change
from tests.compare.conftest import open_subject
from tests.engine.conftest import build_cnn, build_vit, vit_data

Force = Callable[[Subject, Change, int], float]


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """21 samples in batches of 8: the last one is filled up."""
    return open_subject(build_vit(), *vit_data(21), "classification", tmp_path_factory.mktemp("vit") / "t.sqlite")[0]


@pytest.fixture(scope="session")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(10, 3, 9, 7, generator=generator), torch.randint(0, 6, (10,), generator=generator)
    return open_subject(build_cnn(), x, y, "classification", tmp_path_factory.mktemp("cnn") / "t.sqlite")[0]


@pytest.fixture
def open_model(tmp_path: Any) -> Callable[[nn.Module, Tensor], Subject]:
    """Open a test's own model of [n, ...] to [n, classes], in batches of 4."""

    def open_(model: nn.Module, x: Tensor) -> Subject:
        with torch.no_grad():
            y = model.eval()(x).argmax(-1)
        return open_subject(model, x, y, "classification", tmp_path / "trials.sqlite", batch_size=4)[0]

    return open_


@pytest.fixture(scope="session")
def by_force() -> Force:
    """The cost of a change from whole runs of its plan and of FP32's, with nothing shared."""

    def find(subject: Subject, change: Change, n: int) -> float:
        costs = []
        plan = Bench.of(subject).plan(change)
        for inputs, count in subject.samples.first(n):
            values = dict(zip(subject.graph.inputs, inputs, strict=True))
            wanted, given = (
                Executor(each, subject.kernels).run(dict(values))[:count].double() for each in (subject.baseline, plan)
            )
            p, q = wanted.log_softmax(-1), given.log_softmax(-1)
            kl = (p.exp() * (p - q)).sum(-1) if subject.task.logits else (given - wanted).square().sum(-1)
            costs.append(kl.reshape(count, -1).mean(1))
        return float(torch.cat(costs).mean())

    return find
