"""What recipes cost in time: every call of a few plans, timed in place against one reference. (Effect: clock.)

Times are kept by kernel and shapes, so that layers share them. Each run of plans includes the reference (FP32), and
times are taken as fractions of its calls' sum: a machine that slows down meanwhile slows both. What they are fractions
of is what the reference takes as a whole, without a clock read after each call. What another search has timed on this
device within the hour is not timed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from statistics import median
from typing import Any

from explorer.errors import Cancelled
from explorer.latency import LatencyTable
from explorer.measure import exclusive
from explorer.measure.timing import clock
from explorer.progress import Progress
from explorer.run import KernelCache, KernelError, Plan, keys_of, lower, profile
from explorer.search.call_time_store import CallTimeStore, set_key

ROUNDS = 4
TOGETHER = 4
"""So many plans take turns in one run, so that not too many packed weights are held at once."""
WHOLE = 3
"""In so many runs the reference is timed as a whole too."""


@dataclass(frozen=True)
class _Look:
    """How one measurement is made: rounds of each call, what cancels it, and what is told of it."""

    rounds: int
    cancel: Any
    tell: Callable[[str], None] | None

    def say(self, text: str) -> None:
        if self.tell is not None:
            self.tell(text)


@dataclass(eq=False)
class CallTimes:
    """Microseconds of calls by key, as measured, in fractions of ``reference``, whose whole times are ``totals_us``.

    The only state are the times, which grow; they are shared through ``store``. ``table`` gets the same times, for
    predictions elsewhere.
    """

    reference: Plan
    kernels: KernelCache
    inputs: tuple[Any, ...]
    table: LatencyTable
    store: CallTimeStore
    shares: dict[str, list[float]] = field(default_factory=dict)
    totals_us: list[float] = field(default_factory=list)
    _measured: bool = False

    def recall(self) -> frozenset[str]:
        """Take over what searches of this or other processes have timed within the hour, and return the keys of calls
        that had no time here before."""
        found = self.store.find(self._key)
        if found is None:
            return frozenset()
        news = {key: list(shares) for key, shares in found.shares.items() if key not in self.shares}
        self.shares |= news
        if not self._measured:
            self.totals_us = list(found.totals_us)
        self.table.fill({key: self.time_us(key) for key in news})
        return frozenset(news)

    def measure(
        self, plans: Sequence[Plan], progress: Progress | None = None, cancel: Any = None, rounds: int = ROUNDS
    ) -> None:
        """Time the calls of ``plans`` that were never timed, and the reference beside them; what has a time by then, or
        from another search, keeps it, so that the same recipe always has the same time. A plan whose kernels cannot be
        made ready is left out.

        The device is held for a few plans at a time, and what was timed is shared after each few. Raises
        :class:`Cancelled`; what was timed until then is kept.
        """
        kept = set(self.shares)
        for first in range(0, len(plans), TOGETHER):
            if cancel is not None and cancel.is_set():
                raise Cancelled("time the calls of recipes")
            tell = None if progress is None else partial(progress, first, len(plans))
            self._share_out(plans[first : first + TOGETHER], kept, _Look(rounds, cancel, tell))
        self._measured = self._measured or bool(self.totals_us)
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

    @cached_property
    def _key(self) -> str:
        return set_key(self.reference)

    def _share_out(self, plans: Sequence[Plan], kept: set[str], look: _Look) -> None:
        """Time those of ``plans`` that nobody has timed yet; ``kept``: calls that have their times."""
        look.say("timing kernels")
        kept |= self.recall()
        if not any(self.unknown(plan) for plan in plans):
            return
        with exclusive(self.reference.device, look.cancel, look.tell):
            look.say("timing kernels")
            kept |= self.recall()  # who waited may find all that it wanted
            left = [plan for plan in plans if self.unknown(plan)]
            if left:
                self._measure(left, kept, look)

    def _measure(self, plans: Sequence[Plan], kept: set[str], look: _Look) -> None:
        try:
            reference, *found = profile([self.reference, *plans], self.kernels, self.inputs, look.rounds, look.cancel)
        except KernelError:
            if len(plans) > 1:
                for plan in plans:
                    self._measure([plan], kept, look)
            return
        totals_us, total = self._totals_us(plans[0], look), sum(reference.values())
        if not self._measured:
            self.totals_us = totals_us
        scale, timed = median(self.totals_us) / total, set()
        for plan, times in ((self.reference, reference), *zip(plans, found, strict=True)):
            for name, key in keys_of(plan).items():
                if key not in kept:
                    self.shares.setdefault(key, []).append(times[name] / total)
                    timed.add(key)
            self.table.add(plan, {name: time * scale for name, time in times.items()})
        self.store.add(self._key, totals_us, {key: self.shares[key] for key in timed})

    def _totals_us(self, other: Plan, look: _Look) -> list[float]:
        """What the reference took as a whole so far, and once more as long as that is asked for."""
        found = self.store.find(self._key)
        totals_us = [] if found is None else list(found.totals_us)
        if not totals_us or (not self._measured and len(totals_us) < WHOLE):
            totals_us.append(self._whole_us(other, look.rounds, look.cancel))
        return totals_us

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
