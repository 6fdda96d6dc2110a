"""What every test may use."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers import longest_first, settle_in, unit_of

# Threads that spin for a short while only when they wait for each other: the suite runs a browser, a server and several
# kernels on the same few cores, where long spinning makes every parallel loop some ten times slower. Read when torch is
# first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
"""Which of several workers runs these tests; None where there is one process only."""
if WORKER is not None:
    settle_in(WORKER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand workers one unit after another, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return ByUnit(config, log)


AGAIN = ("browser", "serving", "test_cli.py", "test_notebooks.py", "widgets")
"""Tests that wait for a browser, a server or a worker: two slow cores shared with a stranger can hold those back beyond
any limit. What fails twice is broken, and the closing line counts what was run again."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in AGAIN:
            item.add_marker(pytest.mark.flaky(reruns=1))
    if WORKER is not None:
        items[:] = longest_first(items)


@pytest.fixture(scope="session", autouse=True)
def own_trial_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure, here and in the servers that they start, does not join the user's own trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRECISION_EXPLORER_HOME", os.fspath(tmp_path_factory.mktemp("trials")))
        yield


@pytest.fixture(scope="session", autouse=True)
def captured_once() -> Iterator[None]:
    """Equal models are captured once for all sessions: it takes longer than most tests, and graphs never change."""
    from explorer import opening

    capture, known = opening.capture, {}

    def find(module: Any, args: Any, kwargs: Any, name: str) -> Any:
        key = repr((name, _contents(module), _value(dict(enumerate(args))), _value(dict(kwargs))))
        if " at 0x" in key or "<locals>" in key:  # an address or a name that something else may have later
            return capture(module, args, kwargs, name)
        if key not in known:
            known[key] = capture(module, args, kwargs, name)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "capture", find)
        yield


def _contents(module: Any) -> tuple[Any, ...]:
    """All that decides what a module computes: of each of its parts the type, the tensors, the settings, the hooks."""
    return tuple(
        (name, type(part), *((key, _value(value)) for key, value in vars(part).items() if key != "_modules"))
        for name, part in module.named_modules()
    )


def _value(x: Any) -> Any:
    """A tensor by its dtype, shape and a digest of its numbers; anything else as it describes itself."""
    import torch

    if isinstance(x, torch.Tensor):
        numbers = x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return x.dtype, x.shape, hashlib.blake2b(numbers).hexdigest()
    return tuple((key, _value(value)) for key, value in x.items()) if isinstance(x, dict) else repr(x)


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
