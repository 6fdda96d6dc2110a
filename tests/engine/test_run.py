"""Plans and casts, execution, replay and lowering: one result however it is computed."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.errors import Cancelled
from explorer.graph import flatten_inputs, interpret
from explorer.kernels import CARRIERS, simd
from explorer.run import (
    Executor,
    KernelCache,
    KernelError,
    Replay,
    choose_cuts,
    inside_of,
    keys_of,
    lower,
    make_schedule,
    profile,
)
from explorer.run.fuse import find_overwrites

RECIPES: list[dict[str, str]] = [
    {},
    {"every": "bf16"},
    {"linear": "int8"},
    {"every": "bf16", "linear": "int8"},
    {"linear": "w8", "layer_norm": "bf16"},
    {"linear": "fp8", "attention": "fp8"},
    {"every": "fp16"},
    {"linear": "w4", "gelu": "fp16", "add": "bf16"},
]


def test_fp32_plan_equals_the_graph(bench: Any) -> None:
    assert torch.equal(bench.run(bench.base), interpret(bench.graph, bench.inputs))
    assert not bench.planner.plan(bench.base).casts


@pytest.mark.parametrize("choices", RECIPES, ids=str)
def test_lowered_equals_executed_bit_for_bit(bench: Any, choices: dict[str, str]) -> None:
    recipe = bench.recipe(**choices)
    lowered = lower(bench.planner.plan(recipe), bench.kernels)
    assert torch.equal(lowered(*bench.inputs), bench.run(recipe))
    assert torch.equal(lowered(*bench.inputs), bench.run(recipe)), "a second call gives the same"


@pytest.mark.parametrize("choices", RECIPES[1:], ids=str)
def test_recipes_change_the_output_a_little(bench: Any, choices: dict[str, str]) -> None:
    exact, got = bench.run(bench.base), bench.run(bench.recipe(**choices))
    assert got.dtype == torch.float32
    assert got.isfinite().all()
    if bench.recipe(**choices) != bench.base:
        assert not torch.equal(got, exact)
        assert (got - exact).norm() / exact.norm() < 0.35


def test_casts_are_shared_and_only_where_formats_change(vit_bench: Any) -> None:
    plan = vit_bench.planner.plan(vit_bench.recipe(linear="int8"))
    down = [cast for cast in plan.casts if cast.direction == "down"]
    assert {cast.to for cast in plan.casts} == {"int8"}
    assert len(down) == len(plan.casts) == 10, "one per linear: each gives FP32 again in its epilogue"
    assert all(cast.bytes == cast.elements * 5 for cast in plan.casts)
    everything = vit_bench.planner.plan(vit_bench.recipe(every="bf16"))
    assert [(c.from_, c.to, c.direction) for c in everything.casts] == [
        ("fp32", "bf16", "down"),
        ("bf16", "fp32", "up"),
    ]


def test_inputs_that_are_shared_are_quantised_once(llama_bench: Any) -> None:
    plan = llama_bench.planner.plan(llama_bench.recipe(linear="int8"))
    shared = [cast for cast in plan.casts if len(cast.consumers) > 1]
    assert any({c.split("/")[0].rpartition(".")[2] for c in cast.consumers} == {"q_proj", "k_proj", "v_proj"}
               for cast in shared)  # fmt: skip
    assert any(len(cast.consumers) == 2 and "gate_proj" in cast.consumers[0] for cast in shared)


def test_a_mask_is_not_quantised(llama_bench: Any) -> None:
    plan = llama_bench.planner.plan(llama_bench.recipe(attention="fp8"))
    for step in plan.steps:
        if step.op.kind == "attention":
            assert [CARRIERS[c].scheme is not None for c in step.takes.values()] == [True] * 3


@pytest.mark.parametrize("first", RECIPES[:4], ids=str)
def test_replay_after_any_one_toggle_is_bit_identical(vit_bench: Any, first: dict[str, str]) -> None:
    bench = vit_bench
    replay = Replay(choose_cuts(bench.graph, bench.shapes, [1.0] * len(bench.graph.ops), 1, 1 << 20), 1 << 20)
    assert len(replay.cuts) > 2
    inputs = dict(zip(bench.graph.inputs, bench.inputs, strict=True))
    start = bench.recipe(**first)
    replay.run(Executor(bench.planner.plan(start), bench.kernels), 0, inputs)
    resumed = 0
    for op in bench.graph.rows:
        toggled = start.with_precision([op.id], "bf16" if start[op.id] != "bf16" else "fp32", "test")
        executor = Executor(bench.planner.plan(toggled), bench.kernels)
        resumed += replay._resume(0, executor.plan.prefix_keys, inputs)[0] > 0
        assert torch.equal(replay.run(executor, 0, inputs), bench.run(toggled)), op.id
        assert replay.bytes <= replay.budget_bytes
        replay.run(Executor(bench.planner.plan(start), bench.kernels), 0, inputs)
    assert resumed > len(bench.graph.rows) / 2, "most toggles resume from a cut"


def test_replay_without_a_budget_keeps_nothing(vit_bench: Any) -> None:
    bench = vit_bench
    assert choose_cuts(bench.graph, bench.shapes, [1.0] * len(bench.graph.ops), 1, 0) == ()


def test_lowered_frees_values_and_shows_its_source(vit_bench: Any) -> None:
    lowered = lower(vit_bench.planner.plan(vit_bench.recipe(linear="int8")), vit_bench.kernels)
    assert lowered.source.startswith("def forward(v_x):")
    assert "blocks.0.qkv/linear" in lowered.source
    assert "del " in lowered.source


def test_residual_adds_go_into_the_int8_products_before_them(vit_bench: Any) -> None:
    plan = vit_bench.planner.plan(vit_bench.recipe(linear="int8"))
    lines = [line for line in lower(plan, vit_bench.kernels).source.splitlines() if " = k" in line]
    fused = [line.partition("# ")[2] for line in lines if " + " in line]
    block = ["{0}.proj/linear + {0}/add", "{0}.fc2/linear + {0}/add_1"]
    expected = [text.format(f"blocks.{index}") for index in (0, 1) for text in block]
    assert [text for text in fused if "/add" in text] == expected
    assert len(lines) == len(plan.steps) + len(plan.casts) - len(inside_of(plan))


OWN_NORMS = pytest.mark.skipif(not simd.here(), reason="our own norms need AVX512-VNNI")


@OWN_NORMS
@pytest.mark.parametrize(("precision", "carrier"), [("int8", "int8:token"), ("int8_static", "uint8:static")])
def test_norms_write_the_codes_of_the_products_after_them(vit_bench: Any, precision: str, carrier: str) -> None:
    plan = vit_bench.planner.plan(vit_bench.recipe(linear=precision))
    lowered = lower(plan, vit_bench.kernels)
    calls = {call.id: call for call in lowered.schedule.calls}
    norms = [step.op for step in plan.steps if step.op.kind == "layer_norm"]
    assert len(norms) == 4
    for op in norms:
        assert plan.kernels[op.id] == "explorer layer_norm"
        assert calls[op.id].inside == (f"cast:{op.name}:{carrier}",)
        assert calls[op.id].makes == (op.name, carrier)
        assert calls[op.id].key.endswith(f" + {carrier}")
        assert inside_of(plan)[f"cast:{op.name}:{carrier}"] == op.id
    assert torch.equal(lowered(*vit_bench.inputs), vit_bench.run(plan.recipe))


@OWN_NORMS
@pytest.mark.parametrize(("precision", "carrier"), [("int8", "int8:token"), ("int8_static", "uint8:static")])
def test_attentions_write_the_codes_of_the_products_after_them(vit_bench: Any, precision: str, carrier: str) -> None:
    plan = vit_bench.planner.plan(vit_bench.recipe(linear=precision))
    lowered = lower(plan, vit_bench.kernels)
    calls = {call.id: call for call in lowered.schedule.calls}
    attentions = [step.op for step in plan.steps if step.op.kind == "attention"]
    assert len(attentions) == 2
    for op in attentions:
        assert plan.kernels[op.id] == "explorer attention"
        turned, joined, cast = calls[op.id].inside
        assert (turned.rpartition("/")[2][:9], joined.rpartition("/")[2][:7]) == ("transpose", "reshape")
        value = plan.step_of[joined].op.name
        assert cast == f"cast:{value}:{carrier}" and calls[op.id].makes == (value, carrier)
        assert calls[op.id].key.endswith(f" + {carrier}")
    assert torch.equal(lowered(*vit_bench.inputs), vit_bench.run(plan.recipe))


def test_an_attention_in_fp32_stays_torch_s_where_no_codes_are_read(vit_bench: Any) -> None:
    for recipe in (vit_bench.base, vit_bench.recipe(linear="bf16")):
        kernels = vit_bench.planner.plan(recipe).kernels
        assert {name for op, name in kernels.items() if op.endswith("attention")} == {"torch fp32"}


class Normed(nn.Module):
    """[n, 3, 16] -> [n, 3, 16]: norms that two products read, that a sum reads too, and that a view reads."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.residual, self.viewed = (nn.LayerNorm(16) for _ in range(3))
        self.left, self.right, self.up, self.down = (nn.Linear(16, 16) for _ in range(4))
        self.last = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.both(x)
        x = self.residual(self.left(x) * self.right(x))
        x = self.viewed(x + self.up(x))
        out: Tensor = self.last(self.down(x.transpose(0, 1)))
        return out


