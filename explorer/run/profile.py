"""Profile: the time of every op and cast of a plan, taken in place, one after the other. (Effect: clock.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from explorer.errors import Cancelled
from explorer.kernels import CARRIERS
from explorer.measure.timing import clock, exclusive
from explorer.run.execute import KernelCache
from explorer.run.plan import Plan


@torch.no_grad()
def profile(
    plans: Sequence[Plan], kernels: KernelCache, inputs: tuple[Any, ...], rounds: int = 6, cancel: Any = None
) -> list[dict[str, float]]:
    """Return for each plan the microseconds (median of ``rounds``) of every op by op id and cast by cast id, warm.

    Ops run in a plan's order on the values that the plan makes, so caches are as they are in a real run. The plans take
    turns, so that a machine that slows down slows all of them.
    """
    timed = clock(plans[0].device)
    times: list[dict[str, list[float]]] = [{} for _ in plans]
    with exclusive(plans[0].device):
        for turn in range(rounds + 1):
            for plan, found in zip(plans, times, strict=True):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("profile a recipe")
                for name, seconds in _one_round(plan, kernels, inputs, timed).items():
                    if turn:
                        found.setdefault(name, []).append(seconds)
    return [{name: float(np.median(values)) * 1e6 for name, values in found.items()} for found in times]


def _one_round(
    plan: Plan, kernels: KernelCache, inputs: tuple[Any, ...], timed: Callable[[Callable[[], Any]], float]
) -> Mapping[str, float]:
    values: dict[str, Any] = dict(zip(plan.graph.inputs, inputs, strict=True))
    converted: dict[tuple[str, str], Any] = {}
    times: dict[str, float] = {}
    formats = plan.format_of

    def keep(target: dict[Any, Any], key: Any, call: Callable[[], Any]) -> float:
        def store() -> None:
            target[key] = call()

        return timed(store)

    def read(name: str, carrier: str | None) -> Any:
        if carrier is None or formats[name] == carrier:
            return values[name]
        key = (name, carrier)
        if key not in converted:
            times[f"cast:{name}:{carrier}"] = keep(converted, key, lambda: CARRIERS[carrier].convert(values[name]))
        return converted[key]

    for position, step in enumerate(plan.steps):
        arguments = [read(name, step.takes.get(name)) for name in step.site.inputs]
        call = kernels.call(step)
        times[step.op.id] = keep(values, step.op.name, partial(call, *arguments))
        for name in plan.dying[position]:
            values.pop(name, None)
            for key in [key for key in converted if key[0] == name]:
                del converted[key]
    read(plan.graph.output.name, "fp32")
    return times
