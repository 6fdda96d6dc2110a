"""What the fake session says beyond its own numbers: ranges, plans, boundaries, culprits, findings."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from explorer.diagnosis import Finding, Remedy, apply
from explorer.ranges import Histogram, TensorRange

if TYPE_CHECKING:
    from tests.widgets.fake import FakeRecipe

TAKES = {
    "bf16": "bf16", "fp16": "fp16", "fp8": "fp8_e4m3:token", "int8": "int8:token", "int8_static": "uint8:static",
    "w8": "bf16", "w4": "bf16",
}  # fmt: skip
REGION = "format reads ops first last elements_in elements_out casts_in casts_out time_us casts_us members"
REDUNDANT = "kind raised_by through readers low high casts bytes casts_us toggles change"
REMOVAL = "toggles change removes adds casts_before casts_after bytes_saved casts_us ms_before ms_after saved_us"
REFORMAT = "op where value kernel wants arrives elements bytes time_us"
CULPRIT = (
    "sample token kl squared_error score_fp32 score prediction_fp32 prediction target diverges_at sqnr_db usual_sqnr_db"
)
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

    def casts_of(self, recipe: Any) -> pd.DataFrame:
        raise NotImplementedError

    slice_names: tuple[str, ...] = ()

    def range_set(
        self, n: int | None = None, slices: Any = None, *, progress: Any = None, cancel: Any = None
    ) -> SimpleNamespace:
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
            yield op, TensorRange(Histogram.of(x))

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

    @property
    def subject(self) -> SimpleNamespace:
        nodes = {row["id"]: SimpleNamespace(source=row["source"], source_line="") for row in self.rows}
        return SimpleNamespace(graph=SimpleNamespace(by_id=nodes))

    def boundaries(self, recipe: FakeRecipe) -> SimpleNamespace:
        """One row in each table; the change that spares casts is to FP32 everywhere."""
        self.calls.append("boundaries")
        casts = self.casts_of(recipe)
        toggles = tuple((op, "fp32") for op in self.ids if recipe[op] != "fp32")
        change = (toggles, "all back to fp32", ("cast:a",), (), len(casts), 0, 1_000_000, 11.0, 3.0, 2.9, 100.0)
        region = ("fp32", "fp32 + int8", len(self.ids), self.ids[0], self.ids[-1], 10, 10, 1, 0, 900.0, 11.0, self.ids)
        trip = ("up then down", self.ids[:1], self.ids[1:2], self.ids[2:3], "bf16", "fp32", ("cast:a",), 4096, 9.0,
                (), "nothing helps")  # fmt: skip
        copy = ("head/linear", "kernel", "x", "onednn", "rows", "columns", 320, 2560, math.nan)
        return SimpleNamespace(
            regions=pd.DataFrame([region], columns=REGION.split()),
            redundant=pd.DataFrame([trip] if toggles else [], columns=REDUNDANT.split()),
            removals=pd.DataFrame([change] if len(casts) else [], columns=REMOVAL.split()),
            reformats=pd.DataFrame([copy], columns=REFORMAT.split()),
        )

    def culprits(
        self, recipe: FakeRecipe, k: int = 8, n: int | None = None, *, progress: Any = None, cancel: Any = None
    ) -> SimpleNamespace:
        self.calls.append("culprits")
        self._wait(cancel)
        if progress:
            progress(32, self.samples, "looking for the outputs that moved most")
        rows = [
            (41, -1, 0.31, 2.0, 1.0, 0.0, 7.0, 1.0, 7.0, WIDE, 4.1, 22.0),
            (7, -1, math.inf, math.nan, 1.0, 0.0, 3.0, 3.0, 3.0, WIDE, math.nan, 22.0),
        ]
        generator = torch.Generator().manual_seed(1)
        picture = torch.rand(1, 8, 8, generator=generator)
        return SimpleNamespace(table=pd.DataFrame(rows, columns=CULPRIT.split()), inputs=lambda sample: (picture,))

    def errors(
        self, recipe: FakeRecipe, n: int | None = None, *, ops: Any = None, progress: Any = None, cancel: Any = None
    ) -> pd.DataFrame:
        """An op in FP32 is exact by itself; any other loses something."""
        self.calls.append(f"errors {' '.join(ops or self.ids)}")
        self._wait(cancel)
        rows = {op: (math.inf, math.inf, 0.0, 50.0) if recipe[op] == "fp32" else (38.2, 51.0, 2e-6, 33.4)
                for op in ops or self.ids}  # fmt: skip
        columns = ["local_sqnr_db", "isolated_sqnr_db", "isolated_kl", "cumulative_sqnr_db"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def diagnose(
        self, recipe: FakeRecipe, n: int | None = None, *, ops: Any = None, progress: Any = None, cancel: Any = None
    ) -> tuple[Finding, ...]:
        """What is wrong with ``WIDE`` in any lower precision; nothing else is."""
        self.calls.append("diagnose")
        self._wait(cancel)
        if recipe[WIDE] == "fp32" or WIDE not in (ops or self.ids):
            return ()
        words = ("Its output exceeds FP16", "4 of 512 values are above 65,504.", "BF16 holds them.")
        remedies = (
            Remedy("precision", "run it in BF16", ops=(WIDE,), precision="bf16"),
            Remedy("calibrate", "find static scales by mse", method="mse", samples=64),
            Remedy("model", "scale the product before the softmax"),
        )
        return (Finding("overflow", WIDE, recipe[WIDE], *words, math.inf, remedies, {"above": 0.0078, "largest": 7e4}),)

    def preview(
        self, remedy: Remedy, recipe: FakeRecipe | None = None, *, progress: Any = None, cancel: Any = None
    ) -> SimpleNamespace:
        self.calls.append("preview")
        self._wait(cancel)
        before, after = (SimpleNamespace(kl=kl, n=64, sqnr_db=20.0, emulated=False) for kl in (math.nan, 2e-6))
        return SimpleNamespace(remedy=remedy, recipe=recipe, before=before, after=after, helps=True)

    def treat(self, remedy: Remedy) -> Any:
        return apply(remedy, self)  # type: ignore[arg-type]  # a fake keeps what it is asked for

    def misfit(self, recipe: FakeRecipe | None = None) -> str:
        return ""

    def calibrate(self, method: str = "percentile", n: int = 64, **_: Any) -> None:
        self.calls.append(f"calibrate {method}")
