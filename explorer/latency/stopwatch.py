"""Times a plan against both baselines, and each of its calls against what the device could do. (Effect: clock.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from explorer.latency.record import Latency
from explorer.latency.table import LatencyTable, beaten_share, latency_table
from explorer.measure import Device, Effort, Rates, RateStore, Rounds, energy_mj, peak_bytes, time_rounds
from explorer.measure.probe import probe
from explorer.run import (
    Engine,
    KernelCache,
    Lowered,
    Plan,
    build_engine,
    clear_faults,
    costs_of,
    lower,
    profile,
)

LONG_SECONDS = 1.0
"""From this many seconds on, what takes long itself is done too: the device's rates, where they are not known well yet
(about a second each of the first times on a device), and energy. A short measurement, the page's first answer to a
click, skips both."""
PROBES = 3
"""How often the rates are measured, in as many measurements, so that no single busy moment decides them."""
TOO_MANY_BEATEN = 0.1


@dataclass(frozen=True)
class Against:
    """A baseline: ``"eager"``, ``"fp32"`` (best FP32), or the plan of a recipe; ``label`` says it in words."""

    label: str
    name: str
    plan: Plan | None = None


@dataclass(frozen=True, eq=False)
class _Run:
    """What was measured of a plan: its rounds against the baselines, and the times of its calls and of best FP32's."""

    plan: Plan
    lowered: Lowered
    against: Against
    engine: Engine
    rounds: Rounds
    profiles: list[dict[str, float]]


@dataclass(frozen=True, eq=False)
class Stopwatch:
    """Measures plans of one model on fixed ``inputs``, a batch of ``batch_size``.

    ``eager`` runs the user's module, ``best_fp32`` gives the plan of the fastest FP32 kernels. What is learnt of single
    calls goes to ``table``, what the device can do to ``rates``. The last plan that was compiled and the last that was
    captured stay ``ready``.
    """

    device: Device
    kernels: KernelCache
    inputs: tuple[Any, ...]
    batch_size: int
    eager: Callable[[], Any]
    best_fp32: Callable[[], Plan]
    table: LatencyTable
    rates: RateStore
    ready: dict[str, tuple[Plan, Engine]] = field(default_factory=dict)

    def measure(self, plan: Plan, against: Against, engine: str, effort: Effort) -> Latency:
        """Return the latency of ``plan`` as ``engine`` runs it; per call, as plain calls.

        Raises :class:`Cancelled`, an :class:`ExplorerError` where the engine cannot run it here, and :class:`RunError`
        that names the op where a call fails or memory runs out. Nothing is left behind by any of them.
        """
        fp32 = self.best_fp32()
        lowered, lowered_fp32 = lower(plan, self.kernels), lower(fp32, self.kernels)
        other = lower(against.plan, self.kernels) if against.plan is not None else None
        with clear_faults("time a recipe", lowered, lowered_fp32, *([other] if other else [])):
            running = self._engine(engine, lowered)
            calls = {"eager": self.eager, "fp32": self._call(lowered_fp32), "candidate": running.call}
            if other is not None:
                calls[against.name] = self._call(other)
            rounds = time_rounds(calls, self.device, effort, watch=(against.name, "candidate"))
            plans = [plan] if plan.kernels == fp32.kernels else [plan, fp32]
            _say(effort, "timing each op")
            profiles = profile(plans, self.kernels, self.inputs, _profile_rounds(rounds, effort), effort.cancel)
            found = self._found(_Run(plan, lowered, against, running, rounds, profiles), effort)
            long = effort.seconds >= LONG_SECONDS
            energy = energy_mj(running.call, self.device, effort.cancel) if long else None
            peak = peak_bytes(running.call, self.device)
            effort.stop_if_cancelled()
        for each, times in zip(plans, profiles, strict=True):
            self.table.add(each, times)
        return replace(found, energy_mj=energy, peak_bytes=peak)

    def _engine(self, name: str, lowered: Lowered) -> Engine:
        """The engine of a lowered plan: the one that is ready, where this very plan was compiled or captured before."""
        plan, kept = lowered.schedule.plan, self.ready.get(name)
        if kept is not None and kept[0] is plan:
            return kept[1]
        self.ready.pop(name, None)
        built = build_engine(name, lowered, self.inputs, self.device)
        if name != "eager":
            self.ready[name] = (plan, built)
        return built

    def _call(self, lowered: Lowered) -> Callable[[], Any]:
        return partial(lowered, *self.inputs)

    def _found(self, run: _Run, effort: Effort) -> Latency:
        rounds, name = run.rounds, run.against.name
        costs = costs_of(run.lowered.schedule, self.kernels)
        tabulate = partial(latency_table, run.plan, run.profiles[0], run.profiles[-1], costs)
        table = tabulate(self._known_rates(effort))
        if beaten_share(table) > TOO_MANY_BEATEN and effort.seconds >= LONG_SECONDS:
            table = tabulate(self._measure_rates(effort))
        sum_us, ratio = float(table["time_us"].sum()), rounds.ratio(name, "candidate")
        candidate_ms = rounds.median_ms("candidate")
        return Latency(
            baseline_ms=rounds.median_ms(name),
            candidate_ms=candidate_ms,
            speedup=ratio.value,
            interval=ratio.interval,
            n=rounds.n,
            predicted_ms=sum_us / 1e3,
            conditions=self._conditions(run),
            emulated=bool(run.plan.emulated),
            engine=run.engine.name,
            eager_ms=rounds.median_ms("eager"),
            fp32_ms=rounds.median_ms("fp32"),
            over_eager=rounds.ratio("eager", "candidate"),
            over_fp32=rounds.ratio("fp32", "candidate"),
            percentiles=rounds.percentiles_ms("candidate"),
            throughput=self.batch_size / candidate_ms * 1e3,
            drift=rounds.drift(name),
            rest_us=candidate_ms * 1e3 - sum_us,
            energy_mj=None,
            peak_bytes=None,
            table=table,
        )

    def _conditions(self, run: _Run) -> str:
        times = "once" if run.rounds.warm_ups == 1 else "twice"
        caches = "cold, caches emptied before each call" if run.rounds.cold else f"warm, run {times} before"
        engine = "" if run.engine.name == "eager" else f"{run.engine.name} ({run.engine.note})"
        words = (run.against.label, f"batch {self.batch_size}", self.device.label, caches, engine)
        return " · ".join(word for word in words if word)

    def _known_rates(self, effort: Effort) -> Rates:
        known = self.rates.find(self.device.key)
        if (known is None or known.probes < PROBES) and effort.seconds >= LONG_SECONDS:
            return self._measure_rates(effort)
        return known or Rates()

    def _measure_rates(self, effort: Effort) -> Rates:
        _say(effort, "measuring what this device can do")
        return self.rates.measure(self.device.key, lambda: probe(self.device, effort))


def _profile_rounds(rounds: Rounds, effort: Effort) -> int:
    """As many as the measurement's own seconds have room for, from two to six."""
    each = sum(rounds.median_ms(name) for name in ("fp32", "candidate")) / 1e3
    return max(2, min(6, int(effort.seconds / each)))


def _say(effort: Effort, text: str) -> None:
    if effort.progress is not None:
        effort.progress(0, 1, text)
