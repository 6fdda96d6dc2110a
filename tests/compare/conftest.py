"""Sessions on small models, whose subjects are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.recipe import Recipe
from explorer.subject import Subject
from tests.engine.conftest import build_cnn, build_llama, build_vit, vit_data

Opened = tuple[Subject, Callable[..., Recipe]]


def open_subject(model: nn.Module, x: Tensor, y: Tensor | None, task: Any, store: Any, batch_size: int = 8) -> Opened:
    """A subject, and a function that gives recipes of it: ``recipe({"kind:linear": "int8"})``, the rest in FP32."""
    session = px.open(
        model.eval(), inputs=x[:2], data=(x, y), task=task, device="cpu", batch_size=batch_size, store=store
    )

    def recipe(choices: dict[str, str]) -> Recipe:
        session.reset()
        for where, precision in choices.items():
            session.set(where, precision)
        return session.recipe

    return session.subject, recipe


@pytest.fixture
def open_model(tmp_path: Any) -> Callable[..., Opened]:
    """Open a test's own model: ``open_model(model, x, y, task)``."""

    def open_(model: nn.Module, x: Tensor, y: Tensor | None = None, task: Any = "regression") -> Opened:
        if y is None:
            with torch.no_grad():
                y = model.eval()(x)
        return open_subject(model, x, y, task, tmp_path / "trials.sqlite")

    return open_


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """21 samples in batches of 8: the last one is filled up."""
    return open_subject(build_vit(), *vit_data(21), "classification", tmp_path_factory.mktemp("vit") / "t.sqlite")


@pytest.fixture(scope="session")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(10, 3, 9, 7, generator=generator), torch.randint(0, 6, (10,), generator=generator)
    return open_subject(build_cnn(), x, y, "classification", tmp_path_factory.mktemp("cnn") / "t.sqlite")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """11 sequences of 9 tokens."""
    generator = torch.Generator().manual_seed(4)
    x, y = (torch.randint(0, 17, (11, 9), generator=generator) for _ in range(2))
    return open_subject(build_llama(), x, y, "causal-lm", tmp_path_factory.mktemp("llama") / "t.sqlite")
