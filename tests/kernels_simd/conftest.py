"""Our own CPU kernels are tested where the CPU has their instructions."""

from __future__ import annotations

import pytest

from explorer.kernels import simd
from explorer.measure import find_device


@pytest.fixture(scope="session", autouse=True)
def simd_kernels() -> None:
    if reason := simd.missing(find_device("cpu")):
        pytest.skip(reason)
    simd.warm_up()
