"""The errors of a recipe as tables: one view at a time, or the three side by side with what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from statistics import median
from typing import Any, Literal

import pandas as pd

from explorer.compare.metrics import PairError
from explorer.compare.runs import Extent
from explorer.compare.views import Errors, find_cumulative, find_isolated, find_local
from explorer.errors import RecipeError, SelectionError
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.run import Plan
from explorer.subject import Subject

View = Literal["local", "isolated", "cumulative"]
VIEWS: Mapping[str, Callable[..., Errors]] = {
    "local": find_local,
    "isolated": find_isolated,
    "cumulative": find_cumulative,
}
COLUMNS = [
    "precision",
    "kernel",
    "emulated",
    "sqnr_db",
    "cosine",
    "max_ulps",
    "output_ulps",
    "relative",
    "max_abs",
    "kl",
    "nonfinite",
    "source",
]
ERROR_COLUMNS = ["precision", "local_sqnr_db", "isolated_sqnr_db", "isolated_kl", "cumulative_sqnr_db", "behaviour"]

FACTOR = 4.0
"""An op heals or amplifies when its error reaches the output so many times less or more than the usual op's (12 dB),"""
CHANGE = 2.0
"""and so many times smaller or larger than the op made it (6 dB): what just passes through is neither."""
FEWEST = 5
"""With fewer lowered ops than this there is no usual one; then an error that arrives as large as it was made is."""


def compare(
    subject: Subject,
    recipe: Recipe,
    view: View = "local",
    n: int | None = None,
    progress: Progress | None = None,
    cancel: Any = None,
) -> pd.DataFrame:
    """Return the error of each op of ``recipe`` against FP32 on the first ``n`` samples, indexed by op id.

    view: ``"local"``, each op that is not FP32 alone on clean FP32 inputs, at its own output; ``"isolated"``, only this
    op changed, at the model's output (a run for each op, so ``n`` is 128 by default); ``"cumulative"``, the whole
    recipe, at the output of every op. By default the other two look at all samples.

    The numbers are those of :class:`explorer.compare.PairError`: sqnr_db, cosine, relative, max_abs, max_ulps (of FP32)
    and output_ulps (of the op's output format; at the model's output, of FP32). kl: nats per sample or token at the
    model's output, of this op (isolated) or of the recipe (cumulative, in the last row), else NaN. nonfinite: elements
    that became NaN or Inf. Empty for a recipe that is FP32 everywhere. Raises :class:`RecipeError` for another view,
    :class:`KernelError` that names the op where a kernel fails, :class:`Cancelled`.
    """
    if view not in VIEWS:
        raise RecipeError(f"compare by view {view!r}", "there is no such view", f"one of {', '.join(VIEWS)}")
    plan, extent = subject.plan(recipe), Extent(n, progress, cancel)
    found = VIEWS[view](subject, plan, extent.or_first() if view == "isolated" else extent)
    rows = [_row(plan, op, error, found.kl.get(op, math.nan)) for op, error in found.by_op.items()]
    return pd.DataFrame(rows, columns=COLUMNS, index=_index(found.by_op))


def _row(plan: Plan, op: str, error: PairError, kl: float) -> tuple[object, ...]:
    step = plan.step_of[op]
    return (
        plan.recipe[op],
        step.kernel.name if step.kernel else "",
        step.emulated,
        error.sqnr_db,
        error.cosine,
        error.max_ulps,
        error.output_ulps,
        error.relative,
        error.max_abs,
        kl,
        error.nonfinite,
        step.op.source,
    )


def errors(
    subject: Subject,
    recipe: Recipe,
    n: int | None = None,
    progress: Progress | None = None,
    cancel: Any = None,
    ops: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return the three errors of each op that is not FP32 side by side, on the first ``n`` samples (default 128).

    behaviour: what becomes of the op's own error on its way to the output. Its gain is the relative error at the output
    with only this op changed, over the relative error at the op itself. The usual gain is the median of the ops (1 with
    fewer than 5 of them). An op ``"heals"`` when its gain is below 1/2 and 4 times less than usual (12 dB): what
    follows takes the error away. It ``"amplifies"`` when its gain is above 2 and 4 times more than usual. Else it is
    empty, as it is where the op is exact or where both errors are without bound.

    With ``ops``, only these are looked at, which is far less work: a row for each, also for those in FP32, whose own
    errors are none (infinite SQNR, a KL of 0). behaviour is then empty: what is usual is not known. Raises
    :class:`SelectionError` for an op that is none of the recipe's.
    """
    plan, extent = subject.plan(recipe), Extent(n, progress, cancel).or_first()
    if ops is not None:
        return _errors_at(subject, plan, extent, ops)
    local, isolated, cumulative = (VIEWS[view](subject, plan, extent) for view in VIEWS)
    behaviours = describe_behaviours(
        {op: (local.by_op[op].relative, isolated.by_op[op].relative) for op in local.by_op}
    )
    rows = [
        (
            plan.recipe[op],
            local.by_op[op].sqnr_db,
            isolated.by_op[op].sqnr_db,
            isolated.kl[op],
            cumulative.by_op[op].sqnr_db,
            behaviours[op],
        )
        for op in local.by_op
    ]
    return pd.DataFrame(rows, columns=ERROR_COLUMNS, index=_index(local.by_op))


def _errors_at(subject: Subject, plan: Plan, extent: Extent, ops: Collection[str]) -> pd.DataFrame:
    for op in ops:
        if op not in plan.recipe.by_op:
            raise SelectionError(
                f"the errors of op {op!r}", "no op with a precision is called so", "ids of s.ops.index"
            )
    views = [VIEWS[view](subject, plan, extent, ops) for view in VIEWS]
    kl = views[1].kl
    nothing = 0.0 if subject.task.logits else math.nan

    def row(op: str) -> tuple[object, ...]:
        own, alone, whole = (found.by_op[op].sqnr_db if op in found.by_op else math.inf for found in views)
        return plan.recipe[op], own, alone, kl.get(op, nothing), whole, ""

    asked = [op.id for op in plan.graph.rows if op.id in ops]
    return pd.DataFrame([row(op) for op in asked], columns=ERROR_COLUMNS, index=_index(asked))


def describe_behaviours(relative: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """Return ``"heals"``, ``"amplifies"`` or nothing for each op from its relative errors (its own, at the output).

    The rule is told at :func:`errors`.
    """
    gains = {op: _gain(*pair) for op, pair in relative.items()}
    known = [gain for gain in gains.values() if not math.isnan(gain)]
    usual = median(known) if len(known) >= FEWEST else 1.0
    return {op: _behaviour(gain, usual) for op, gain in gains.items()}


def _gain(local: float, isolated: float) -> float:
    if local == 0 or (math.isinf(local) and math.isinf(isolated)):
        return math.nan
    return 0.0 if math.isinf(local) else isolated / local


def _behaviour(gain: float, usual: float) -> str:
    if gain * CHANGE < 1 and gain * FACTOR < usual:
        return "heals"
    return "amplifies" if gain > CHANGE and gain > usual * FACTOR else ""


def _index(ops: Iterable[str]) -> pd.Index[str]:
    return pd.Index(list(ops), name="op", dtype="object")
