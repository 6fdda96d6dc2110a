"""What a lowered plan takes beside its kernels and casts: its time over the sum of its table, on the bundled models."""

from __future__ import annotations

import explorer as px
from benchmarks.record import tell
from explorer.zoo.bundled import load_bundled

FILE = "overhead.jsonl"
BATCH, SECONDS, REPEATS, MOST = 8, 2.0, 3, 1.05
MODELS, RECIPES = ("digits-vit", "digits-cnn"), ("fp32", "int8-dynamic", "int8-static")


def main() -> None:
    """Measure each recipe of each model at batch 8."""
    for name in MODELS:
        loaded = load_bundled(name)
        assert loaded.data is not None
        x, y = loaded.data
        session = px.open(
            loaded.module, inputs=x[:2], data=(x[: 8 * BATCH], y[: 8 * BATCH]), task=loaded.task, device="cpu",
            name=name, batch_size=BATCH,
        )  # fmt: skip
        presets = session.presets()
        for recipe in (recipe for recipe in RECIPES if recipe in presets):
            measured = [session.latency(presets[recipe], seconds=SECONDS) for _ in range(REPEATS)]
            _tell(name, recipe, sorted(measured, key=_over))


def _over(found: px.Latency) -> float:
    """Return the plan's time over the sum of its table, which was taken right after it."""
    return 1e3 * found.candidate_ms / float(found.table["time_us"].sum())


def _tell(model: str, recipe: str, measured: list[px.Latency]) -> None:
    found = measured[len(measured) // 2]
    over = _over(found)
    tell(
        f"{model}, {recipe}: lowered plan's time over the sum of its kernels and casts", over, "x", f"<= {MOST}",
        over <= MOST, FILE, plan_ms=round(found.candidate_ms, 4), rest_us=round(found.rest_us, 1),
        each=[round(_over(one), 4) for one in measured], n=found.n,
    )  # fmt: skip


if __name__ == "__main__":
    main()