@OWN_NORMS
def test_norms_that_are_read_as_they_are_stay_those_of_torch(make_bench: Any) -> None:
    bench = make_bench(Normed().eval(), torch.randn(5, 3, 16))
    for recipe, own in (
        (bench.base, set()),
        (bench.recipe(linear="int8"), {"both/layer_norm"}),
        (bench.recipe(linear="int8").with_precision(["left/linear"], "bf16", "test"), set()),
        (bench.recipe(linear="int8").with_precision(["left/linear"], "int8_static", "test"), set()),
        (bench.recipe(linear="int8", layer_norm="bf16"), set()),
    ):
        plan = bench.planner.plan(recipe)
        assert {op for op, kernel in plan.kernels.items() if kernel == "explorer layer_norm"} == own
        lowered = lower(plan, bench.kernels)
        assert torch.equal(lowered(*bench.inputs), bench.run(recipe))
        casts = [call.id for call in lowered.schedule.calls if call.id == "cast:layer_norm:int8:token"]
        assert not (own and casts)


class Sums(nn.Module):
    """[n, 3, 16] -> [n, 3, 16]: adds that look like a residual's and are none that a product could take in."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        read_twice = self.first(x)
        x = read_twice + x + read_twice.mean()
        x = torch.add(x, self.second(x), alpha=2)
        broadcast = self.third(x) + x.mean(1, keepdim=True)
        out: Tensor = broadcast + broadcast
        return out


def test_adds_that_compute_something_else_are_left_alone(make_bench: Any) -> None:
    bench = make_bench(Sums().eval(), torch.randn(5, 3, 16))
    recipe = bench.recipe(linear="int8")
    lowered = lower(bench.planner.plan(recipe), bench.kernels)
    assert " + " not in lowered.source
    assert torch.equal(lowered(*bench.inputs), bench.run(recipe))


def test_the_later_of_two_products_takes_the_earlier_one(make_bench: Any) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(24, 8), nn.Linear(24, 8)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.right(x) + self.left(x)
            return out

    bench = make_bench(Two().eval(), torch.randn(6, 24))
    recipe = bench.recipe(linear="int8")
    lowered = lower(bench.planner.plan(recipe), bench.kernels)
    assert "left/linear + add" in lowered.source
    assert torch.equal(lowered(*bench.inputs), bench.run(recipe))


class Reused(nn.Module):
    """[n, 8] -> [n, 8]: every result that must not be written over its input, and one that may."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        of_input = torch.relu(x)
        twice = self.first(of_input)
        viewed = torch.tanh(twice.reshape(-1, 2, 4)).reshape(-1, 8)
        constant = torch.sigmoid(self.second.bias) + twice
        out: Tensor = viewed + nn.functional.silu(self.second(constant))
        return out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_results_go_over_inputs_only_where_nothing_else_reads_them(make_bench: Any, precision: str) -> None:
    bench = make_bench(Reused().eval(), torch.randn(6, 8))
    plan = bench.planner.plan(bench.recipe(every=precision))
    over = {plan.steps[position].op.kind for position in find_overwrites(plan)}
    assert over == {"silu", "add"}
    lowered, before = lower(plan, bench.kernels), [x.clone() for x in bench.inputs]
    for _ in range(2):
        assert torch.equal(lowered(*bench.inputs), bench.run(plan.recipe))
    assert all(torch.equal(x, kept) for x, kept in zip(bench.inputs, before, strict=True))


