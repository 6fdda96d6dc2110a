"""Every public call, headless, on the three bundled models; and the script of the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import explorer as px
from explorer.zoo.bundled import BUNDLED


@pytest.fixture(scope="module", params=sorted(BUNDLED))
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> px.Session:
    return px.open(request.param, device="cpu", store=tmp_path_factory.mktemp("trials") / "trials.sqlite")


def test_every_call(opened: px.Session, tmp_path: Path) -> None:
    s = opened
    assert s.device.label in repr(s)
    assert s.samples_label in ("397 test images", "512 held-out sums")
    recipe = s.set("kind:linear", "int8", reason="to try it")
    assert set(s.ops.loc[s.ops.kind == "linear", "precision"]) == {"int8"}
    assert not s.ops.emulated.any()
    assert len(s.casts()) == sum(cast.to == "int8" for cast in s.plan.casts) > 0
    assert "int8" in s.plan.kernels[s.ops.index[-1]] or "_int_mm" in s.plan.kernels[s.ops.index[-1]]

    quality = s.evaluate(n=96)
    assert quality.n == 96
    assert quality.kl > 0
    assert quality.score > 0.9
    latency = s.latency(seconds=0.3)
    assert latency.candidate_ms > 0
    assert not latency.emulated
    memory = s.memory()
    assert (memory.loc["weights", "bytes"] < memory.loc["weights", "fp32_bytes"]) and (
        memory.kind["weights"] == "measured"
    )
    assert set(s.trials.kind) == {"quality", "latency"}

    assert s.undo().is_baseline
    assert s.redo() == recipe
    assert s.apply(s.presets()["bf16"]).counts == {"bf16": len(s.ops)}
    assert s.reset().is_baseline
    s.apply(recipe)
    recorded = px.load(s.save(tmp_path / "exploration.pxb"))
    assert recorded.latency().candidate_ms == latency.candidate_ms


def test_presets_do_not_mix_real_and_emulated_kernels(opened: px.Session) -> None:
    for name, recipe in opened.presets().items():
        steps = [step for step in opened.plan_of(recipe).steps if step.kernel and step.op.role == "compute"]
        emulated = {step.emulated for step in steps if step.kernel and step.kernel.precision not in ("fp32", "bf16")}
        assert len(emulated) < 2, name


def test_folded_norms_are_marked(opened: px.Session) -> None:
    if opened.name != "digits-cnn":
        assert not opened.ops.note.any()
        return
    convolutions = opened.ops[opened.ops.kind == "conv2d"]
    assert (convolutions.note == "batch_norm folded in").all()


def test_the_scripts_of_the_readme_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    script = "\n".join(scripts)
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "README.md", "exec"), {})
    assert px.load("exploration.pxb").name == "digits-vit"
