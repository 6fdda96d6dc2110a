"""A latency: both baselines in one run, its table with floors, what it keeps, and what a failure leaves behind."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.errors import ExplorerError
from explorer.latency import COLUMNS, Against, Latency, Stopwatch, latency_table
from explorer.latency import stopwatch as stopwatch_module
from explorer.ledger import EAGER, conditions_of
from explorer.measure import Effort, Rates, RateStore, Ratio, caches, exclusive, find_device
from explorer.measure import probe as probe_module
from explorer.measure import rates as rates_module
from explorer.run import Cost, RunError, clear_faults, costs_of, inside_of, lower, make_schedule
from tests.engine.conftest import build_vit, vit_data

Open = Callable[..., px.Session]
FC1 = "blocks.0.fc1/linear"
RATES = Rates({1 << 10: 4e9, 1 << 20: 1e9}, {"fp32": 1e11, "bf16": 2e11, "int8": 1e12})


@pytest.fixture(autouse=True)
def own_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test measures the device, and none leaves rates to the next."""
    monkeypatch.setattr(RateStore, "_seen", {})
    monkeypatch.setattr(stopwatch_module, "probe", lambda device, effort: RATES)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[px.Session, px.Recipe, Latency]:
    """One session, its INT8 recipe and that recipe's latency, which several tests look at."""
    x, y = vit_data()
    store = tmp_path_factory.mktemp("store") / "trials.sqlite"
    s = px.open(build_vit(), inputs=x[:2], data=(x, y), task="classification", device="cpu", batch_size=16, store=store)
    recipe = s.set("kind:linear", "int8")
    return s, recipe, s.latency(seconds=0.1)


def test_both_baselines_run_beside_the_candidate(measured: tuple[px.Session, px.Recipe, Latency]) -> None:
    _, _, found = measured
    assert found.baseline_ms == found.eager_ms
    assert (found.speedup, *found.interval) == (found.over_eager.value, found.over_eager.low, found.over_eager.high)
    assert found.over_fp32.value == pytest.approx(found.fp32_ms / found.candidate_ms)
    assert found.kernel_gain * found.precision_gain == pytest.approx(found.over_eager.value)
    assert found.throughput == pytest.approx(16 / found.candidate_ms * 1e3)
    assert found.percentiles["p50"] == pytest.approx(found.candidate_ms)
    assert found.rest_us == pytest.approx(found.candidate_ms * 1e3 - found.table.time_us.sum())
    assert (found.engine, found.energy_mj, found.peak_bytes) == ("eager", None, None)
    assert "warm, run twice before" in found.conditions
    assert found.drift.low <= found.drift.value <= found.drift.high


def test_the_baseline_asked_for_is_the_one_of_the_speedup(
    measured: tuple[px.Session, px.Recipe, Latency], monkeypatch: pytest.MonkeyPatch
) -> None:
    s, recipe, _ = measured
    monkeypatch.setattr(caches, "MOST_BYTES", 1 << 20)
    over_fp32 = s.latency(recipe, against="fp32", seconds=0.02)
    assert over_fp32.baseline_ms == over_fp32.fp32_ms
    assert over_fp32.conditions.startswith("over best FP32 · batch 16")
    over_itself = s.latency(recipe, against=recipe, seconds=0.02)
    assert over_itself.baseline_ms not in (over_itself.eager_ms, over_itself.fp32_ms)
    assert f"over recipe {recipe.hash}" in over_itself.conditions
    cold = s.latency(recipe, seconds=0.0, cold=True)
    assert "cold, caches emptied" in cold.conditions
    kept = s.known(recipe).latency
    assert kept is not None
    assert kept.conditions.startswith(EAGER) and "warm" in kept.conditions, "neither of the others answers for it"
    assert conditions_of(EAGER, "compile", True) == f"{EAGER}|engine=compile|cold"


def test_what_is_kept_is_read_again_and_an_older_one_is_not(measured: tuple[px.Session, px.Recipe, Latency]) -> None:
    s, _, found = measured
    kept = json.loads(json.dumps(found.to_dict()))
    again = Latency.from_dict(kept)
    assert again.to_dict() == found.to_dict()
    assert (again.over_eager, again.steady, again.interval) == (found.over_eager, found.steady, found.interval)
    for old in ({**kept, "format": 1}, {name: kept[name] for name in kept if name not in ("format", "drift")}):
        with pytest.raises(ExplorerError, match="measuring it again"):
            Latency.from_dict(old)
    ledger = vars(s)["_ledger"]
    one = s.recipe.with_precision(["head/linear"], "fp32", "test")
    key = vars(type(ledger))["_latency_key"](ledger, one, EAGER)
    older = replace(key, conditions=key.conditions.replace("|format=2", ""))
    ledger.store.add(older, 5, {"baseline_ms": 1.0}, "model", one.to_json(), {})
    assert s.known(one).latency is None


