"""The replay on `digits-vit`: time and equality after one toggle at every op, against a full evaluation."""

from __future__ import annotations

import time

import torch

import explorer as px
from benchmarks.record import spread, tell
from explorer.session import REPLAY_BUDGET


def main() -> None:
    """Toggle each op alone from FP32 to BF16; compare its replay with a run from the start, in turn."""
    session = px.open("digits-vit", device="cpu")
    evaluator, kernels = (vars(session)[name] for name in ("_evaluator", "_kernels"))
    base = session.presets()["fp32"]
    fractions, differing, peak = [], 0, 0
    for op in session.ops.index:
        plan = session.plan_of(base.with_precision([op], "bf16", "benchmark"))
        evaluator.outputs(session.plan_of(base), kernels)
        start = time.perf_counter()
        replayed = evaluator.outputs(plan, kernels)
        middle = time.perf_counter()
        full = evaluator.outputs(plan, kernels, use_replay=False)
        fractions.append((middle - start) / (time.perf_counter() - middle))
        differing += not all(torch.equal(a, b) for a, b in zip(replayed, full, strict=True))
        peak = max(peak, evaluator.replay.bytes)
    mean = sum(fractions) / len(fractions)
    tell(
        "replay after one toggle, of a full run",
        mean,
        "x",
        "<= 0.65 averaged over all ops",
        mean <= 0.65,
        **spread(fractions),
    )
    tell("ops whose replay differs from a full run", differing, "ops", "0", differing == 0, ops=len(fractions))
    tell("replay cache", peak / 2**20, "MiB", f"<= {REPLAY_BUDGET >> 20}", peak <= REPLAY_BUDGET)


if __name__ == "__main__":
    main()
