"""Whether `s.latency()` repeats: two calls on one recipe overlap, and a recipe against itself is 1.0, each 20 times."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import explorer as px
from benchmarks.record import tell
from explorer.latency import Latency

TRIALS = 20
SECONDS = 2.0
MODEL, PRESET = "digits-vit", "int8-dynamic"


def main() -> None:
    """Measure twice and measure against itself, in turn, so that both bars see the same machine."""
    with tempfile.TemporaryDirectory() as folder:
        session = px.open(MODEL, device="cpu", store=Path(folder) / "trials.sqlite")
        recipe = session.presets()[PRESET]
        session.latency(recipe, seconds=SECONDS)
        pairs: list[tuple[Latency, Latency]] = []
        itself: list[Latency] = []
        for _ in range(TRIALS):
            pairs.append((session.latency(recipe, seconds=SECONDS), session.latency(recipe, seconds=SECONDS)))
            itself.append(session.latency(recipe, against=recipe, seconds=SECONDS))
    overlapping = sum(one.interval[0] <= two.interval[1] and two.interval[0] <= one.interval[1] for one, two in pairs)
    holding = sum(found.interval[0] <= 1 <= found.interval[1] for found in itself)
    _tell("latency: two calls on one recipe overlap", overlapping, 19, [found for pair in pairs for found in pair])
    _tell("latency: a recipe against itself holds 1.0", holding, 18, itself)


def _tell(name: str, count: int, bar: int, found: list[Latency]) -> None:
    halves = [(each.interval[1] - each.interval[0]) / (each.interval[1] + each.interval[0]) for each in found]
    tell(
        name, count, f"of {TRIALS}", f">= {bar}", count >= bar,
        model=MODEL, preset=PRESET, seconds=SECONDS, rounds=float(np.median([each.n for each in found])),
        speedup=round(float(np.median([each.speedup for each in found])), 4),
        half_width=round(float(np.median(halves)), 4), steady=sum(each.steady for each in found), of=len(found),
    )  # fmt: skip


if __name__ == "__main__":
    main()