def test_a_machine_that_drifts_is_not_steady(measured: tuple[px.Session, px.Recipe, Latency]) -> None:
    _, _, found = measured
    assert replace(found, drift=Ratio(1.2, 0.9, 1.4)).steady
    assert replace(found, drift=Ratio(1.04, 1.03, 1.05)).steady
    assert not replace(found, drift=Ratio(1.2, 1.1, 1.3)).steady


def test_the_table_names_what_is_inside_another_call(vit_bench: Any) -> None:
    plan = vit_bench.planner.plan(vit_bench.recipe(linear="int8"))
    schedule = make_schedule(plan, vit_bench.kernels)
    times = {call.id: 100.0 for call in schedule.calls}
    table = latency_table(plan, times, {}, costs_of(schedule, vit_bench.kernels), RATES).set_index("id")
    inside = inside_of(plan)
    assert inside
    views = {step.op.id for step in plan.steps if step.kernel is None}
    named = [name for name in inside if name not in views]
    fused = table.loc[named]
    assert list(fused.inside) == [inside[name] for name in named]
    assert fused[["time_us", "floor_us", "of_limit"]].isna().all(axis=None)
    assert table.time_us["views"] == pytest.approx(100 * len(views - set(inside)))
    assert table.time_us.sum() == pytest.approx(100 * len(schedule.calls))
    own = table.drop([*named, "views"])
    assert (own.floor_us > 0).all()
    assert np.allclose(own.of_limit, own.floor_us / own.time_us)


def test_nothing_is_faster_than_its_floor(vit_bench: Any) -> None:
    plan = vit_bench.planner.plan(vit_bench.recipe(linear="fp8"))
    schedule = make_schedule(plan, vit_bench.kernels)
    costs = costs_of(schedule, vit_bench.kernels)
    table = latency_table(plan, {call.id: 1e-3 for call in schedule.calls}, {}, costs, RATES).set_index("id")
    assert set(table.of_limit.dropna()) == {1.0}
    assert table.floor_us.dropna().eq(1e-3).all()
    emulated = table[table.emulated]
    assert len(emulated)
    assert emulated.of_limit.isna().all()
    without = latency_table(plan, {call.id: 1.0 for call in schedule.calls}, {})
    assert list(without.columns) == COLUMNS
    assert without.of_limit.isna().all()


def test_costs_count_what_a_call_touches_and_multiplies(vit_bench: Any) -> None:
    def cost(op: str, **choices: str) -> Cost:
        plan = vit_bench.planner.plan(vit_bench.recipe(**choices))
        return costs_of(make_schedule(plan, vit_bench.kernels), vit_bench.kernels)[op]

    rows, wide, narrow = 3 * 7, 80, 32
    operations = 2 * rows * wide * narrow
    assert cost(FC1) == Cost(4 * (rows * narrow + rows * wide + wide * narrow + wide), {("fp32",): operations})
    bf16 = cost(FC1, every="bf16")
    assert bf16 == Cost(2 * (rows * narrow + rows * wide + wide * narrow + wide), {("bf16",): operations})
    int8 = cost(FC1, linear="int8")
    assert int8.operations == {("int8",): operations}
    assert int8.bytes < cost(FC1).bytes
    assert cost(FC1, linear="w8").operations == {("fp32", "bf16", "fp16"): operations}
    attention = cost("blocks.0/attention")
    assert attention == Cost(4 * 4 * rows * narrow, {("fp32",): 4 * rows * narrow * 7})
    norm = cost("blocks.0.norm1/layer_norm")
    assert norm == Cost(4 * (2 * rows * narrow + 2 * narrow))
    cast = next(name for name in costs_of(_int8_schedule(vit_bench), vit_bench.kernels) if name.startswith("cast:"))
    assert costs_of(_int8_schedule(vit_bench), vit_bench.kernels)[cast] == Cost(3 * 7 * 24 * 5)


def _int8_schedule(bench: Any) -> Any:
    return make_schedule(bench.planner.plan(bench.recipe(linear="int8")), bench.kernels)


def test_a_lookup_reads_only_the_rows_it_looks_up(llama_bench: Any) -> None:
    schedule = make_schedule(llama_bench.planner.plan(llama_bench.base), llama_bench.kernels)
    costs = costs_of(schedule, llama_bench.kernels)
    name = next(name for name in costs if name.endswith("embedding"))
    weight = 17 * 32 * 4
    assert costs[name] == Cost(8 * 3 * 11 + 4 * 3 * 11 * 32 + weight)


