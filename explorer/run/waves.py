"""Waves: many plans that leave FP32 for a few ops, run over one FP32 walk, with what follows them in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from explorer.run.detour import Detour
from explorer.run.execute import Executor, KernelCache, KernelError, Values
from explorer.run.stacking import Stacking

Found = tuple[int, Tensor | KernelError]
"""The place of a detour among those given, and the output of its run in FP32 [batch, ...], or what failed in it."""


class Waves:
    """Runs detours from one FP32 plan.

    The FP32 graph is walked once per batch; where a detour starts, a copy of what is alive leaves the walk and runs its
    own steps. Nothing above an op is ever computed again. With a ``width`` above 1, the copies of up to so many
    neighbouring detours then become one larger batch, a wave, and run to the output together. That is right only
    where each sample's result depends on this sample alone and values say where their samples lie, which ``stacking``
    knows; other detours run by themselves. By itself (width 1), a run is bit for bit that of its plan; in a wave FP32
    sums may be rounded in another order (:attr:`Stacking.rounding`).
    """

    def __init__(
        self,
        executor: Executor,
        detours: Sequence[Detour],
        kernels: KernelCache,
        stacking: Stacking | None = None,
        width: int = 1,
    ) -> None:
        self._executor, self._detours, self._kernels, self._stacking = executor, detours, kernels, stacking
        self.groups = group(detours, stacking, width)

    def run(self, inputs: Mapping[str, Any], cancel: Any = None) -> Iterator[Found]:
        """Yield every detour's output on one batch, in groups. Raises :class:`Cancelled`.

        What fails in a wave (it may be out of memory) is tried again, each of its detours by itself.
        """
        clean, here = dict(inputs), 0
        for places in self.groups:
            join = max(self._detours[place].stop for place in places)
            copies: dict[int, Values] = {}
            for place in places:
                detour = self._detours[place]
                self._executor.advance(clean, here, detour.start, cancel)
                here = detour.start
                copy = copies[place] = dict(clean)
                try:
                    detour.run(copy, self._kernels, cancel)
                    self._executor.advance(copy, detour.stop, join, cancel)
                except KernelError as error:
                    del copies[place]
                    yield place, error
            yield from self._finish(copies, join, cancel)

    def _finish(self, copies: dict[int, Values], join: int, cancel: Any) -> Iterator[Found]:
        if len(copies) > 1:
            try:
                outputs = self._together(list(copies.values()), join, cancel)
            except KernelError:
                pass
            else:
                yield from zip(copies, outputs, strict=True)
                return
        for place, copy in copies.items():
            try:
                yield place, self._executor.finish(copy, join, cancel)
            except KernelError as error:
                yield place, error

    def _together(self, copies: list[Values], join: int, cancel: Any) -> tuple[Tensor, ...]:
        assert self._stacking is not None, "a wave without knowing how values stack"
        output = self._executor.finish(self._stacking.stack(copies), join, cancel)
        return self._stacking.split(self._executor.plan.graph.output.name, output, len(copies))


def group(detours: Sequence[Detour], stacking: Stacking | None, width: int) -> tuple[tuple[int, ...], ...]:
    """Return the places of the detours by their starts, in groups of up to ``width`` that may become one wave."""
    groups: list[tuple[int, ...]] = []
    open_ = False
    for place in sorted(range(len(detours)), key=lambda place: (detours[place].start, detours[place].stop)):
        rides = stacking is not None and width > 1 and _can_ride(detours[place], stacking)
        if open_ and rides and len(groups[-1]) < width:
            groups[-1] += (place,)
        else:
            groups.append((place,))
        open_ = rides
    return tuple(groups)


def _can_ride(detour: Detour, stacking: Stacking) -> bool:
    changed = [step.op.name for step in detour.steps if step.op.id in detour.changed]
    return detour.start >= stacking.safe_from and stacking.can_change(changed)
