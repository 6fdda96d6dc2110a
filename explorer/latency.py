"""Latency of a recipe: what an interleaved comparison and a profile of its ops say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from explorer.measure import Comparison, Device
from explorer.run import Plan, keys_of

COLUMNS = ["id", "what", "kernel", "time_us", "baseline_us", "emulated"]


@dataclass(frozen=True, eq=False)
class Latency:
    """How long a recipe takes against a baseline, measured in one interleaved run.

    ``speedup`` is baseline over candidate, ``interval`` its 95 % bootstrap interval, ``n`` the pairs. ``table`` has one
    row per op and cast (microseconds), ``predicted_ms`` is its sum. ``emulated`` recipes have times that say nothing
    about the precision; they are kept so that nobody takes them for more.
    """

    baseline_ms: float
    candidate_ms: float
    speedup: float
    interval: tuple[float, float]
    n: int
    predicted_ms: float | None
    conditions: str
    emulated: bool
    table: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if name != "table"}
        table = self.table.astype(object).where(self.table.notna(), None)
        return plain | {"interval": list(self.interval), "table": table.to_dict("records")}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Latency:
        table = pd.DataFrame(data["table"], columns=COLUMNS)
        return Latency(**{**data, "interval": tuple(data["interval"]), "table": table})


class LatencyTable:
    """Microseconds by kind, kernel and shapes: what makes two ops cost the same. Profiles fill it; layers share it."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}

    def add(self, plan: Plan, times: Mapping[str, float]) -> None:
        """Take in a profile of ``plan``: op and cast ids -> microseconds."""
        sums: dict[str, list[float]] = {}
        for name, key in keys_of(plan).items():
            sums.setdefault(key, []).append(times[name])
        self._times.update({key: sum(values) / len(values) for key, values in sums.items()})

    def predict_ms(self, plan: Plan) -> float | None:
        """Return the sum over all ops and casts of ``plan``, or None where one was never timed."""
        times = [self._times.get(key) for key in keys_of(plan).values()]
        known = [time for time in times if time is not None]
        return sum(known) / 1e3 if len(known) == len(times) else None

    def time_us(self, key: str) -> float | None:
        return self._times.get(key)


def summarise_latency(
    plan: Plan, comparison: Comparison, times: Sequence[Mapping[str, float]], against: str, batch_size: int
) -> Latency:
    """Return the latency of ``plan`` from an interleaved comparison and the op times of the plan and, last, of FP32."""
    table = latency_table(plan, times[0], times[-1])
    return Latency(
        baseline_ms=comparison.baseline_ms,
        candidate_ms=comparison.candidate_ms,
        speedup=comparison.speedup,
        interval=comparison.interval,
        n=comparison.n,
        predicted_ms=float(table["time_us"].sum()) / 1e3,
        conditions=f"{against} · batch {batch_size} · {plan.device.label} · warm",
        emulated=bool(plan.emulated),
        table=table,
    )


def latency_table(plan: Plan, times: Mapping[str, float], baseline: Mapping[str, float]) -> pd.DataFrame:
    """Return one row per op, in order, then one per cast. Views and integer ops are one row, ``views``.

    An op or cast that another call does besides has no time of its own.
    """
    rows = [
        (s.op.id, s.op.kind, s.kernel.name, times.get(s.op.id, 0.0), baseline.get(s.op.id), s.emulated)
        for s in plan.steps
        if s.kernel is not None
    ]
    views = [step.op.id for step in plan.steps if step.kernel is None]
    rows.append(
        (
            "views",
            "view",
            "torch",
            sum(times.get(v, 0.0) for v in views),
            sum(baseline.get(v, 0.0) for v in views),
            False,
        )
    )
    rows += [
        (cast.id, f"cast {cast.from_} → {cast.to}", "cast", times.get(cast.id, 0.0), None, cast.emulated)
        for cast in plan.casts
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def describe_conditions(device: Device, batch_size: int) -> str:
    """Return what a stored latency must share to answer for another."""
    return f"batch={batch_size}|threads={device.threads}"
