"""What whole runs take beside the sums of their calls, timed for a few recipes of a front. (Effect: clock.)

A sum misses what calls do to each other, and a solver prefers what was timed too low. Both grow with what is saved, so
that a few whole runs, spread over a front, tell how far sums are off between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from explorer.measure.timing import Effort, time_rounds
from explorer.run import KernelError, Plan, lower
from explorer.search.costs import CallTimes

SECONDS = 0.3
"""So long each whole run is timed, beyond the fewest rounds."""
REFERENCE = "reference"


@dataclass(frozen=True)
class Wholes:
    """Whole runs over sums of calls: ``ratios`` at ``sums_ms``, which ascend. Without any, sums stand as they are."""

    sums_ms: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()

    def whole_ms(self, sum_ms: float) -> float:
        """Return what a run of this sum takes: by the ratio between the nearest two sums, beyond them by the last."""
        if not self.sums_ms:
            return sum_ms
        return sum_ms * float(np.interp(sum_ms, self.sums_ms, self.ratios))

    def sum_ms(self, whole_ms: float) -> float:
        """Return which sum a run of this length has, about: by the ratio that such runs have."""
        if not self.sums_ms:
            return whole_ms
        runs = sorted((each * ratio, ratio) for each, ratio in zip(self.sums_ms, self.ratios, strict=True))
        return whole_ms / float(np.interp(whole_ms, [run for run, _ in runs], [ratio for _, ratio in runs]))


SUMS_STAND = Wholes()


def time_wholes(times: CallTimes, plans: Mapping[str, Plan], cancel: Any = None) -> Wholes:
    """Run ``plans`` (by any name) in turns with the reference, and hold them against the sums of their calls.

    The reference's own sum is what it takes as a whole, so its ratio is 1. A plan whose kernels cannot be made ready is
    left out. Raises :class:`Cancelled`.
    """
    calls, sums = {}, {}
    for name, plan in {REFERENCE: times.reference, **plans}.items():
        with suppress(KernelError):
            calls[name] = partial(lower(plan, times.kernels), *times.inputs)
            sums[name] = times.predict_us(plan) / 1e3
    effort = Effort(SECONDS * len(calls), within=0.0, cancel=cancel)
    rounds = time_rounds(calls, times.reference.device, effort)
    pace = sums[REFERENCE] / rounds.median_ms(REFERENCE)
    points = sorted((each, pace * rounds.median_ms(name) / each) for name, each in sums.items())
    return Wholes(tuple(at for at, _ in points), tuple(ratio for _, ratio in points))
