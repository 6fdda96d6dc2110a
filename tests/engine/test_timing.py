"""Timing: rounds in fair order, intervals that hold when a machine drifts, and a lock that no death keeps."""

from __future__ import annotations

import gc
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from explorer.errors import Cancelled
from explorer.measure import (
    Comparison,
    Effort,
    Ratio,
    Rounds,
    drift_of,
    energy_mj,
    exclusive,
    find_device,
    peak_bytes,
    ratio_of_medians,
    time_rounds,
    waited_s,
)
from explorer.measure import lock as lock_module
from explorer.measure import timing as timing_module
from explorer.measure.caches import emptier, last_level_bytes
from explorer.measure.device import Device
from explorer.measure.energy import SECONDS
from tests.widgets.conftest import until

CPU = find_device("cpu")
GPU = Device("cuda", "invented", 2, (), (9, 0))
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def drifting(random: np.random.Generator, n: int, memory: float, size: float) -> Floats:
    """A first-order autoregressive series of log times: neighbours are alike."""
    steps = random.normal(0, size * math.sqrt(1 - memory**2), n + 100)
    series = np.zeros(n + 100)
    for at in range(1, n + 100):
        series[at] = memory * series[at - 1] + steps[at]
    return series[100:]


def two_series(random: np.random.Generator, n: int, kind: str) -> tuple[Floats, Floats]:
    """Times of two calls in the same rounds, the first twice as slow: what both share, and what each has alone."""
    both = drifting(random, n, 0.9, 0.1) if kind == "together" else np.zeros(n)
    own = [drifting(random, n, 0.7, 0.04) if kind == "apart" else np.zeros(n) for _ in range(2)]
    spikes = [np.where(random.random(n) < 0.05, random.exponential(0.5, n), 0.0) for _ in range(2)]
    noise = [random.normal(0, 0.03, n) for _ in range(2)]
    first, second = (np.exp(both + own[at] + spikes[at] + noise[at]) for at in range(2))
    return 2 * first, second


@pytest.mark.parametrize("kind", ["independent", "together", "apart"])
@pytest.mark.parametrize("n", [9, 40])
def test_intervals_cover_the_ratio_when_times_of_neighbouring_rounds_are_alike(kind: str, n: int) -> None:
    random = np.random.default_rng(2)
    found = [ratio_of_medians(*two_series(random, n, kind), draws=300) for _ in range(150)]
    assert np.mean([2 in ratio for ratio in found]) >= 0.9
    overlap = [a.low <= b.high and b.low <= a.high for a, b in pairwise(found)]
    assert np.mean(overlap) >= 0.97


def test_intervals_are_no_wider_than_they_must_be() -> None:
    random = np.random.default_rng(4)
    spreads = [ratio_of_medians(*two_series(random, 100, "independent"), draws=300).spread for _ in range(40)]
    error = 1.2533 * 0.03 * math.sqrt(2 / 100)
    assert np.median(spreads) < 2 * 1.96 * error


def test_what_slows_all_calls_of_a_round_cancels() -> None:
    random = np.random.default_rng(6)
    slow = np.exp(np.linspace(0, 1, 50))
    over, under = 3 * slow * random.normal(1, 0.01, 50), slow * random.normal(1, 0.01, 50)
    assert 3 in ratio_of_medians(over, under)
    assert ratio_of_medians(over, under).spread < 0.2


def test_few_rounds_say_little() -> None:
    assert ratio_of_medians([2.0], [1.0]) == Ratio(2.0, 0.0, math.inf)
    assert ratio_of_medians([2.0, 2.4], [1.0, 1.1]).spread > 0.1
    assert math.isinf(Ratio(2.0, 0.0, math.inf).spread)
    assert drift_of([1.0, 2.0, 1.0]).high == math.inf


def test_neither_end_of_an_interval_falls_on_the_ratio() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        found = ratio_of_medians(*two_series(random, 5, "independent"), draws=300)
        whole = math.log(found.high / found.low)
        assert min(math.log(found.high / found.value), math.log(found.value / found.low)) >= 0.19 * whole


