"""What the fake session says beyond its own numbers: ranges, plans, boundaries, culprits, findings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from explorer.ranges import Histogram

if TYPE_CHECKING:
    from tests.widgets.fake import FakeRecipe

TAKES = {
    "bf16": "bf16", "fp16": "fp16", "fp8": "fp8_e4m3:token", "int8": "int8:token", "int8_static": "uint8:static",
    "w8": "bf16", "w4": "bf16",
}  # fmt: skip
WIDE = "blocks.1.mlp.fc2/linear"
"""Its input has an outlier channel, and its output exceeds FP16."""


class FakeAnalyses:
    """Mixed into the fake session; each long call waits at its gate and may be told to fail."""

    rows: list[dict[str, Any]]
    ids: list[str]
    recipe: Any
    samples: int
    calls: list[str]

    def _wait(self, cancel: Any) -> None:
        raise NotImplementedError

    def range_set(self, n: int | None = None, *, progress: Any = None, cancel: Any = None) -> SimpleNamespace:
        self.calls.append("range_set")
        self._wait(cancel)
        if progress:
            progress(1, 2, "1 of 2 batches")
        generator = torch.Generator().manual_seed(0)
        return SimpleNamespace(values=dict(self._ranges(generator)), weights={}, slices={}, samples=n or self.samples)

    def _ranges(self, generator: torch.Generator) -> Any:
        for at, op in enumerate(["input", *self.ids]):
            x = torch.randn(512, generator=generator) * 2.0 ** (at % 5 - 2)
            if op == self._before(WIDE):
                x[:6] *= 40
            if op == WIDE:
                x[:2] = 70000.0
            yield op, SimpleNamespace(histogram=Histogram.of(x), channel_absmax=None, channel_axis=None)

    def _before(self, op: str) -> str:
        return (["input", *self.ids])[self.ids.index(op)] if op in self.ids else ""

    def plan_of(self, recipe: FakeRecipe) -> SimpleNamespace:
        steps = [self._step(row, recipe[row["id"]]) for row in self.rows]
        shapes = dict.fromkeys(["input", *self.ids], (32, 64, 192))
        scales = {op: SimpleNamespace(scale=0.02, zero_point=128) for op in shapes}
        return SimpleNamespace(steps=steps, shapes=shapes, scales=scales)

    def _step(self, row: dict[str, Any], precision: str) -> SimpleNamespace:
        given, native = self._before(row["id"]), precision in ("bf16", "fp16")
        op = SimpleNamespace(id=row["id"], name=row["id"], role=row["role"], kind=row["kind"])
        site, takes = SimpleNamespace(operands=(given,)), {given: TAKES.get(precision, "fp32")}
        return SimpleNamespace(op=op, kernel="kernel", site=site, takes=takes, gives=precision if native else "fp32")
