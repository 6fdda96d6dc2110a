"""Detours: where a plan of a few changed ops leaves the FP32 run, and where its values flow in FP32 again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from explorer.errors import Cancelled
from explorer.run.execute import KernelCache, KernelError, Values
from explorer.run.plan import Plan, Step

Converters = Mapping[str, Callable[[Any], Any]]


@dataclass(frozen=True, eq=False)
class Detour:
    """The positions ``start`` up to ``stop`` of a plan: all where it computes anything else than the baseline does.

    Before them its values are the baseline's; from ``stop`` on it does what the baseline does, with other values. It
    holds these steps alone, so that thousands fit in memory. ``casts``: for each step, what converts an input to the
    carrier that its kernel takes. ``back``: what returns a value to the carrier that it has in the baseline. ``dying``:
    for each step, the values that no later one reads. ``changed``: the ops whose kernels are not the baseline's.
    """

    start: int
    stop: int
    steps: tuple[Step, ...]
    casts: tuple[Converters, ...]
    back: Converters
    dying: tuple[tuple[str, ...], ...]
    changed: frozenset[str]

    @torch.no_grad()
    def run(self, values: Values, kernels: KernelCache, cancel: Any = None) -> None:
        """Run the steps on ``values`` (changed in place): those alive at ``start`` become those alive at ``stop``.

        Raises :class:`KernelError` that names the op, :class:`Cancelled`.
        """
        for step, casts, gone in zip(self.steps, self.casts, self.dying, strict=True):
            if cancel is not None and cancel.is_set():
                raise Cancelled("run a recipe")
            try:
                inputs = [casts[name](values[name]) if name in casts else values[name] for name in step.site.inputs]
                values[step.op.name] = kernels.call(step)(*inputs)
            except KernelError:
                raise
            except Exception as error:
                raise KernelError(step, error) from error
            for name in gone:
                values.pop(name, None)
        for name, convert in self.back.items():
            values[name] = convert(values[name])


def find_detour(plan: Plan, baseline: Plan) -> Detour:
    """Return where ``plan`` leaves ``baseline``, another plan of the same graph; an empty one at the end if nowhere.

    A view that carries another format leaves nothing: once converted back, its values are the same.
    """
    pairs = list(zip(plan.steps, baseline.steps, strict=True))
    changed = [position for position, pair in enumerate(pairs) if _differ(*pair)]
    start, stop = (changed[0], changed[-1] + 1) if changed else (len(pairs), len(pairs))
    steps = plan.steps[start:stop]
    return Detour(
        start,
        stop,
        steps,
        tuple(_casts(plan, step) for step in steps),
        {
            step.op.name: plan.converter(step.op.name, baseline.format_of[step.op.name])
            for step in steps
            if step.gives
            and plan.graph.last_use.get(step.op.name, -1) >= stop
            and step.gives != baseline.format_of[step.op.name]
        },
        baseline.dying[start:stop],
        frozenset(plan.steps[position].op.id for position in changed),
    )


def _differ(a: Step, b: Step) -> bool:
    return a.kernel is not b.kernel or (a.kernel is not None and a.takes != b.takes)


def _casts(plan: Plan, step: Step) -> Converters:
    return {
        name: plan.converter(name, carrier) for name, carrier in step.takes.items() if plan.format_of[name] != carrier
    }