def test_drift_is_seen_and_none_is_not() -> None:
    random = np.random.default_rng(8)
    still = random.lognormal(0, 0.05, 60)
    assert 1 in drift_of(still)
    warming = still * np.linspace(1, 1.5, 60)
    assert drift_of(warming).low > 1
    assert drift_of(warming).value == pytest.approx(np.median(warming[30:]) / np.median(warming[:30]))


def test_a_very_long_series_is_answered_at_once() -> None:
    random = np.random.default_rng(9)
    assert 1 in ratio_of_medians(random.lognormal(0, 0.1, 5000), random.lognormal(0, 0.1, 5000))


class Clock:
    """Replaces the clock: each call takes what it says it takes, and ``ran`` is the order in which they came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        self.now, self.ran, self.random = 0.0, list[str](), np.random.default_rng(0)
        self.calls = {name: self._call(name, value) for name, value in seconds.items()}
        monkeypatch.setattr(timing_module.time, "perf_counter", lambda: self.now)

    def _call(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.ran.append(name)
            self.now += seconds * self.random.lognormal(0, 0.02)

        return call


def test_every_round_runs_every_call_once_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, eager=0.03, fp32=0.02, candidate=0.01)
    collecting: list[bool] = []
    clock.calls["fp32"] = lambda inner=clock.calls["fp32"]: (inner(), collecting.append(gc.isenabled()))
    found = time_rounds(clock.calls, CPU, Effort(seconds=3, within=0))
    assert found.warm_ups == 2
    assert found.n == len(found.times_s["eager"]) >= 40
    rounds = [tuple(clock.ran[at : at + 3]) for at in range(6, len(clock.ran), 3)]
    assert all(set(each) == set(clock.calls) for each in rounds)
    first = [sum(each[0] == name for each in rounds) / len(rounds) for name in clock.calls]
    assert min(first) > 0.15, "no call always comes first"
    assert len(set(rounds)) == 6, "every order occurs"
    assert 3 in found.ratio("eager", "candidate")
    assert not any(collecting[2:])
    assert gc.isenabled()


def test_it_stops_when_the_ratio_is_known_or_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, a=0.01, b=0.01)
    assert 10 <= time_rounds(clock.calls, CPU, Effort(seconds=100, within=0.1)).n < 40
    assert time_rounds(clock.calls, CPU, Effort(seconds=1, within=0)).n == pytest.approx(50, abs=5)
    assert time_rounds(clock.calls, CPU, Effort(seconds=0)).n == 5
    slow = Clock(monkeypatch, a=2.0, b=1.0)
    assert time_rounds(slow.calls, CPU, Effort(seconds=1)).warm_ups == 1
    assert len(slow.ran) == 2 * 6


def test_cold_empties_the_caches_before_every_timed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, a=0.01, b=0.01)
    monkeypatch.setattr(timing_module, "emptier", lambda device: lambda: clock.ran.append("empty"))
    found = time_rounds(clock.calls, CPU, Effort(seconds=0, cold=True))
    assert found.cold
    assert clock.ran[4::2] == ["empty"] * 10
    assert set(clock.ran[5::2]) == {"a", "b"}


def test_the_emptier_writes_as_much_as_the_caches_hold() -> None:
    assert last_level_bytes(CPU) >= 1 << 20
    assert emptier(CPU)().nbytes >= 32 << 20


def test_percentiles_only_with_ten_runs_above_them() -> None:
    def percentiles(n: int) -> dict[str, float]:
        return Rounds({"a": tuple(np.linspace(0.001, 0.002, n))}).percentiles_ms("a")

    assert set(percentiles(99)) == {"p50"}
    assert set(percentiles(100)) == {"p50", "p90"}
    assert percentiles(1000) == pytest.approx({"p50": 1.5, "p90": 1.9, "p99": 1.99}, rel=1e-3)


def test_two_calls_are_a_comparison() -> None:
    found = Comparison((4.0, 4.4, 4.2, 4.1, 4.3), (2.0, 2.2, 2.1, 2.0, 2.2))
    assert found.speedup == pytest.approx(2.0)
    assert found.interval[0] <= 2 <= found.interval[1]


HOLD = """
import sys, time
from explorer.measure import exclusive, find_device
with exclusive(find_device("cpu")):
    print("held", flush=True)
    time.sleep(120)
