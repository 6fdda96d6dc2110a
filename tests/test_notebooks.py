"""The workshop notebooks run from top to bottom in a kernel of their own, and are kept without their outputs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

SECONDS = 90
"""A cell imports torch and compiles a loop, on two cores that other tests share."""
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


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_from_top_to_bottom(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.fspath(root))
    notebook = read(root, name)
    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": os.fspath(root / "notebooks")}})
    client.execute()
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
