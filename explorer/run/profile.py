"""Profile: the time of every call of a lowered plan, taken in place, one after the other. (Effect: clock.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from explorer.errors import Cancelled
from explorer.measure import exclusive
from explorer.measure.timing import clock
from explorer.run.execute import KernelCache
from explorer.run.plan import Plan
from explorer.run.schedule import Schedule, Slot, make_schedule


@torch.no_grad()
def profile(
    plans: Sequence[Plan], kernels: KernelCache, inputs: tuple[Any, ...], rounds: int = 6, cancel: Any = None
) -> list[dict[str, float]]:
    """Return for each plan the microseconds (median of ``rounds``) of every call by op id or cast id, warm.

    The calls are those of the lowered plan (:mod:`explorer.run.schedule`), in its order and on the values that it
    makes, so caches are as they are in a real run. What a call does besides has no time of its own. The plans take
    turns, so that a machine that slows down slows all of them.
    """
    timed = clock(plans[0].device)
    schedules = [make_schedule(plan, kernels) for plan in plans]
    times: list[dict[str, list[float]]] = [{} for _ in plans]
    with exclusive(plans[0].device, cancel):
        for turn in range(rounds + 1):
            for schedule, found in zip(schedules, times, strict=True):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("profile a recipe")
                for name, seconds in time_calls(schedule, inputs, timed).items():
                    if turn:
                        found.setdefault(name, []).append(seconds)
    return [{name: float(np.median(values)) * 1e6 for name, values in found.items()} for found in times]


@torch.no_grad()
def time_calls(
    schedule: Schedule, inputs: tuple[Any, ...], timed: Callable[[Callable[[], Any]], float]
) -> Mapping[str, float]:
    """Run a schedule once and return the seconds of each of its calls by op id or cast id."""
    graph, formats = schedule.plan.graph, schedule.plan.format_of
    slots: dict[Slot, Any] = {(n, formats.get(n, "")): x for n, x in zip(graph.inputs, inputs, strict=True)}
    times: dict[str, float] = {}
    for call in schedule.calls:
        arguments = [slots[slot] for slot in call.reads]

        def run(call: Any = call, arguments: Any = arguments) -> None:
            slots[call.makes] = call.function(*arguments)

        times[call.id] = timed(run)
        for slot in call.frees:
            del slots[slot]
    return times
