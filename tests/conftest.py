"""What every test may use."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Threads that spin for a short while only when they wait for each other: the suite runs a browser, a server and several
# kernels on the same few cores, where long spinning makes every parallel loop some ten times slower. Read when torch is
# first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@pytest.fixture(scope="session", autouse=True)
def own_trial_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure, here and in the servers that they start, does not join the user's own trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRECISION_EXPLORER_HOME", os.fspath(tmp_path_factory.mktemp("trials")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a port of this machine that nothing listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find
