"""What a lowered plan takes beside its kernels and casts: its time over the sum of its table, on the bundled models."""

from __future__ import annotations

import explorer as px
from benchmarks.record import tell
from explorer.zoo.bundled import load_bundled

FILE = "overhead.jsonl"
BATCH, SECONDS, MOST = 8, 6.0, 1.05
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
            _tell(name, recipe, session.latency(presets[recipe], seconds=SECONDS))


def _tell(model: str, recipe: str, found: px.Latency) -> None:
    table_ms = float(found.table["time_us"].sum()) / 1e3
    over = found.candidate_ms / table_ms
    tell(
        f"{model}, {recipe}: lowered plan's time over the sum of its kernels and casts", over, "x", f"<= {MOST}",
        over <= MOST, FILE, plan_ms=round(found.candidate_ms, 4), table_ms=round(table_ms, 4),
        rest_us=round(1e3 * (found.candidate_ms - table_ms), 1), n=found.n,
    )  # fmt: skip


if __name__ == "__main__":
    main()
