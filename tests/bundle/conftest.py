"""One exploration of a small model, saved once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import explorer as px
from tests.widgets.small import open_small


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session that measured two recipes, looked at ranges and errors, predicted a map and searched."""
    session = open_small(tmp_path_factory.mktemp("explored") / "trials.sqlite")
    session.evaluate()
    session.latency(seconds=0.02)
    session.set("kind:linear", "int8")
    session.evaluate()
    session.latency(seconds=0.02)
    session.range_set()
    session.search("bits", precisions=["fp32", "bf16", "int8"])
    session.boundaries()
    session.culprits(k=2)
    session.diagnose()
    session.errors()
    session.compare(view="cumulative")
    session.first_nonfinite()
    return session


@pytest.fixture(scope="session")
def saved(explored: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = explored.save(tmp_path_factory.mktemp("saved") / "small.pxb")
    return path


@pytest.fixture
def recorded(saved: Path) -> px.Recorded:
    return px.load(saved)