def test_floors_take_the_larger_of_bytes_and_operations() -> None:
    assert Cost(1 << 10).floor_us(RATES) == pytest.approx((1 << 10) / 4e3)
    assert Cost(1 << 20, {("fp32",): 10**6}).floor_us(RATES) == pytest.approx((1 << 20) / 1e3)
    assert Cost(1, {("fp32",): 10**6}).floor_us(RATES) == pytest.approx(10)
    assert Cost(1, {("fp32", "bf16"): 10**6}).floor_us(RATES) == pytest.approx(5)
    assert Cost(1 << 10, {("fp8",): 10**9}).floor_us(RATES) == Cost(1 << 10).floor_us(RATES), "no rate, no bound"
    assert Cost(1).floor_us(Rates()) is None


def test_bandwidth_between_sizes_and_beyond_them() -> None:
    assert RATES.bytes_per_second(1) == RATES.bytes_per_second(1 << 10) == pytest.approx(4e9)
    assert RATES.bytes_per_second(1 << 15) == pytest.approx(2e9)
    assert RATES.bytes_per_second(1 << 30) == pytest.approx(1e9)
    slow_start = Rates({1 << 10: 1e9, 1 << 20: 3e9})
    assert slow_start.bytes_per_second(1 << 10) == pytest.approx(3e9), "what streams from more also does from less"


def test_rates_are_kept_joined_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RateStore(tmp_path)
    assert store.find("cpu") is None
    assert store.measure("cpu", lambda: Rates({1024: 2e9}, {"fp32": 5.0})) == Rates({1024: 2e9}, {"fp32": 5.0})
    busy = store.measure("cpu", lambda: Rates({1024: 1e9}, {"fp32": 6.0, "bf16": 7.0}))
    assert busy == Rates({1024: 2e9}, {"fp32": 6.0, "bf16": 7.0}, probes=2), "the best that was ever seen"
    store.measure("cuda", lambda: RATES)
    monkeypatch.setattr(RateStore, "_seen", {})
    assert RateStore(tmp_path).find("cpu") == busy
    assert RateStore(tmp_path).find("cuda") == RATES


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"format": 99, "devices": {"cpu": {"bandwidth": [[1, 2]], "arithmetic": {}, "probes": 1}}}',
        '{"format": 1, "devices": {"cpu": 3}}',
        '{"format": 1, "devices": {"cpu": {"bandwidth": [[1, 2]], "arithmetic": {}}}}',
        '{"format": 1, "devices": {"cpu": {"bandwidth": [[1, 2]], "arithmetic": {}, "probes": 0}}}',
        '{"format": 1, "devices": {"cpu": {"bandwidth": [], "arithmetic": {}, "probes": 1}}}',
        '{"format": 1, "devices": {"cpu": {"bandwidth": [[1, -2]], "arithmetic": {}, "probes": 1}}}',
        '{"format": 1, "devices": {"cpu": {"bandwidth": [[1, NaN]], "arithmetic": {}, "probes": 1}}}',
        '{"format": 1, "devices": {"cpu": {"bandwidth": [[1, 2]], "arithmetic": {"fp32": "fast"}, "probes": 1}}}',
    ],
)
def test_a_damaged_file_of_rates_is_measured_again(tmp_path: Path, text: str) -> None:
    (tmp_path / rates_module.FILE).write_text(text)
    store = RateStore(tmp_path)
    assert store.find("cpu") is None
    assert store.measure("cpu", lambda: RATES) == RATES
    assert json.loads(store.path.read_text())["devices"]["cpu"]["arithmetic"]["fp32"] == 1e11


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    store = RateStore(tmp_path / "missing")
    assert store.measure("cpu", lambda: RATES) == RATES
    assert store.find("cpu") == RATES


