"""Running a plan on a batch, from its start or from any position."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explorer.errors import Cancelled, ExplorerError
from explorer.kernels import Packed, Post, bind
from explorer.run.plan import Plan, Step

Observe = Callable[[Step, Any], None]
Values = dict[str, Any]


class Visit(NamedTuple):
    """One op as it ran: what its kernel got, in the carriers that it takes, and what it gave."""

    step: Step
    inputs: tuple[Any, ...]
    output: Any


class KernelError(ExplorerError):
    """A kernel failed while it ran; the session is as it was."""

    def __init__(self, step: Step, error: Exception) -> None:
        name = step.kernel.name if step.kernel else "torch"
        first = (str(error).splitlines() or [type(error).__name__])[0]
        super().__init__(
            f"run {step.op.id!r} on kernel {name!r}",
            f"{type(error).__name__}: {first[:200]}",
            "another precision for this op",
        )
        self.op = step.op.id


class KernelCache:
    """Built kernels by op and kernel, so that a weight is packed once.

    Holds at most ``budget_bytes`` of packed weights: beyond, those that were asked for longest ago are let go, and
    packed again when they are next needed. What an executor or a lowered plan holds stays. Safe for use by several
    threads.
    """

    def __init__(self, budget_bytes: float = math.inf) -> None:
        self.budget_bytes = budget_bytes
        self._packed: OrderedDict[tuple[str, str], Packed] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Bytes that the packed weights and their scales take."""
        with self._lock:
            return self._weigh()

    def get(self, step: Step) -> Packed:
        """Return the step's kernel, built when it is first asked for."""
        assert step.kernel is not None
        kernel = step.kernel

        def build() -> Packed:
            try:
                return kernel.build(step.site)
            except Exception as error:
                raise KernelError(step, error) from error

        return self._keep((step.op.id, f"{kernel.device}/{kernel.precision}/{kernel.name}"), build)

    def extended(self, step: Step, post: Post) -> Callable[..., Any]:
        """Return the step's kernel with what follows its op done in it: ``post`` is within ``Kernel.fuses``."""
        extend = self.get(step).extend
        run = None if extend is None else extend(post)
        assert run is not None, f"{step.kernel} does not do {post}"
        return run

    def of_floats(self, step: Step, post: Post) -> Callable[..., Any]:
        """Return the step's kernel with its operand's cast done in it, and what follows its op as ``post`` says."""
        of_floats = self.get(step).of_floats
        run = None if of_floats is None else of_floats(post)
        assert run is not None, f"{step.kernel} does not cast its operand and do {post}"
        return run

    def call(self, step: Step) -> Callable[..., Any]:
        """Return what runs the step: its kernel, or for a view or integer op the op itself."""
        if step.kernel is not None:
            return self.get(step).run
        return self._keep((step.op.id, ""), lambda: Packed(bind(step.site, None))).run

    def _keep(self, key: tuple[str, str], build: Callable[[], Packed]) -> Packed:
        with self._lock:
            if key in self._packed:
                self._packed.move_to_end(key)
                return self._packed[key]
        packed = build()
        with self._lock:
            self._packed[key] = packed
            while self._weigh() > self.budget_bytes and len(self._packed) > 1:
                self._packed.popitem(last=False)
        return packed

    def _weigh(self) -> int:
        return sum(packed.weight_bytes + packed.scale_bytes for packed in self._packed.values())


class Executor:
    """Runs one plan. ``values`` start as inputs (and, for a resumed run, the live values); outputs are added, and what
    no later op reads is dropped."""

    def __init__(self, plan: Plan, kernels: KernelCache) -> None:
        self.plan = plan
        self._calls = [kernels.call(step) for step in plan.steps]

    @torch.no_grad()
    def run(
        self,
        values: dict[str, Any],
        start: int = 0,
        stop_at: Callable[[int, dict[str, Any]], None] | None = None,
        observe: Observe | None = None,
        cancel: Any = None,
    ) -> Tensor:
        """Run from position ``start`` on ``values`` (changed in place) and return the output in FP32.

        ``stop_at(position, values)`` is called before every position, ``observe(step, output)`` after each op.
        """
        converted: dict[tuple[str, str], Any] = {}
        for position in range(start, len(self.plan.steps)):
            if cancel is not None and cancel.is_set():
                raise Cancelled("run a recipe")
            if stop_at is not None:
                stop_at(position, values)
            output = self._do(position, values, converted).output
            if observe is not None:
                observe(self.plan.steps[position], output)
            self._drop(position, values, converted)
        return values[self.plan.graph.output.name].float()  # type: ignore[no-any-return]

    @torch.no_grad()
    def advance(self, values: Values, start: int, stop: int, cancel: Any = None) -> None:
        """Run the positions ``start`` up to ``stop`` on ``values`` (changed in place)."""
        converted: dict[tuple[str, str], Any] = {}
        for position in range(start, stop):
            if cancel is not None and cancel.is_set():
                raise Cancelled("run a recipe")
            self._do(position, values, converted)
            self._drop(position, values, converted)

    def finish(self, values: Values, start: int, cancel: Any = None) -> Tensor:
        """Run from position ``start`` on ``values`` (changed in place) and return the output in FP32."""
        self.advance(values, start, len(self.plan.steps), cancel)
        return values[self.plan.graph.output.name].float()  # type: ignore[no-any-return]

    @torch.no_grad()
    def walk(self, values: Values, cancel: Any = None) -> Iterator[Visit]:
        """Run on ``values`` (changed in place), yielding after each op before the next one runs.

        Two plans of one graph can so be walked in step. Once done, ``values`` hold the output as it was made.
        """
        converted: dict[tuple[str, str], Any] = {}
        for position in range(len(self.plan.steps)):
            if cancel is not None and cancel.is_set():
                raise Cancelled("run a recipe")
            yield self._do(position, values, converted)
            self._drop(position, values, converted)

    def _do(self, position: int, values: Values, converted: dict[tuple[str, str], Any]) -> Visit:
        step = self.plan.steps[position]
        inputs = tuple(self._value(name, step, values, converted) for name in step.site.inputs)
        try:
            output = values[step.op.name] = self._calls[position](*inputs)
        except Exception as error:
            raise KernelError(step, error) from error
        return Visit(step, inputs, output)

    def _drop(self, position: int, values: Values, converted: dict[tuple[str, str], Any]) -> None:
        gone = self.plan.dying[position]
        for name in gone:
            values.pop(name, None)
        if gone:
            for key in [key for key in converted if key[0] in gone]:
                del converted[key]

    def _value(self, name: str, step: Step, values: Values, converted: dict[tuple[str, str], Any]) -> Any:
        carrier = step.takes.get(name)
        if carrier is None or self.plan.format_of[name] == carrier:
            return values[name]
        key = (name, carrier)
        if key not in converted:
            converted[key] = self.plan.converter(name, carrier)(values[name])
        return converted[key]
