"""The table of a recipe's ops and casts with their times and floors, and the times that layers share."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import pandas as pd

from explorer.measure import Rates
from explorer.run import Cost, Plan, inside_of, keys_of

COLUMNS = [
    "id",
    "what",
    "kernel",
    "time_us",
    "baseline_us",
    "emulated",
    "inside",
    "floor_us",
    "of_limit",
]


class LatencyTable:
    """Microseconds by kind, kernel and shapes: what makes calls cost the same. Profiles fill it; layers share it."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}

    def add(self, plan: Plan, times: Mapping[str, float]) -> None:
        """Take in a profile of ``plan``: op and cast ids -> microseconds."""
        sums: dict[str, list[float]] = {}
        for name, key in keys_of(plan).items():
            sums.setdefault(key, []).append(times[name])
        self._times.update({key: sum(values) / len(values) for key, values in sums.items()})

    def fill(self, times_us: Mapping[str, float]) -> None:
        """Take in times by call key that were measured elsewhere, where there are none of this session's own."""
        self._times = dict(times_us) | self._times

    def predict_ms(self, plan: Plan) -> float | None:
        """Return the sum over all calls of ``plan``, or None where one was never timed."""
        times = [self._times.get(key) for key in keys_of(plan).values()]
        known = [time for time in times if time is not None]
        return sum(known) / 1e3 if len(known) == len(times) else None

    def time_us(self, key: str) -> float | None:
        return self._times.get(key)


def latency_table(
    plan: Plan,
    times: Mapping[str, float],
    baseline: Mapping[str, float],
    costs: Mapping[str, Cost] | None = None,
    rates: Rates | None = None,
) -> pd.DataFrame:
    """Return one row per op, in order, then one for all views and integer ops, ``views``, then one per cast.

    ``times`` and ``baseline`` (of best FP32) are microseconds by id. An op or cast that another call does besides its
    own has no time (NaN), and ``inside`` names that call. ``floor_us`` is the least that the device could take for a
    call's ``costs`` at its ``rates``, and ``of_limit`` is floor over time, 1 at best; NaN for views, for what is inside
    another call, for what is emulated, and where nothing was measured to compare with. A call that beats its floor (its
    data lay in a nearer cache than so many bytes mostly do, or the rates were measured on a busy machine) shows by its
    own time what the device can do, and that time is taken as its floor.
    """
    inside, costs, rates = inside_of(plan), costs or {}, rates or Rates()

    def row(name: str, what: str, kernel: str, before: float, emulated: bool) -> tuple[object, ...]:
        time = times.get(name, nan)
        floor = costs[name].floor_us(rates) if name in costs else None
        floor_us = nan if floor is None else min(floor, time)
        of_limit = floor_us / time if time else nan
        return name, what, kernel, time, before, emulated, inside.get(name, ""), floor_us, of_limit

    kernels = [(step, step.kernel.name) for step in plan.steps if step.kernel is not None]
    rows = [row(s.op.id, s.op.kind, name, baseline.get(s.op.id, nan), s.emulated) for s, name in kernels]
    views = [step.op.id for step in plan.steps if step.kernel is None]
    sums = (sum(found.get(view, 0.0) for view in views) for found in (times, baseline))
    rows.append(("views", "view", "torch", *sums, False, "", nan, nan))
    rows += [row(cast.id, f"cast {cast.from_} → {cast.to}", "cast", nan, cast.emulated) for cast in plan.casts]
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = ["time_us", "baseline_us", "floor_us", "of_limit"]
    return table.astype(dict.fromkeys(numbers, "float64"))


def beaten_share(table: pd.DataFrame) -> float:
    """Return the share of the time in calls that were as fast as their floor or faster: of good rates, next to none."""
    total = float(table["time_us"].sum())
    return float(table["time_us"][table["of_limit"] >= 1].sum()) / total if total else 0.0
