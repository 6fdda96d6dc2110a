"""What recipes cost in time: every call of a few plans, timed in place against one reference. (Effect: clock.)

Times are kept by kernel and shapes, so that layers share them. Each run of plans includes the reference (FP32), and
times are taken as fractions of its calls' sum: a machine that slows down meanwhile slows both. What they are fractions
of is what the reference takes as a whole, without a clock read after each call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from explorer.errors import Cancelled
from explorer.latency import LatencyTable
from explorer.measure import exclusive
from explorer.measure.timing import clock
from explorer.progress import Progress
from explorer.run import KernelCache, KernelError, Plan, keys_of, lower, profile

ROUNDS = 4
TOGETHER = 4
"""So many plans take turns in one run, so that not too many packed weights are held at once."""
WHOLE = 3
"""In so many runs the reference is timed as a whole too."""


@dataclass(eq=False)
class CallTimes:
    """Microseconds of calls by key, as measured, in fractions of ``reference``, whose whole times are ``totals_us``.

    The only state are the times, which grow. ``table`` gets the same times, for predictions elsewhere.
    """

    reference: Plan
    kernels: KernelCache
    inputs: tuple[Any, ...]
    table: LatencyTable
    shares: dict[str, list[float]] = field(default_factory=dict)
    totals_us: list[float] = field(default_factory=list)

    def measure(
        self, plans: Sequence[Plan], progress: Progress | None = None, cancel: Any = None, rounds: int = ROUNDS
    ) -> None:
        """Time the calls of ``plans``, and of the reference beside them; what has a time by then keeps it, so that the
        same recipe always has the same time. A plan whose kernels cannot be made ready is left out.

        Raises :class:`Cancelled`; what was timed until then is kept.
        """
        timed = frozenset(self.shares)
        for first in range(0, len(plans), TOGETHER):
            if cancel is not None and cancel.is_set():
                raise Cancelled("time the calls of recipes")
            if progress is not None:
                progress(first, len(plans), "timing kernels")
            self._measure(plans[first : first + TOGETHER], timed, rounds, cancel)
        if progress is not None and plans:
            progress(len(plans), len(plans), "timing kernels")

    def unknown(self, plan: Plan) -> frozenset[str]:
        """The keys of a plan's calls that were never timed."""
        return frozenset(key for key in keys_of(plan).values() if key not in self.shares)

    def predict_us(self, plan: Plan) -> float:
        """Return the sum over all calls of ``plan``; what was never timed is estimated from what is most like it."""
        return sum(self.time_us(key) for key in keys_of(plan).values())

    def time_us(self, key: str, otherwise: float = 0.0) -> float:
        """Return what a call takes: measured, or of its kernel with other work taken in, or of a like cast, or
        ``otherwise``."""
        if not self.totals_us:
            return math.nan
        share = self._share(key)
        return otherwise if share is None else share * median(self.totals_us)

    def _share(self, key: str) -> float | None:
        if key in self.shares:
            return median(self.shares[key])
        if key.startswith("cast|"):
            return self._like_cast(key)
        base, *words = key.split(JOINED)
        near = [
            (len(set(others) ^ set(words)), other)
            for other in self.shares
            for one, *others in [other.split(JOINED)]
            if one == base
        ]
        return median(self.shares[min(near)[1]]) if near else None

    def _like_cast(self, key: str) -> float | None:
        """Of a cast to the same carrier: of as many elements, else in proportion to them."""
        _, source, carrier, elements = key.split("|")
        found = []
        for other, shares in self.shares.items():
            if other.startswith("cast|"):
                _, from_, to, count = other.split("|")
                if to == carrier:
                    ratio = int(elements) / max(int(count), 1)
                    found.append((abs(math.log(max(ratio, 1e-9))), from_ != source, median(shares) * ratio))
        return min(found)[2] if found else None

    def _measure(self, plans: Sequence[Plan], timed: frozenset[str], rounds: int, cancel: Any) -> None:
        try:
            reference, *found = profile([self.reference, *plans], self.kernels, self.inputs, rounds, cancel)
        except KernelError:
            if len(plans) > 1:
                for plan in plans:
                    self._measure([plan], timed, rounds, cancel)
            return
        total = sum(reference.values())
        if not timed and len(self.totals_us) < WHOLE:
            self.totals_us.append(self._whole_us(plans[0], rounds, cancel))
        scale = median(self.totals_us) / total
        for plan, times in ((self.reference, reference), *zip(plans, found, strict=True)):
            for name, key in keys_of(plan).items():
                if key not in timed:
                    self.shares.setdefault(key, []).append(times[name] / total)
            self.table.add(plan, {name: time * scale for name, time in times.items()})

    def _whole_us(self, other: Plan, rounds: int, cancel: Any) -> float:
        """What the reference takes, by turns with another plan so that caches are as they are beside others."""
        timed = clock(self.reference.device)
        calls = [partial(lower(plan, self.kernels), *self.inputs) for plan in (other, self.reference)]
        with exclusive(self.reference.device, cancel):
            times = [[timed(call) for call in calls][-1] for _ in range(rounds + 1)]
        return median(times[1:]) * 1e6


JOINED = " + "
"""What separates a call's own key from what it takes in."""


def cover(times: CallTimes, plans: Iterable[Plan], most: int) -> list[Plan]:
    """Return at most ``most`` of ``plans`` that have the calls which were never timed, most new ones first."""
    left = {id(plan): (plan, times.unknown(plan)) for plan in plans}
    chosen: list[Plan] = []
    while left and len(chosen) < most:
        best = max(left, key=lambda each: len(left[each][1]))
        plan, news = left.pop(best)
        if not news:
            break
        chosen.append(plan)
        left = {each: (other, keys - news) for each, (other, keys) in left.items()}
    return chosen
