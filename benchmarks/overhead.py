"""What a lowered plan takes beside its kernels and casts: the whole and its calls one by one, in turn, in one run."""

from __future__ import annotations

from typing import Any

import explorer as px
from benchmarks.record import tell
from explorer.measure import exclusive
from explorer.measure.ratios import Ratio, ratio_of_medians
from explorer.measure.timing import clock, uncollected
from explorer.run import lower, time_calls
from explorer.zoo.bundled import load_bundled

FILE = "overhead.jsonl"
BATCH, SECONDS, ROUNDS, MOST = 8, 1.0, 120, 1.05
MODELS, RECIPES = ("digits-vit", "digits-cnn"), ("fp32", "int8-dynamic", "int8-static")


def main() -> None:
    """Measure each recipe of each model at batch 8."""
    for name in MODELS:
        session = _open(name)
        presets = session.presets()
        for recipe in (recipe for recipe in RECIPES if recipe in presets):
            session.latency(presets[recipe], seconds=SECONDS)  # rival kernels are chosen by it
            whole, calls = _take_turns(session, session.plan_of(presets[recipe]))
            _tell(f"{name}, {recipe}", ratio_of_medians(whole, calls), sorted(whole)[len(whole) // 2])


def _open(name: str) -> px.Session:
    loaded = load_bundled(name)
    assert loaded.data is not None
    x, y = loaded.data
    return px.open(
        loaded.module, inputs=x[:2], data=(x[: 8 * BATCH], y[: 8 * BATCH]), task=loaded.task, device="cpu", name=name,
        batch_size=BATCH,
    )  # fmt: skip


def _take_turns(session: px.Session, plan: Any) -> tuple[list[float], list[float]]:
    """Return the seconds of the whole plan, and the sums of those of its calls, of rounds in alternating order."""
    lowered, inputs = lower(plan, session.subject.kernels), session.subject.samples.batch(0)
    timed = clock(session.device)
    ways = {
        "whole": lambda: timed(lambda: lowered(*inputs)),
        "calls": lambda: sum(time_calls(lowered.schedule, inputs, timed).values()),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with exclusive(session.device), uncollected():
        for turn in range(ROUNDS + 5):
            for name in sorted(ways, reverse=bool(turn % 2)):
                seconds = ways[name]()
                if turn >= 5:
                    times[name].append(seconds)
    return times["whole"], times["calls"]


def _tell(what: str, over: Ratio, whole_s: float) -> None:
    tell(
        f"{what}: lowered plan's time over the sum of its kernels and casts", over.value, "x", f"<= {MOST}",
        over.value <= MOST, FILE, interval_95=[round(x, 4) for x in over.interval], plan_ms=round(whole_s * 1e3, 4),
        n=ROUNDS,
    )  # fmt: skip


if __name__ == "__main__":
    main()
