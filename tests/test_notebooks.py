"""The workshop notebooks run from top to bottom in a kernel of their own, and are kept without their outputs."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

SECONDS = 180
"""A cell imports torch and compiles a loop, on two cores that another notebook and other tests share."""
AT_ONCE = 2
"""Kernels that run side by side, each on one thread: twice as many threads would be no faster on small models."""
NOTEBOOKS = {"02_formats.ipynb": 6, "03_ranges_and_casts.ipynb": 6, "04_map_and_search.ipynb": 5}
"""Name -> how many views it shows."""


def read(root: Path, name: str) -> Any:
    notebook = nbformat.read(root / "notebooks" / name, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_is_kept_without_outputs(root: Path, name: str) -> None:
    notebook = read(root, name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata["title"]


@pytest.fixture(scope="module")
def executed(root: Path, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Any]]]:
    """Name -> the notebook with its outputs, or the error that stopped it; the longest begins first.

    Those that this run of the tests asks for.
    """
    asked = {item.name for item in request.session.items}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(AT_ONCE) as pool:
        patch.setenv("PYTHONPATH", os.fspath(root))
        patch.setenv("OMP_NUM_THREADS", "1")
        names = [name for name in reversed(NOTEBOOKS) if f"{test_runs_from_top_to_bottom.__name__}[{name}]" in asked]
        yield {name: pool.submit(execute, root, name) for name in names}


def execute(root: Path, name: str) -> Any:
    notebook = read(root, name)
    resources = {"metadata": {"path": os.fspath(root / "notebooks")}}
    asyncio.run(NotebookClient(notebook, timeout=SECONDS, resources=resources).async_execute())
    return notebook


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_from_top_to_bottom(executed: Mapping[str, Future[Any]], name: str) -> None:
    notebook = executed[name].result()
    shown = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in shown), "a cell shows nothing"
    views = [
        output.data
        for cell in shown
        for output in cell.outputs
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    assert len(views) == NOTEBOOKS[name]
    assert messages(notebook) == []


def messages(notebook: Any) -> list[str]:
    """What the widgets of an executed notebook show as errors."""
    states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    texts = [str(state["state"].get("value", "")) for state in states]
    return [re.sub("<[^>]+>", "", text) for text in texts if "role='alert'" in text]
