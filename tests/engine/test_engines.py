"""Engines of a lowered plan: compiled or captured it gives what its plain calls give, or an error that says why not."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.errors import ExplorerError
from explorer.measure import find_device
from explorer.measure.device import Device
from explorer.run import build_engine, lower
from explorer.run import engines as engines_module

CPU = find_device("cpu")
GPU = Device("cuda", "invented", 2, (), (9, 0))


class Small(nn.Module):
    """[n, 8] -> [n, 16]: one product, and elementwise work after it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc(x)) * 3


@pytest.fixture(scope="module")
def small() -> Any:
    from tests.engine.conftest import Bench

    return Bench(Small().eval(), torch.randn(4, 8, generator=torch.Generator().manual_seed(2)))


def lowered(bench: Any, **choices: str) -> Any:
    return lower(bench.planner.plan(bench.recipe(**choices)), bench.kernels)


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler on PATH")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_it_gives_the_same_around_a_kernel_of_ours(small: Any) -> None:
    plain = lowered(small, linear="int8")
    stops = engines_module._stops(plain)
    assert 0 < len(stops) < len(plain.schedule.calls), "ours are called, the rest is compiled"
    engine = build_engine("compile", plain, small.inputs, CPU)
    assert engine.note.startswith("compiled in ")
    assert torch.allclose(engine.call(), plain(*small.inputs), rtol=1e-5)


def test_a_compilation_that_fails_says_what_would_work(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(message: str) -> Any:
        def compile_(function: Any, dynamic: bool) -> Any:
            def run(*inputs: Any) -> Any:
                raise RuntimeError(message)

            return run

        return compile_

    monkeypatch.setattr(torch, "compile", failing("InvalidCxxCompiler: No working C++ compiler found"))
    with pytest.raises(ExplorerError, match=r"No working C\+\+ compiler.*Try: a C\+\+ compiler and Python's headers"):
        build_engine("compile", lowered(small), small.inputs, CPU)
    monkeypatch.setattr(torch, "compile", failing("an internal failure"))
    with pytest.raises(ExplorerError, match=r"an internal failure.*Try: engine='eager'"):
        build_engine("compile", lowered(small), small.inputs, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out: out + 0.1, r"differs by 0\.1 where the largest is"),
        (lambda out: out[:1], "another shape"),
        (lambda out: out / 0, "NaN or Inf elsewhere"),
    ],
)
def test_another_result_than_that_of_the_plain_calls_is_refused(
    small: Any, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: lambda *inputs: change(function(*inputs)))
    with pytest.raises(ExplorerError, match=message):
        build_engine("compile", lowered(small), small.inputs, CPU)


def test_rounding_may_differ_where_a_plan_rounds(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: lambda *inputs: function(*inputs) * 1.01)
    assert build_engine("compile", lowered(small, every="bf16"), small.inputs, CPU).name == "compile"
    with pytest.raises(ExplorerError, match=r"bound 0\.001"):
        build_engine("compile", lowered(small), small.inputs, CPU)


class Cuda:
    """An invented torch.cuda: a capture that keeps the call, and replays that run it into the same output."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> None:
        self.said, self.fails = list[str](), fails
        for name in ("Stream", "CUDAGraph", "graph", "stream", "current_stream", "synchronize"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def Stream(self) -> Cuda:
        return self

    def current_stream(self) -> Cuda:
        return self

    def CUDAGraph(self) -> Cuda:
        return self

    def wait_stream(self, other: Any) -> None:
        self.said.append("wait")

    def synchronize(self) -> None:
        self.said.append("synchronize")

    def replay(self) -> None:
        self.said.append("replay")

    @contextmanager
    def stream(self, stream: Any) -> Any:
        self.said.append("stream")
        yield

    @contextmanager
    def graph(self, graph: Any) -> Any:
        self.said.append("capture")
        yield
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")


def test_a_graph_is_captured_after_warm_up_and_replayed(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    plain = lowered(small)
    engine = build_engine("cudagraph", plain, small.inputs, GPU)
    assert cuda.said == ["wait", "stream", "wait", "capture", "replay"]
    assert engine.call() is engine.call(), "the output stays where it is"
    assert cuda.said[5:] == ["replay", "replay"]
    assert torch.equal(engine.call(), plain(*small.inputs))
    assert engine.note.startswith("captured in ")


def test_what_cannot_be_captured_is_told(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, fails=True)
    with pytest.raises(ExplorerError, match=r"not permitted when stream is capturing\. Try: engine='eager'"):
        build_engine("cudagraph", lowered(small), small.inputs, GPU)
    assert cuda.said[-1] == "synchronize"


def test_plain_calls_are_the_lowered_plan_itself(small: Any) -> None:
    plain = lowered(small, every="bf16")
    engine = build_engine("eager", plain, small.inputs, CPU)
    assert torch.equal(engine.call(), plain(*small.inputs))
    assert engine.note == ""
