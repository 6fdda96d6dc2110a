"""Small subjects that maps are predicted of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.subject import Subject
from tests.engine.conftest import build_llama, build_vit, vit_data


def open_subject(model: nn.Module, x: Tensor, y: Tensor | None, task: Any, store: Any) -> Subject:
    """A subject in batches of 8."""
    if y is None:
        with torch.no_grad():
            y = model.eval()(x)
    return px.open(model.eval(), inputs=x[:2], data=(x, y), task=task, device="cpu", batch_size=8, store=store).subject


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """21 samples: the last batch is filled up."""
    return open_subject(build_vit(), *vit_data(21), "classification", tmp_path_factory.mktemp("vit") / "t.sqlite")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """11 sequences of 9 tokens."""
    generator = torch.Generator().manual_seed(4)
    x, y = (torch.randint(0, 17, (11, 9), generator=generator) for _ in range(2))
    return open_subject(build_llama(), x, y, "causal-lm", tmp_path_factory.mktemp("llama") / "t.sqlite")