"""


def test_a_killed_process_frees_the_lock() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(Cancelled, match="wait for another timing"), exclusive(CPU, cancel):
            pytest.fail("two processes held the lock")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with exclusive(CPU):
        pass


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_a_failing_call_frees_the_lock(error: type[BaseException]) -> None:
    runs = iter(range(9))

    def fails() -> None:
        if next(runs) == 6:
            raise error("mid-run")

    with pytest.raises(error):
        time_rounds({"a": fails, "b": lambda: None}, CPU, Effort(seconds=0))
    assert gc.isenabled()
    with exclusive(CPU):
        pass


def test_a_cancelled_wait_in_a_thread_ends() -> None:
    cancel, ended = threading.Event(), threading.Event()

    def wait() -> None:
        with pytest.raises(Cancelled), exclusive(CPU, cancel):
            pytest.fail("two threads held the lock")
        ended.set()

    with exclusive(CPU):
        thread = threading.Thread(target=wait)
        thread.start()
        cancel.set()
        thread.join(10)
    assert ended.is_set()


def test_waiting_is_counted_for_the_thread_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "WORTH_TELLING_S", 0.05)
    told, ended = [], threading.Event()

    def wait() -> None:
        with exclusive(CPU, tell=told.append), exclusive(CPU, tell=told.append):
            ended.wait(10)

    thread = threading.Thread(target=wait)
    assert waited_s(thread) == 0
    mine = waited_s(threading.current_thread())
    with exclusive(CPU):
        thread.start()
        until(lambda: waited_s(thread) > 0.15)  # while it still waits
        mine_now = waited_s(threading.current_thread())
    assert mine_now - mine < 0.1, "it was free"
    until(lambda: lock_module._WAITS[thread].since is None)
    waited = waited_s(thread)
    assert waited > 0.15 and not ended.wait(0.05) and waited_s(thread) == waited, "it holds the lock and waits no more"
    ended.set()
    thread.join(10)
    assert told == [lock_module.WAITING]


def test_a_latency_that_waits_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "WORTH_TELLING_S", 0.05)
    told: list[tuple[int, int, str]] = []
    effort = Effort(seconds=0, progress=lambda *at: told.append(at))
    calls = {"a": lambda: None, "b": lambda: None}
    thread = threading.Thread(target=lambda: time_rounds(calls, CPU, effort))
    with exclusive(CPU):
        thread.start()
        until(lambda: told)
    thread.join(10)
    assert told[0] == (0, 0, "waiting for another timing")
    assert {text for _, _, text in told[1:]} == {"timing"}


def test_a_short_wait_is_not_told() -> None:
    with exclusive(CPU, tell=pytest.fail):
        pass


class Nvml:
    """An invented driver: a board that draws so many millijoules a call."""

    class NVMLError(Exception):
        pass

    def __init__(self, fails: bool = False) -> None:
        self.total, self.fails = 5e6, fails

    def nvmlInit(self) -> None:
        if self.fails:
            raise self.NVMLError("no driver")

    def nvmlDeviceGetHandleByUUID(self, identity: str) -> str:
        assert identity == "GPU-12-34"
        return "board"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        assert handle == "board"
        return int(self.total)


class Facts:
    uuid = "12-34"


def test_energy_is_the_counters_difference_over_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, now = Nvml(), [0.0]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: Facts)
    monkeypatch.setattr(timing_module.time, "perf_counter", lambda: now[0])

    def call() -> None:
        nvml.total += 7
        now[0] += 0.1

    assert energy_mj(call, GPU) == pytest.approx(7)
    assert now[0] >= SECONDS


def test_without_a_counter_there_is_no_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: Facts)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(fails=True))  # type: ignore[arg-type]
    assert energy_mj(pytest.fail, GPU) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]
    assert energy_mj(pytest.fail, GPU) is None
    assert energy_mj(pytest.fail, CPU) is None
    assert peak_bytes(pytest.fail, CPU) is None


def test_a_thread_that_holds_it_already_goes_on() -> None:
    with exclusive(CPU), exclusive(CPU):
        pass
    cancel = threading.Event()
    cancel.set()
    with exclusive(CPU, cancel):
        """It is free again after the inner one was left, too."""