def test_short_measurements_leave_the_rates_for_later(session: px.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(stopwatch_module, "probe", lambda device, effort: asked.append("probe") or RATES)
    assert session.latency(seconds=0.02).table.floor_us.isna().all()
    assert not asked
    found = session.latency(seconds=1.0, within=0.9)
    assert asked
    limits = found.table.set_index("id").of_limit.drop("views")
    assert limits.between(0, 1).all()
    assert (vars(session)["_ledger"].store.path.parent / rates_module.FILE).exists()
    asked.clear()
    assert session.latency(seconds=0.02).table.floor_us.notna().any(), "known from then on"
    assert not asked


def test_rates_are_measured_in_three_measurements_not_one(session: px.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(stopwatch_module, "probe", lambda device, effort: asked.append("probe") or Rates({1024: 1e15}))
    for _ in range(5):
        session.latency(seconds=1.0, within=0.9)
    assert len(asked) == 3


def test_rates_that_too_much_beats_are_measured_again(session: px.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter((Rates({1024: 1.0}, {}, probes=3), Rates({1024: 1e15}, {})))
    monkeypatch.setattr(stopwatch_module, "probe", lambda device, effort: next(found))
    table = session.latency(seconds=1.0, within=0.9).table
    assert (table.of_limit.dropna() < 1).all()


def test_a_device_is_probed_within_its_lock_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "CPU_SIZES", (1 << 12,))
    monkeypatch.setattr(probe_module, "CPU_SHAPE", (32, 32, 32))
    monkeypatch.setattr(probe_module, "SECONDS_EACH", 0.001)
    device = find_device("cpu")
    found = probe_module.probe(device)
    assert found.bandwidth[1 << 12] > 0
    assert {"fp32", "int8"} <= set(found.arithmetic) < set(probe_module.PRODUCTS), "no TF32, no FP8 on a CPU"
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(px.Cancelled):
        probe_module.probe(device, Effort(cancel=cancel))
    with exclusive(device):
        pass


class Broken(Exception):
    pass


def _break(session: px.Session, error: BaseException, after: int = 3) -> px.Recipe:
    """Let the INT8 kernel of FC1 fail with ``error`` from its call ``after`` on."""
    recipe = session.set(FC1, "int8")
    plan = session.plan_of(recipe)
    kernels = vars(session)["_kernels"]
    packed = kernels.get(plan.step_of[FC1])
    runs = iter(range(10**6))

    def broken(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            if next(runs) >= after:
                raise error
            return function(*inputs)

        return run

    extend = packed.extend
    breaking = replace(
        packed,
        run=broken(packed.run),
        extend=None if extend is None else lambda post: (made := extend(post)) and broken(made),
    )
    cache = vars(kernels)["_packed"]
    for key, value in list(cache.items()):
        if value is packed:
            cache[key] = breaking
    return recipe


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (Broken("mid-run"), RunError, r"in 'blocks\.0\.fc1/linear.*Broken: mid-run.*another precision"),
        (MemoryError("no more"), RunError, r"out of memory \(no more\).*smaller batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory"), RunError, "out of memory .*smaller batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate"), RunError, "out of memory .*smaller batch_size"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_kernel_that_fails_mid_run_leaves_the_session_usable(
    session: px.Session, error: BaseException, raised: type[BaseException], message: str | None
) -> None:
    recipe = _break(session, error)
    with pytest.raises(raised, match=message) as caught:
        session.latency(recipe, seconds=0.1)
    if isinstance(caught.value, RunError):
        assert caught.value.op.startswith(FC1)
    assert session.recipe == recipe
    assert session.known(recipe).latency is None
    assert session.latency(session.set(FC1, "bf16"), seconds=0.02).n >= 5


def test_out_of_memory_lets_go_of_what_the_call_held(vit_bench: Any) -> None:
    held: list[weakref.ref[Tensor]] = []

    def fails() -> None:
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory")

    lowered = lower(vit_bench.planner.plan(vit_bench.base), vit_bench.kernels)
    with pytest.raises(RunError), clear_faults("time a recipe", lowered):
        fails()
    assert held[0]() is None


def test_a_failing_module_of_the_user_is_told_without_an_op(open_vit: Open, vit: nn.Module) -> None:
    session = open_vit()
    vit.forward = lambda *_: (_ for _ in ()).throw(Broken("gone"))  # type: ignore[assignment]
    with pytest.raises(RunError, match="time a recipe: Broken: gone") as caught:
        session.latency(seconds=0.02)
    assert caught.value.op == ""


def test_unknown_engines_and_cuda_graphs_on_a_cpu_are_refused(session: px.Session) -> None:
    with pytest.raises(ExplorerError, match="no such engine"):
        session.latency(engine="warp")
    with pytest.raises(ExplorerError, match="this device is a CPU"):
        session.latency(engine="cudagraph")
    assert session.known().latency is None


def test_the_stopwatch_stops_on_the_ratio_asked_for(session: px.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[tuple[str, str]] = []
    original = stopwatch_module.time_rounds

    def spy(calls: Any, device: Any, effort: Any, watch: tuple[str, str]) -> Any:
        watched.append(watch)
        assert list(calls)[:3] == ["eager", "fp32", "candidate"]
        return original(calls, device, effort, watch)

    monkeypatch.setattr(stopwatch_module, "time_rounds", spy)
    stopwatch: Stopwatch = vars(session)["_stopwatch"]
    stopwatch.measure(session.plan, Against("over best FP32", "fp32"), "eager", Effort(seconds=0.0))
    assert watched == [("fp32", "candidate")]


def test_what_was_compiled_stays_ready_for_the_same_plan(session: px.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def compile_(function: Any, dynamic: bool) -> Any:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    first = session.latency(engine="compile", seconds=0.0)
    assert first.engine == "compile"
    assert "compile (compiled in " in first.conditions
    assert session.latency(engine="compile", seconds=0.0).conditions == first.conditions
    assert len(compiled) == 1
    session.set(FC1, "int8")
    session.latency(engine="compile", seconds=0.0)
    assert len(compiled) == 2
    assert session.known().latency is None, "a compiled recipe does not answer for one run as plain calls"
