"""How a lowered plan is run: as plain Python calls, by torch.compile, as a CUDA graph. (Effect: compiles, captures.)

However it is run, it must give what the plain calls give, or it is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from explorer.errors import ExplorerError
from explorer.kernels import NATIVE_DTYPES
from explorer.measure import Device
from explorer.run.lower import Lowered
from explorer.run.schedule import Call

ENGINES = ("eager", "compile", "cudagraph")
EXACT_WITHIN, ROUNDED_WITHIN = 1e-3, 5e-2
"""Largest difference from the plain calls, as a fraction of the largest output: of FP32 plans, whose sums may be in
another order, and of others, where a value that was rounded once less can fall on the next code."""
WARM_UPS = 3
_OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Engine:
    """A plan ready to run on fixed inputs: ``call()`` returns its output; ``note`` is what making it ready took."""

    name: str
    call: Callable[[], Tensor]
    note: str = ""


def build_engine(name: str, lowered: Lowered, inputs: tuple[Any, ...], device: Device) -> Engine:
    """Return ``lowered`` as the engine called ``name`` runs it on ``inputs``, compiled or captured, and checked.

    ``"eager"``: as it is. ``"compile"``: through ``torch.compile``, which fuses what lies between our kernels; it stops
    at each of those and goes on after it. ``"cudagraph"``: captured once, replayed without any Python. Raises an
    :class:`ExplorerError` that says why where that cannot be done here, or gives another result than the plain calls
    (see :data:`EXACT_WITHIN` and :data:`ROUNDED_WITHIN`).
    """
    if name == "eager":
        return Engine(name, lambda: lowered(*inputs))
    if name not in ENGINES:
        raise ExplorerError(f"run with engine {name!r}", "there is no such engine", "'eager', 'compile' or 'cudagraph'")
    start = time.perf_counter()
    call = compile_lowered(lowered, inputs) if name == "compile" else capture(lambda: lowered(*inputs), device)
    note = f"{'compiled' if name == 'compile' else 'captured'} in {time.perf_counter() - start:.1f} s"
    _require_same(name, call(), lowered(*inputs), _bound(lowered))
    return Engine(name, call, note)


def compile_lowered(lowered: Lowered, inputs: tuple[Any, ...]) -> Callable[[], Tensor]:
    """Return a call of ``lowered`` on ``inputs`` through torch.compile, compiled."""
    names = {**lowered.function.__globals__, **_stops(lowered)}
    compiled = torch.compile(FunctionType(lowered.function.__code__, names, "forward"), dynamic=False)

    def call() -> Tensor:
        with torch.no_grad():
            return compiled(*inputs)  # type: ignore[no-any-return]

    try:
        call()
    except _OUT_OF_MEMORY:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {_first_line(error)}"
        without = "InvalidCxxCompiler" in f"{type(error).__name__} {error}" or "Python.h" in str(error)
        need = "a C++ compiler and Python's headers, or engine='eager'" if without else "engine='eager'"
        raise ExplorerError("compile a lowered plan with torch.compile", found, need) from error
    return call


def _stops(lowered: Lowered) -> Mapping[str, Any]:
    """The names of calls that torch.compile cannot look into, each wrapped so that it stops there and calls it."""
    stop = torch.compiler.disable
    return {
        f"k{at}": stop(call.function)  # type: ignore[no-untyped-call]
        for at, call in enumerate(lowered.schedule.calls)
        if not _is_plain(call)
    }


def _is_plain(call: Call) -> bool:
    """Whether a call is one ATen operation, or a cast between native floats: what torch.compile understands."""
    native = {"", *NATIVE_DTYPES}
    if call.id.startswith("cast:"):
        return {call.makes[1], *(carrier for _, carrier in call.reads)} <= native
    target = getattr(call.function, "__globals__", {}).get("_target")
    return isinstance(target, torch._ops.OpOverload)


def capture(call: Callable[[], Tensor], device: Device) -> Callable[[], Tensor]:
    """Return a call that replays ``call``, captured as a CUDA graph: its inputs and its output stay where they are."""
    asked = "capture a lowered plan as a CUDA graph"
    if device.type != "cuda":
        raise ExplorerError(asked, "this device is a CPU", "engine='eager' or engine='compile'")
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            output = call()
    except _OUT_OF_MEMORY:
        raise
    except RuntimeError as error:
        torch.cuda.synchronize()
        raise ExplorerError(asked, _first_line(error), "engine='eager', which allows a kernel to wait") from error

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


def _bound(lowered: Lowered) -> float:
    plan = lowered.schedule.plan
    formats = {step.gives for step in plan.steps} | {cast.carrier for cast in plan.casts}
    return EXACT_WITHIN if formats <= {"", "fp32"} else ROUNDED_WITHIN


def _require_same(name: str, found: Tensor, expected: Tensor, within: float) -> None:
    """Raise unless two outputs differ by at most ``within`` of the largest finite one; NaN and Inf must be where they
    were."""
    finite = expected.isfinite()
    largest = float(expected[finite].abs().max()) if finite.any() else 0.0
    if found.shape == expected.shape and torch.equal(found.isfinite(), finite):
        difference = float((found[finite] - expected[finite]).abs().max()) if finite.any() else 0.0
        if difference <= within * largest:
            return
        words = f"its output differs by {difference:.3g} where the largest is {largest:.3g}"
    else:
        words = "its output has another shape, or NaN or Inf elsewhere"
    raise ExplorerError(f"run with engine {name!r}", f"{words} (bound {within:g})", "engine='eager'")


def _first_line(error: Exception) -> str:
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), "no reason given")