def test_activations_and_residuals_go_over_their_inputs(bench: Any) -> None:
    plan = bench.planner.plan(bench.base)
    over = {plan.steps[position].op.id for position in find_overwrites(plan)}
    rows = {op.id for op in bench.graph.rows if op.kind in ("gelu", "relu", "silu") or op.layer in ("blocks.0", "")}
    wanted = {op for op in rows if op.rpartition("/")[2].startswith(("gelu", "relu", "silu", "add"))}
    assert wanted
    assert wanted <= over


def test_profile_times_every_op_and_cast(vit_bench: Any) -> None:
    plan = vit_bench.planner.plan(vit_bench.recipe(linear="int8"))
    (times,) = profile([plan], vit_bench.kernels, vit_bench.inputs, rounds=2)
    schedule = make_schedule(plan, vit_bench.kernels)
    assert set(times) == {call.id for call in schedule.calls} == set(keys_of(plan))
    inside = inside_of(plan)
    assert inside == {done: call.id for call in schedule.calls for done in call.inside}
    assert set(times) | set(inside) == {step.op.id for step in plan.steps} | {cast.id for cast in plan.casts}
    assert {f"blocks.{i}.{name}/linear" for i in (0, 1) for name in ("proj", "fc2")} <= set(inside.values())
    assert all(time > 0 for time in times.values())


