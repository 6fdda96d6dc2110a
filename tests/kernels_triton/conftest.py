"""The Triton kernels on a GPU where there is one, else under Triton's interpreter on the CPU: the same tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

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
