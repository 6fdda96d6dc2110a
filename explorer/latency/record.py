"""A latency as it is kept and shown: what one interleaved run and one profile of the ops say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from explorer.errors import ExplorerError
from explorer.latency.table import COLUMNS
from explorer.measure import Device, Ratio

FORMAT = 2
"""Of what is kept. A latency that was kept in another format is not read, but measured again."""
STEADY_WITHIN = 0.05
_RATIOS = ("over_eager", "over_fp32", "drift")


@dataclass(frozen=True, eq=False)
class Latency:
    """How long a recipe takes, and how many times as fast it is as FP32, all measured in one interleaved run.

    ``speedup`` is ``baseline_ms`` over ``candidate_ms`` (medians), ``interval`` its 95 % interval, ``n`` the rounds;
    the baseline is what the caller asked for. Whatever that was, two baselines ran in the same rounds: *eager*, the
    module as the user runs it (``eager_ms``, ``over_eager``), and *best FP32*, the fastest FP32 kernels of this device,
    lowered (``fp32_ms``, ``over_fp32``). So a speed-up over eager is ``kernel_gain`` (eager over best FP32: leaving
    torch's own kernels and Python) times ``precision_gain`` (best FP32 over the candidate).

    ``percentiles``: milliseconds of the candidate's p50, p90 (from 100 rounds on) and p99 (from 1000). ``throughput``:
    samples a second. ``drift``: the baseline's later half over its earlier half; the machine was ``steady`` when 1.0 is
    within its interval or it moved by less than 5 %. ``engine``: how the candidate ran. ``energy_mj``: millijoules of
    one call of the candidate, on a GPU that counts them; ``peak_bytes``: of its tensors, on a GPU.

    ``table`` has one row per op and cast (microseconds, as plain calls: see :func:`latency_table`); ``predicted_ms`` is
    its sum and ``rest_us`` what the candidate took beyond it: what no op explains. Negative where running on without
    reading the clock after each op saves time. ``emulated`` recipes have times that say nothing about the precision;
    they are kept so that nobody takes them for more.
    """

    baseline_ms: float
    candidate_ms: float
    speedup: float
    interval: tuple[float, float]
    n: int
    predicted_ms: float | None
    conditions: str
    emulated: bool
    engine: str
    eager_ms: float
    fp32_ms: float
    over_eager: Ratio
    over_fp32: Ratio
    percentiles: Mapping[str, float]
    throughput: float
    drift: Ratio
    rest_us: float
    energy_mj: float | None
    peak_bytes: int | None
    table: pd.DataFrame

    @property
    def kernel_gain(self) -> float:
        """Eager over best FP32: what other kernels gain without another precision."""
        return self.eager_ms / self.fp32_ms

    @property
    def precision_gain(self) -> float:
        """Best FP32 over the candidate: what the precision gains."""
        return self.fp32_ms / self.candidate_ms

    @property
    def steady(self) -> bool:
        return 1.0 in self.drift or abs(self.drift.value - 1) < STEADY_WITHIN

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "table"}
        ratios = {name: getattr(self, name).to_list() for name in _RATIOS}
        table = self.table.astype(object).where(self.table.notna(), None)
        return {
            "format": FORMAT,
            **plain,
            **ratios,
            "interval": list(self.interval),
            "percentiles": dict(self.percentiles),
            "table": table.to_dict("records"),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Latency:
        """Return the latency that :meth:`to_dict` wrote; where another version did, raise :class:`ExplorerError`."""
        names = {field.name for field in fields(Latency)}
        if data.get("format") != FORMAT or not names <= data.keys():
            raise ExplorerError(
                "read a latency", "another version of the explorer wrote it", "measuring it again, with s.latency()"
            )
        ratios = {name: Ratio.from_list(data[name]) for name in _RATIOS}
        table = pd.DataFrame(data["table"], columns=COLUMNS)
        changed = {"interval": tuple(data["interval"]), "percentiles": dict(data["percentiles"]), "table": table}
        return Latency(**{name: data[name] for name in names} | ratios | changed)


def describe_conditions(device: Device, batch_size: int) -> str:
    """Return what a kept latency must share to answer for another, its format among it."""
    return f"batch={batch_size}|threads={device.threads}|format={FORMAT}"
