"""Reformats: tensors that are copied into another layout because a kernel, a cast or a view cannot take theirs."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from explorer.boundaries.redundant import SAME_ELEMENTS
from explorer.kernels import CARRIERS, bind
from explorer.kernels.layout import (
    ANY,
    BY_PIXEL,
    CHANNELS_LAST,
    CONTIGUOUS,
    describe_layout,
    lies_so,
    put_so,
    shares_memory,
)
from explorer.latency import LatencyTable
from explorer.run import Plan, Step
from explorer.run.fuse import Fusion, find_fusions

COLUMNS = ["op", "where", "value", "kernel", "wants", "arrives", "elements", "bytes", "time_us"]
Demand = tuple[str, tuple[str, ...]]
"""A layout, and the values of which it is wanted."""
Layouts = Mapping[str, Tensor | None]


@dataclass(frozen=True)
class Reformat:
    """A copy of ``value``, in ``carrier``, into the layout that is wanted.

    ``where``: inside the ``"kernel"`` of the op, inside the ``"cast"`` before it, or the op itself, a ``"view"`` that
    cannot be one; ``key`` is then that of its call.
    """

    op: str
    where: str
    value: str
    kernel: str
    wants: str
    arrives: str
    elements: int
    carrier: str
    key: str = ""

    @property
    def bytes(self) -> int:
        """Read plus written; of padding only what is read is counted twice."""
        return self.elements * 2 * CARRIERS[self.carrier].bits // 8


def find_reformats(plan: Plan) -> tuple[tuple[Reformat, ...], Layouts]:
    """Return the copies that ``plan`` makes for the sake of layout, and how each value lies in memory.

    The strides of every value follow from running the plan on tensors without data, each kernel giving the layout that
    it declares. What can be known so: layouts that our kernels, casts and torch's norms and softmax demand, and views
    that must copy. What cannot: what happens inside torch's own products and attention (oneDNN and BLAS reorder and
    pack as they see fit), and the layout in which a caller's batch arrives: contiguous is assumed. A value whose
    strides depend on data is None, and nothing is said about who reads it.
    """
    demands = {step.op.id: _demand(step) for step in plan.steps}  # asked before: weights that have data answer
    with FakeTensorMode() as mode, torch.no_grad(), _quiet():
        tracer = _Tracer(plan, mode, demands)
        for position, step in enumerate(plan.steps):
            tracer.run(position, step)
    return tuple(tracer.found), tracer.values


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging, with its traceback, what an op raises without data: here it answers."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _demand(step: Step) -> Demand:
    """What a step's kernel wants; that of an emulation says nothing about the precision."""
    names = step.site.operands if step.op.role == "compute" else tuple(step.takes)
    return (ANY if step.kernel is None or step.emulated else step.kernel.layout(step.site)), names