class FP32Softmax(nn.Module):
    """[n, 4, 5] -> [n, 4, 5]: attention whose code asks for a softmax in FP32, as many language models' does."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x @ x.transpose(1, 2), -1, dtype=torch.float32) @ x


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_dtype_in_the_models_code_gives_way_to_the_precision(make_bench: Any, precision: str) -> None:
    bench = make_bench(FP32Softmax().eval(), torch.randn(3, 4, 5))
    recipe = bench.recipe(every=precision)
    lowered = lower(bench.planner.plan(recipe), bench.kernels)
    assert torch.equal(lowered(*bench.inputs), bench.run(recipe))
    assert torch.allclose(bench.run(recipe), bench.run(bench.base), atol=0.05)


def test_a_cancelled_run_stops(vit_bench: Any) -> None:
    cancel = threading.Event()
    cancel.set()
    values = dict(zip(vit_bench.graph.inputs, vit_bench.inputs, strict=True))
    with pytest.raises(Cancelled):
        Executor(vit_bench.planner.plan(vit_bench.base), vit_bench.kernels).run(values, cancel=cancel)


def test_a_kernel_that_fails_names_its_op_and_leaves_the_session_usable(
    session: px.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("out of memory, say")

    monkeypatch.setattr(simd, "missing", lambda device: "not here")
    recipe = session.set("blocks.0.fc1/linear", "int8")
    monkeypatch.setattr(torch, "_int_mm", fail)
    with pytest.raises(KernelError, match=r"blocks\.0\.fc1/linear.*torch\._int_mm.*out of memory"):
        session.evaluate(recipe)
    monkeypatch.undo()
    assert session.evaluate(recipe).n == 70


def test_weights_are_counted_as_packed(session: px.Session) -> None:
    linear = [op for op in session.ops.index if session.ops.kind[op] == "linear"]
    elements = sum(
        p.numel() for n, p in vars(session)["_module"].named_parameters() if "weight" in n and "norm" not in n
    )
    session.set(linear, "int8")
    table = session.memory()
    others = sum(session.ops.params[op] for op in session.ops.index if op not in linear) * 4
    assert table.bytes["weights"] == elements + others
    assert table.bytes["scales"] == _rows(session) * 4
    assert table.fp32_bytes["weights"] > 3 * table.bytes["weights"]
    assert table.bytes["activations"] > 0


def _rows(session: px.Session) -> int:
    return sum(m.out_features for m in vars(session)["_module"].modules() if isinstance(m, nn.Linear))


def test_keyword_inputs_reach_the_graph_in_order() -> None:
    ids, mask = torch.randint(0, 17, (2, 9)), torch.ones(2, 9, dtype=torch.long)
    assert flatten_inputs((), {"input_ids": ids, "attention_mask": mask})[1] is mask


def test_packed_weights_are_kept_within_a_budget(vit_bench: Any) -> None:
    plans = [vit_bench.planner.plan(vit_bench.recipe(linear=name)) for name in ("fp32", "int8", "bf16")]
    kernels = KernelCache()
    for plan in plans:
        lower(plan, kernels)
    small = KernelCache(kernels.bytes // 2)
    for _ in range(2):
        for plan in plans:
            lowered = lower(plan, small)
            assert small.bytes <= small.budget_bytes
            assert torch.equal(lowered(*vit_bench.inputs), vit_bench.run(plan.recipe))


def test_layers_of_other_weights_have_times_of_their_own(vit_bench: Any) -> None:
    """Three products of the same input cost 1, 3 and 4 times the work; two of the same shapes share a time."""
    keys = keys_of(vit_bench.planner.plan(vit_bench.recipe()))
    linears = {op: key for op, key in keys.items() if op.endswith(("qkv/linear", "proj/linear", "fc1/linear"))}
    per_block = {op.split(".", 2)[1]: op for op in linears}
    assert len(per_block) > 1
    first, second = ([key for op, key in linears.items() if op.startswith(f"blocks.{block}.")] for block in ("0", "1"))
    assert len(set(first)) == 3
    assert first == second
