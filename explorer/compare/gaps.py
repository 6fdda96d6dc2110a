"""Real kernels against their plain twins: how far what runs is from what its precision means."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from explorer.compare.metrics import PairError
from explorer.compare.runs import Extent, each_batch, error_of
from explorer.kernels import KERNELS, Kernel
from explorer.kernels.kernel import PRODUCT_KINDS
from explorer.kernels.reference import build_activations, build_product, rounded_weights
from explorer.precision import NATIVE, find_precision
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.run import Executor, KernelError, Plan, Step, Visit
from explorer.subject import Subject

COLUMNS = ["precision", "kernel", "twin", "exact", "gap", "max_ulps", "output_ulps", "relative"]
SAMPLES = 64
"""Samples that a kernel's gap is looked for in by default."""


def gaps(
    subject: Subject, recipe: Recipe, n: int | None = None, progress: Progress | None = None, cancel: Any = None
) -> pd.DataFrame:
    """Return how far each real kernel of ``recipe`` is from its plain twin, on the first ``n`` samples (default 64).

    Both get the same operands, those that flow in the recipe. The twin is the emulation of the precision: exact integer
    sums, or sums in FP32 rounded once to the output's format; of an op in FP32 that runs on a kernel of its own it is
    torch's. Indexed by op id; ops that are emulated themselves, or run as torch runs them in FP32, are not in it.

    exact: whether bits must be equal, as sums of integers are. gap: the largest absolute difference, infinite where
    only one of the two is NaN or Inf; it must be 0 where exact. max_ulps, output_ulps, relative: as in
    :func:`explorer.compare.compare`.
    """
    plan = subject.plan(recipe)
    twins = {step.op.id: twin for step in plan.steps if (twin := find_twin(step, subject.baseline)) is not None}
    found = dict.fromkeys(twins, PairError())
    executor = Executor(plan, subject.kernels)
    extent = Extent(SAMPLES if n is None else n, progress, cancel)
    for inputs, batch in each_batch(subject, extent, "comparing kernels with their twins") if twins else ():
        for visit in executor.walk(inputs, cancel):
            op = visit.step.op.id
            if op in twins:
                wanted = _run_twin(twins[op], visit)
                found[op] = found[op].merge(error_of(visit.step, wanted, visit.output, batch))
    rows = [_row(plan.step_of[op], twins[op], error) for op, error in found.items()]
    return pd.DataFrame(rows, columns=COLUMNS, index=pd.Index(list(found), name="op", dtype="object"))


def _row(step: Step, twin: Kernel, error: PairError) -> tuple[object, ...]:
    assert step.kernel is not None
    precision = find_precision(step.kernel.precision)
    one_sided = error.nonfinite + error.recovered
    return (
        precision.name,
        step.kernel.name,
        twin.name,
        precision.accumulate == "int32",
        math.inf if one_sided else error.max_abs,
        error.max_ulps,
        error.output_ulps,
        error.relative,
    )


@torch.no_grad()
def _run_twin(twin: Kernel, visit: Visit) -> Any:
    """Build the twin, run it and let it go: those of all ops would take the model's memory once more."""
    try:
        return twin.build(visit.step.site).run(*visit.inputs)
    except Exception as error:
        raise KernelError(visit.step, error) from error


def find_twin(step: Step, baseline: Plan) -> Kernel | None:
    """Return the plain kernel that computes what a step's real kernel stands for, from the same carriers.

    None for ops without a kernel, for emulated ones, and for those of FP32 that the baseline runs the same way.
    """
    kernel = step.kernel
    if kernel is None or kernel.emulated:
        return None
    if kernel.precision == "fp32":
        plain = baseline.step_of[step.op.id].kernel
        return plain if plain is not None and plain.name != kernel.name else None
    for other in KERNELS:
        same = (other.precision, other.takes, other.gives) == (kernel.precision, kernel.takes, kernel.gives)
        if other.emulated and same and other.serves(step.op.kind) and not other.refuse(step.site, baseline.device):
            return other
    return _round_once(kernel, step)


def _round_once(kernel: Kernel, step: Step) -> Kernel:
    """FP32 arithmetic on what the carriers hold, rounded once to what the kernel gives; codes stay in FP32, exactly."""
    output = kernel.gives if kernel.gives in NATIVE else "fp32"
    has_weight = step.site.product is not None and step.op.kind in PRODUCT_KINDS and kernel.precision in NATIVE
    build = build_product(rounded_weights(kernel.precision), output) if has_weight else build_activations(output)
    name = "FP32 arithmetic, rounded once" if output != "fp32" else "FP32 arithmetic"
    return replace(kernel, name=name, build=build, gives=output, emulated=True, fuses=frozenset())