class _Tracer:
    """Runs a plan step by step on tensors without data; ``found`` are the copies so far."""

    def __init__(self, plan: Plan, mode: FakeTensorMode, demands: Mapping[str, Demand]) -> None:
        self.plan, self.mode, self.demands = plan, mode, demands
        self.fusions = find_fusions(plan)
        self.fused = {position for fusion in self.fusions.values() for position in fusion.positions}
        self.found: list[Reformat] = []
        self.values: dict[str, Any] = {
            name: torch.empty(plan.shapes[name], dtype=type_.dtype)
            for name, type_ in zip(plan.graph.inputs, plan.graph.input_types, strict=True)
        }
        self.converted: dict[tuple[str, str], Any] = {}

    def run(self, position: int, step: Step) -> None:
        """Find the layout of a step's result, and what it copies; a fused step is done where its product is."""
        if position in self.fused:
            return
        inputs = [self._read(step.op.id, name, step.takes.get(name, "")) for name in step.site.inputs]
        if step.kernel is None:
            out = self._call(step, inputs)
            self._note_view(step, inputs, out)
        else:
            out = self._run_kernel(step, inputs)
        self.values[step.op.name] = out
        if position in self.fusions:
            self._fuse(step, self.fusions[position], out)

    def _run_kernel(self, step: Step, inputs: list[Any]) -> Any:
        assert step.kernel is not None
        wants, names = self.demands[step.op.id]
        named = dict(zip(step.site.inputs, inputs, strict=True))
        for name in names:
            self._note(step.op.id, "kernel", name, step.kernel.name, wants, named[name], step.takes[name])
        out = self._call(step, inputs)
        return put_so(out, wants) if isinstance(out, Tensor) else out

    def _fuse(self, step: Step, fusion: Fusion, out: Any) -> None:
        """What a product takes in lies as the product's own result; a term that is added must lie so too."""
        assert step.kernel is not None
        if fusion.addend:
            wants = CHANNELS_LAST if self.demands[step.op.id][0] in BY_PIXEL else CONTIGUOUS
            addend = self._read(step.op.id, fusion.addend, fusion.addend_carrier)
            self._note(step.op.id, "kernel", fusion.addend, step.kernel.name, wants, addend, fusion.addend_carrier)
        for position in fusion.positions:
            self.values[self.plan.steps[position].op.name] = out
        if fusion.codes:
            self.converted[fusion.value, fusion.codes] = out

    def _read(self, op: str, name: str, carrier: str) -> Any:
        """A value in a carrier; the cast to it, which the first reader makes, wants a layout too."""
        value = self.values.get(name)
        if not carrier or self.plan.format_of[name] == carrier:
            return value
        if (name, carrier) not in self.converted:
            wants = CARRIERS[carrier].layout
            arriving = self.plan.format_of[name]
            self._note(op, "cast", name, f"cast to {CARRIERS[carrier].format}", wants, value, arriving)
            self.converted[name, carrier] = put_so(value, wants) if isinstance(value, Tensor) else value
        return self.converted[name, carrier]

    def _call(self, step: Step, inputs: list[Any]) -> Any:
        """torch's own result on tensors without data; None where strides depend on data."""
        if any(value is None for value in inputs):
            return None
        constants = {name: self.mode.from_tensor(tensor) for name, tensor in step.site.constants.items()}
        try:
            return bind(replace(step.site, constants=constants), None)(*inputs)
        except RuntimeError:  # the shape of a result, or a branch, depends on data
            return None

    def _note(self, op: str, where: str, name: str, kernel: str, wants: str, value: Any, carrier: str) -> None:
        if isinstance(value, Tensor) and not lies_so(value, wants):
            arrives, elements = describe_layout(value), value.numel()
            self.found.append(Reformat(op, where, name, kernel, wants, arrives, elements, carrier))

    def _note_view(self, step: Step, inputs: list[Any], out: Any) -> None:
        """A view of the very elements of its input that had to copy them."""
        floats = [(name, value) for name, value in zip(step.site.inputs, inputs, strict=True) if name in step.takes]
        if step.op.kind not in SAME_ELEMENTS or len(floats) != 1 or not isinstance(out, Tensor):
            return
        name, value = floats[0]
        if value.numel() == out.numel() and not shares_memory(value, out):
            carrier, arrives = step.takes[name], describe_layout(value)
            self.found.append(
                Reformat(step.op.id, "view", name, "torch", CONTIGUOUS, arrives, out.numel(), carrier, step.key)
            )


def reformats_table(plan: Plan, times: LatencyTable) -> pd.DataFrame:
    """Return one row per copy into another layout, in execution order; see :func:`find_reformats` for what is known.

    ``where``: inside the ``"kernel"`` of ``op``, inside the ``"cast"`` that ``op`` is the first to read, or the op
    itself, a ``"view"``. ``wants`` and ``arrives``: layouts (:mod:`explorer.kernels.layout`). ``bytes``: read plus
    written. ``time_us``: measured, of views, which are calls of their own; NaN inside a kernel or a cast, whose time
    holds it, where nothing was timed, and where a like view that copies nothing shares the time.
    """
    found, _ = find_reformats(plan)
    views = Counter(step.key for step in plan.steps if step.kernel is None)
    copied = Counter(each.key for each in found)

    def time_us(each: Reformat) -> float:
        time = times.time_us(each.key) if each.key and copied[each.key] == views[each.key] else None
        return math.nan if time is None else time

    rows = [
        (
            each.op,
            each.where,
            each.value,
            each.kernel,
            each.wants,
            each.arrives,
            each.elements,
            each.bytes,
            time_us(each),
        )
        for each in found
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
