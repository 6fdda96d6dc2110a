"""`digits-vit` against the eager module: every preset, the lowered FP32 plan, and torch's own dynamic quantisation."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

import explorer as px
from benchmarks.lowered import lowered
from benchmarks.record import tell
from explorer.graph import capture, interpret
from explorer.measure import Comparison, compare
from explorer.measure.timing import Effort, time_rounds
from explorer.zoo.bundled import load_bundled

SECONDS = 8.0


def main() -> None:
    """Time each recipe on batch 32 and evaluate it on the whole test set."""
    loaded = load_bundled("digits-vit")
    session = px.open("digits-vit", device="cpu")
    features = session.device.features
    assert loaded.data is not None
    batch = loaded.data[0][: session.batch_size]
    _bit_identity(loaded.module, batch)

    presets = session.presets()
    eager = _no_grad(loaded.module, batch)
    int8 = lowered(session, presets["int8-dynamic"], batch)
    bf16 = lowered(session, presets["bf16"], batch)
    fp32 = lowered(session, presets["fp32"], batch)

    ratio = compare(fp32, eager, session.device, SECONDS)
    _tell("lowered FP32 over eager, time", ratio, "<= 1.03", lambda value: value <= 1.03)
    ratio = compare(eager, int8, session.device, SECONDS)
    vnni = "AVX512-VNNI" in features
    _tell("int8 over eager FP32", ratio, ">= 2.3 with AVX512_VNNI", lambda v: v >= 2.3 or not vnni, vnni=vnni)
    best = _fastest(session, presets, batch)
    ratio = compare(eager, lowered(session, presets[best], batch), session.device, SECONDS)
    _tell("fastest preset over eager FP32", ratio, ">= 3 with AVX512_VNNI", lambda v: v >= 3 or not vnni, recipe=best)
    ratio = compare(_torch_dynamic(loaded.module, batch), int8, session.device, SECONDS)
    _tell("int8 over torch quantize_dynamic", ratio, ">= 1", lambda value: value >= 1)
    ratio = compare(eager, bf16, session.device, SECONDS)
    has = "AVX512-BF16" in features
    _tell("bf16 over eager FP32", ratio, ">= 2.3 with AVX512_BF16", lambda v: v >= 2.3 or not has, avx512_bf16=has)
    for name in ("int8-dynamic", "bf16"):
        quality = session.evaluate(presets[name])
        loss = 100 * max(0.0, -quality.difference)
        tell(
            f"accuracy lost by {name}", loss, "points", "< 0.5", loss < 0.5,
            score=quality.score, baseline=quality.baseline, interval=quality.interval, n=quality.n, kl=quality.kl,
        )  # fmt: skip


def _bit_identity(module: nn.Module, batch: torch.Tensor) -> None:
    graph = capture(module, (batch[:2],))
    with torch.no_grad():
        same = torch.equal(interpret(graph, (batch,)), module(batch))
    tell("captured graph equals eager bit for bit", float(same), "yes = 1", "1", same)


def _no_grad(module: nn.Module, batch: torch.Tensor) -> Any:
    def run() -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = module(batch)
            return out

    return run


def _fastest(session: px.Session, presets: dict[str, px.Recipe], batch: torch.Tensor) -> str:
    """Return the name of the fastest preset that is real on this device."""
    real = {name: recipe for name, recipe in presets.items() if not session.plan_of(recipe).emulated}
    calls = {name: lowered(session, recipe, batch) for name, recipe in real.items()}
    return min(calls, key=time_rounds(calls, session.device, Effort(SECONDS / 2, within=0.0)).median_ms)


def _torch_dynamic(module: nn.Module, batch: torch.Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _no_grad(torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8), batch)


def _tell(name: str, found: Comparison, bar: str, met: Any, **more: Any) -> None:
    """Tell the ratio first / second: a speed-up, or where the candidate came first a ratio of times."""
    value, interval = found.speedup, found.interval
    tell(
        name, value, "x", bar, met(value), interval_95=[round(x, 4) for x in interval], n=found.n,
        first_ms=round(found.baseline_ms, 3), second_ms=round(found.candidate_ms, 3), **more,
    )  # fmt: skip


if __name__ == "__main__":
    main()
