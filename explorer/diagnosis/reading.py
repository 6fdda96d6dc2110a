"""What ops read in FP32: on one batch, and how much of it lies beyond static scales. (Effect: runs the model.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.compare.items import samples_first
from explorer.diagnosis.evidence import CALIBRATED, LATER
from explorer.errors import Cancelled
from explorer.kernels import CARRIERS, StaticScale
from explorer.run import Executor, Plan
from explorer.subject import Subject


def read_inputs(subject: Subject, ops: set[str]) -> dict[str, tuple[Any, ...]]:
    """Return what each of ``ops`` reads in FP32, of the first batch."""
    if not ops:
        return {}
    values = dict(zip(subject.graph.inputs, subject.samples.batch(0), strict=True))
    walk = Executor(subject.baseline, subject.kernels).walk(values)
    return {visit.step.op.id: visit.inputs for visit in walk if visit.step.op.id in ops}


@torch.no_grad()
def find_outside(subject: Subject, plan: Plan, n: int, cancel: Any = None) -> dict[str, Mapping[str, float]]:
    """Return the share of the elements of each value beyond the ends of its static scale in ``plan``, in FP32.

    By slice: the first ``n`` samples, which the scales were found from, and the others, where there are any. A value
    that does not depend on the sample is left out.
    """
    counts = {name: torch.zeros(2, 2, dtype=torch.int64) for name in plan.scales}
    done = 0
    for inputs, count in subject.samples.first(len(subject.samples)):
        if cancel is not None and cancel.is_set():
            raise Cancelled("compare static scales with the data")
        seen = min(max(n - done, 0), count)
        for name, x in _flowing(subject, inputs, set(counts)):
            for index, part in enumerate((x[:seen], x[seen:count])):
                counts[name][index] += torch.tensor([_count_outside(part, plan.scales[name]), part.numel()])
        done += count
    return {name: _shares(found) for name, found in counts.items() if int(found[:, 1].sum())}


def _flowing(subject: Subject, inputs: tuple[Tensor, ...], names: set[str]) -> Any:
    """Yield the values called ``names`` in FP32, samples first."""
    values = dict(zip(subject.graph.inputs, inputs, strict=True))
    yield from ((name, value) for name, value in values.items() if name in names)
    for visit in Executor(subject.baseline, subject.kernels).walk(dict(values)):
        op = visit.step.op
        if op.name in names and (x := samples_first(visit.output, op, len(inputs[0]))) is not None:
            yield op.name, x


def _count_outside(x: Tensor, fixed: StaticScale) -> int:
    """How many elements round to a code that there is not, NaN among them."""
    spec = CARRIERS["uint8:static"].scheme
    assert spec is not None
    codes = (x / fixed.scale).round() + fixed.zero_point
    return int((~((codes >= spec.smallest_code) & (codes <= spec.largest_code))).sum())


def _shares(counts: Tensor) -> dict[str, float]:
    slices = zip((CALIBRATED, LATER), counts.tolist(), strict=True)
    return {name: outside / total for name, (outside, total) in slices if total}
