"""The session as a user meets it: every public call, wrong inputs with their messages, and a consistent state."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explorer as px
from explorer.errors import BundleError, ModelError, PrecisionError, RecipeError, SelectionError

Open = Callable[..., px.Session]
FC1 = "blocks.0.fc1/linear"


def test_set_by_id_pattern_kind_role_layer_and_list(session: px.Session) -> None:
    assert session.set(FC1, "int8")[FC1] == "int8"
    assert session.recipe.reason(FC1) == "user"
    assert session.set("blocks.*", "bf16").counts == {"bf16": 20, "fp32": 3}
    assert session.set("kind:linear", "int8").counts["int8"] == 10
    session.reset()
    assert session.set("role:compute", "bf16").counts["bf16"] == 12
    session.reset()
    assert session.set("blocks.1", "bf16").counts["bf16"] == 10
    assert session.set([FC1, "head/linear"], "w8").counts["w8"] == 2


def test_patterns_skip_ops_that_cannot_and_ids_do_not(session: px.Session) -> None:
    recipe = session.set("blocks.0", "int8")
    assert recipe[FC1] == "int8"
    assert recipe["blocks.0/add"] == "fp32"
    with pytest.raises(PrecisionError, match=r"set 'blocks\.0/add' to 'int8'.*one of fp32, bf16, fp16"):
        session.set("blocks.0/add", "int8")
    with pytest.raises(PrecisionError, match="no int8 kernel for gelu"):
        session.set("kind:gelu", "int8")
    assert session.recipe == recipe


def test_an_equal_recipe_keeps_its_own_reasons(session: px.Session) -> None:
    session.set(FC1, "int8", reason="because")
    assert session.ops.reason[FC1] == "because"
    session.set(FC1, "int8", reason="otherwise")
    assert session.ops.reason[FC1] == "otherwise"


def test_undo_redo_reset_and_a_new_branch(session: px.Session) -> None:
    start = session.recipe
    first, second = session.set(FC1, "int8"), session.set("head/linear", "bf16")
    assert (session.can_undo, session.can_redo) == (True, False)
    assert session.undo() == first
    assert session.undo() == session.undo() == start
    assert session.redo() == first
    assert session.redo() == session.redo() == second
    session.undo()
    other = session.set(FC1, "bf16")
    assert not session.can_redo
    assert session.undo() == first
    assert session.redo() == other
    assert session.reset() == start
    assert session.set("*", "fp32").is_baseline


def test_ops_options_links_and_formats(session: px.Session) -> None:
    session.set(FC1, "int8")
    ops = session.ops
    assert list(ops.index) == [op.id for op in session.graph.rows]
    row = ops.loc[FC1]
    assert (row.kind, row.role, row.layer, row.precision) == ("linear", "compute", "blocks.0.fc1", "int8")
    assert (row.params, row.flops) == (32 * 80 + 80, 2 * 16 * 7 * 32 * 80)
    assert "int8" in row.kernel or "_int_mm" in row.kernel
    assert not row.emulated
    assert row.source.startswith("linear.py:") or row.source.startswith("conftest.py:")
    assert ops.flops["blocks.0/attention"] == 4 * 16 * 2 * 7 * 7 * 16
    options = session.options(FC1)
    assert tuple(options) == session.precisions
    assert options["fp8"].emulated
    assert options["fp8"].reason
    assert not session.options("blocks.0/add")["int8"].possible
    assert ("blocks.0.fc1/linear", "blocks.0.act/gelu") in session.links
    assert ("embed/linear", "blocks.0/add") in session.links, "the skip connection"
    assert session.formats_out[FC1] == "fp32"


def test_evaluate_pairs_streams_and_answers_again_from_the_store(session: px.Session) -> None:
    recipe = session.set("kind:linear", "mxfp4")
    seen: list[px.Quality] = []
    quality = session.evaluate(partial=seen.append)
    assert [q.n for q in seen] == [64]
    assert (quality.n, quality.total) == (70, 70)
    assert quality.interval[0] <= quality.difference <= quality.interval[1]
    assert quality.score - quality.baseline == pytest.approx(quality.difference)
    assert quality.kl > 0
    assert quality.emulated
    assert 0 < quality.agreement <= 1
    assert session.evaluate(recipe) == quality
    assert session.known(recipe).quality == quality
    assert list(session.trials.kind) == ["quality"]
    baseline = session.evaluate(session.presets()["fp32"])
    assert (baseline.kl, baseline.difference, baseline.agreement, baseline.sqnr_db) == (0, 0, 1, float("inf"))
    assert session.evaluate(recipe, n=20).n == 20


def test_the_store_outlives_the_session(open_vit: Open) -> None:
    first = open_vit()
    quality = first.evaluate(first.set(FC1, "int8"))
    again = open_vit()
    assert again.known(again.set(FC1, "int8")).quality == quality


def test_latency_measures_fills_the_table_and_predicts(session: px.Session) -> None:
    recipe = session.set("kind:linear", "int8")
    assert session.predicted_latency_ms() is None
    found = session.latency(seconds=0.2)
    assert found.n >= 5
    assert found.interval[0] <= found.speedup <= found.interval[1]
    assert found.speedup == pytest.approx(found.baseline_ms / found.candidate_ms)
    assert "over eager FP32" in found.conditions
    assert "batch 16" in found.conditions
    rows = found.table.set_index("id")
    assert set(session.ops.index) <= set(rows.index)
    assert rows.baseline_us[FC1] > 0
    assert found.predicted_ms == pytest.approx(found.table.time_us.sum() / 1e3)
    assert session.predicted_latency_ms(recipe) is not None
    casts = session.casts()
    assert (casts.time_us.notna() == (casts.inside == "")).all()
    known = session.known(recipe).latency
    assert known is not None
    assert known.to_dict() == found.to_dict()
    one = session.recipe.with_precision(["head/linear"], "fp32", "test")
    assert session.predicted_latency_ms(one) is not None, "every op of it was timed in one of the two recipes"
    for against in ("fp32", recipe):
        assert session.latency(against=against, seconds=0.05).n >= 5


def test_presets_apply_and_name_their_reason(session: px.Session) -> None:
    presets = session.presets()
    assert {"fp32", "bf16", "autocast-bf16", "autocast-fp16", "int8-dynamic", "first-last-high", "w8", "w4"} <= set(
        presets
    )
    assert {"fp16", "int8-static", "w16", "w4-g128"} <= set(presets)
    assert presets["int8-static"][FC1] == "int8_static"
    assert presets["int8-static"]["blocks.0/add"] == presets["w16"]["blocks.0.norm1/layer_norm"] == "fp32"
    assert presets["w16"][FC1] == "w16"
    assert set(presets["fp16"].precisions.values()) == {"fp16"}
    high = presets["first-last-high"]
    assert high["embed/linear"] == high["head/linear"] == "fp32"
    assert high[FC1] == "int8"
    assert presets["autocast-bf16"]["blocks.0.norm1/layer_norm"] == "fp32"
    assert session.apply(presets["int8-dynamic"]).reason(FC1) == "preset: int8-dynamic"
    session.apply(presets["bf16"])
    assert set(session.formats_out.values()) == {"bf16"}


def test_recipe_json_round_trip_diff_and_hash(session: px.Session) -> None:
    recipe = session.set(FC1, "int8")
    again = px.Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert again.hash == recipe.hash != session.presets()["fp32"].hash
    difference = session.presets()["fp32"].diff(recipe)
    assert difference.to_dict("records") == [{"op": FC1, "from": "fp32", "to": "int8"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-5], "not JSON"),
        (lambda text: "[]", "schema is 'list'"),
        (lambda text: text.replace("recipe/1", "recipe/9"), "recipe/9"),
        (lambda text: text.replace('"fp32"', '"fp33"', 1), "fp33"),
        (lambda text: text.replace('"precision": "fp32"', '"precision": 7', 1), "has no precision"),
        (lambda text: json.dumps({**json.loads(text), "ops": 3}), "missing"),
    ],
)
def test_corrupted_recipes_are_refused(session: px.Session, change: Callable[[str], str], message: str) -> None:
    with pytest.raises(px.ExplorerError, match=message):
        px.Recipe.from_json(change(session.recipe.to_json()))


def test_recipes_of_another_model_or_graph_are_refused(session: px.Session, open_vit: Open, vit: nn.Module) -> None:
    other = type(vit)().eval()
    foreign = open_vit(model=other).recipe
    with pytest.raises(RecipeError, match="fingerprint"):
        session.apply(foreign)
    short = px.Recipe(session.name, session.recipe.fingerprint, session.recipe.choices[1:])
    with pytest.raises(RecipeError, match="not in both recipe and model"):
        session.apply(short)
    with pytest.raises(PrecisionError):
        session.apply(session.recipe.with_precision(["blocks.0/add"], "int8", "test"))
    assert session.recipe.is_baseline


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.set("blocks.9", "int8"), SelectionError, "select 'blocks.9'"),
        (lambda s: s.set([], "int8"), SelectionError, "empty"),
        (lambda s: s.set(3, "int8"), SelectionError, "it is a int"),
        (lambda s: s.set(FC1, "int7"), PrecisionError, "'int8'"),
        (lambda s: s.options("nothing"), SelectionError, "no op"),
        (lambda s: s.recipe["nothing"], SelectionError, "no such op"),
        (lambda s: s.latency(against="yesterday"), RecipeError, "'eager', 'fp32' or a recipe"),
    ],
)
def test_wrong_calls(session: px.Session, call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(session)
    assert session.recipe.is_baseline


X, Y = torch.randn(6, 7, 24), torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": (X[:0], Y[:0])}, "no samples"),
        ({"data": (X, Y[:4])}, "lengths differ"),
        ({"data": (X[..., :20], Y)}, r"samples are \[7, 20\], the example input is \[7, 24\]"),
        ({"data": (X.double(), Y)}, "float64"),
        ({"data": (X, Y + 9)}, "labels go from 9 to 13, the model has 5 classes"),
        ({"data": (X, Y.float())}, "labels are torch.float32"),
        ({"data": (X, Y[:, None])}, "labels have shape"),
        ({"data": 7}, "DataLoader"),
        ({"data": (X, None)}, "no targets"),
        ({"task": "guessing"}, "no such task"),
        ({"task": lambda output, target: torch.zeros(())}, "one number per sample"),
        ({"inputs": X[:2, :, :20]}, "does not run on the inputs given"),
        ({"inputs": "x"}, "tensor"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"device": "tpu"}, "no such device"),
        ({"model": "no-such-model"}, "no such file"),
        ({"model": 5}, "it is int"),
    ],
)
def test_wrong_inputs_say_what_would_work(open_vit: Open, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(px.ExplorerError, match=message) as caught:
        open_vit(**changes).evaluate()
    assert "Try: " in str(caught.value)


def test_nan_weights_are_a_result_not_a_crash(vit: nn.Module, open_vit: Open) -> None:
    with torch.no_grad():
        vit.get_parameter("blocks.0.fc1.weight")[0, 0] = torch.nan
    session = open_vit()
    quality = session.evaluate(session.set("kind:linear", "int8"))
    assert quality.kl != quality.kl
    assert quality.n == 70


def test_without_labels_the_score_is_agreement(open_vit: Open) -> None:
    session = open_vit(data=None, task=None)
    assert session.score_name == "Agreement with FP32"
    assert session.evaluate().score == 1


def test_a_data_loader_serves_as_data(open_vit: Open) -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=4)
    assert open_vit(data=loader).samples == 6


def test_a_custom_score(open_vit: Open) -> None:
    session = open_vit(task=lambda output, target: -(output.argmax(-1) - target).abs().double())
    assert session.evaluate().score <= 0
    assert session.score_unit == ""


def test_cancelled_half_way_the_session_is_consistent(session: px.Session) -> None:
    recipe, cancel = session.set("kind:linear", "int8"), threading.Event()

    def stop(done: int, total: int, text: str) -> None:
        if done >= 32:
            cancel.set()

    with pytest.raises(px.Cancelled):
        session.evaluate(progress=stop, cancel=cancel)
    assert session.recipe == recipe
    assert session.trials.empty
    with pytest.raises(px.Cancelled):
        session.latency(seconds=5, cancel=cancel)
    whole = session.evaluate()
    session.reset()
    fresh = vars(session)["_evaluator"]
    fresh.replay.clear()
    store = vars(session)["_ledger"].store
    store.path.unlink()
    store.__init__(store.path)
    assert session.evaluate(recipe) == whole


def test_the_model_of_the_caller_is_untouched(vit: nn.Module, open_vit: Open) -> None:
    state = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    pointers = {name: tensor.data_ptr() for name, tensor in vit.state_dict().items()}
    session = open_vit()
    session.evaluate(session.set("*", "bf16"))
    session.latency(session.set("kind:linear", "int8"), seconds=0.05)
    assert all(torch.equal(state[name], tensor) for name, tensor in vit.state_dict().items())
    assert pointers == {name: tensor.data_ptr() for name, tensor in vit.state_dict().items()}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in vit.modules())
    assert all(p.requires_grad for p in vit.parameters())


def test_weights_changed_in_place_are_noticed(vit: nn.Module, open_vit: Open) -> None:
    session = open_vit()
    with torch.no_grad():
        vit.get_parameter("head.bias").add_(1)
    with pytest.raises(RecipeError, match="changed in place"):
        session.evaluate()


def test_two_sessions_do_not_disturb_each_other(open_vit: Open) -> None:
    one, two = open_vit(), open_vit()
    one.set("*", "bf16")
    expected = two.evaluate(two.set("kind:linear", "int8"))
    assert one.recipe.counts == {"bf16": 23}
    other = open_vit()
    assert other.evaluate(other.set("kind:linear", "int8")) == expected


def test_save_and_load_without_the_model(session: px.Session, tmp_path: Path) -> None:
    recipe = session.set("kind:linear", "int8")
    quality, latency = session.evaluate(), session.latency(seconds=0.05)
    recorded = px.load(session.save(tmp_path / "x.pxb"))
    assert recorded.recorded
    assert recorded.recipe == recipe
    assert repr(recorded.evaluate()) == repr(quality)  # NaN, which is no number, equals itself in words alone
    assert recorded.latency().to_dict() == latency.to_dict()
    assert recorded.ops.equals(session.ops.astype(recorded.ops.dtypes.to_dict()))
    assert list(recorded.casts().columns) == list(session.casts().columns)
    assert recorded.provenance["label"] == session.device.label
    assert len(recorded.trials) == 2
    with pytest.raises(BundleError, match="not measured"):
        recorded.evaluate(session.presets()["bf16"])


def test_bundles_that_are_none_are_refused(session: px.Session, tmp_path: Path) -> None:
    (tmp_path / "x.pxb").write_text("no zip")
    for path, message in ((tmp_path / "x.pxb", "no bundle"), (tmp_path / "y.pxb", "no such file")):
        with pytest.raises(BundleError, match=message):
            px.load(path)
    with pytest.raises(BundleError, match="no folder"):
        session.save(tmp_path / "nowhere" / "x.pxb")


def test_a_bundled_model_takes_no_inputs(store: Path) -> None:
    with pytest.raises(ModelError, match="its own inputs"):
        px.open("digits-cnn", inputs=X, store=store)
