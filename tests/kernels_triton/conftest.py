"""The Triton kernels on a GPU where there is one, else under Triton's interpreter on the CPU: the same tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

HAS_GPU = torch.cuda.is_available()
if not HAS_GPU:
    # Triton decides at its import which of the two it is, its own library included.
    if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        raise pytest.UsageError("Triton was imported before its interpreter was chosen: set TRITON_INTERPRET=1")
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def device() -> str:
    """Where the kernels run."""
    return "cuda" if HAS_GPU else "cpu"


@pytest.fixture(autouse=True)
def quiet_arithmetic() -> Iterator[None]:
    """The interpreter computes with NumPy, which warns of an Inf or NaN where a GPU says nothing."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(autouse=True)
def own_numbers() -> None:
    """Every test draws the same numbers, whichever ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def working_interpreter() -> None:
    """Triton 3.6, which torch 2.11 pins, is for machines with a GPU: its interpreter trips over NumPy's scalars."""
    if not HAS_GPU and tuple(map(int, version("triton").split(".")[:2])) < (3, 7):
        pytest.skip(f"no GPU, and the interpreter of Triton {version('triton')} does not work: 3.7 or later is needed")


@pytest.fixture(autouse=True)
def first_launches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no launch is given, take the first candidate: compiling all of them is the benchmark's work."""
    from explorer.kernels.triton import tuning

    monkeypatch.setattr(tuning, "default_tuner", lambda: tuning.Tuner(tmp_path / "launches.json", lambda run: 1.0))
