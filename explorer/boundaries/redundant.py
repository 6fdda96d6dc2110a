"""Casts that say nothing new: values raised and lowered again, and equal values converted twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import pandas as pd

from explorer.boundaries.alternatives import STATIC, Alternative, Alternatives, describe, pattern_of
from explorer.boundaries.flow import Flow, readers_of, sum_us
from explorer.formats import Scheme
from explorer.graph import Op
from explorer.kernels import CARRIERS, NATIVE_DTYPES
from explorer.latency import LatencyTable
from explorer.run import Cast, Plan, Step

SAME_ROWS = frozenset(
    "alias clone contiguous detach flatten reshape squeeze unflatten unsqueeze view view_copy _unsafe_view".split()
)
"""Views that keep every element, and where the last dimension stays as long, every row."""
SAME_ELEMENTS = SAME_ROWS | frozenset("movedim permute t transpose".split())
"""Views that keep every element, in whatever place."""
COLUMNS = ["kind", "raised_by", "through", "readers", "low", "high", "casts", "bytes", "casts_us", "toggles", "change"]


@dataclass(frozen=True)
class RoundTrip:
    """A value that was in ``low``, is raised to ``high``, and lowered to ``low`` again by ``cast`` for ``readers``.

    ``raised_by``: the ops that read ``low`` and give ``high``, or whose result a cast raised; ``ups``: those casts.
    ``through``: the elementwise ops that compute in ``high`` in between.
    """

    cast: Cast
    raised_by: tuple[str, ...]
    ups: tuple[str, ...]
    through: tuple[str, ...]
    readers: tuple[str, ...]


def find_round_trips(plan: Plan, flow: Flow) -> tuple[RoundTrip, ...]:
    """Return every cast down whose value was raised from that very format, with views and elementwise ops between.

    All paths to the value must be so: a sum with a term that was never low is no round trip.
    """
    readers, found = readers_of(flow), []
    for cast in flow.casts.values():
        if plan.format_of[cast.value] in NATIVE_DTYPES and cast.to != cast.from_:
            walk = _Walk(plan, cast)
            if walk.is_raised(cast.value):
                raised_by, through = walk.in_order(walk.raised_by), walk.in_order(walk.through)
                found.append(RoundTrip(cast, raised_by, tuple(walk.ups), through, readers[cast.id]))
    return tuple(found)


class _Walk:
    """Follows a value upwards to where it was raised from the format that a cast lowers it to."""

    def __init__(self, plan: Plan, cast: Cast) -> None:
        self.plan, self.low, self.high = plan, cast.to, plan.format_of[cast.value]
        self.raised_by: dict[str, None] = {}
        self.ups: dict[str, None] = {}
        self.through: dict[str, None] = {}

    def is_raised(self, value: str) -> bool:
        """Whether all that ``value``, in ``high``, is made of was raised from ``low``."""
        maker = self.plan.graph.producer.get(value)
        if maker is None:
            return False
        step = self.plan.step_of[maker.id]
        if maker.has_precision and self._reads_low(step):
            self.raised_by[maker.id] = None
            return True
        if maker.has_precision and maker.role != "elementwise":
            return False
        if maker.has_precision:
            self.through[maker.id] = None
        names = [name for name, carrier in step.takes.items() if carrier == self.high]
        return len(names) == len(step.takes) > 0 and all(self._arrives_raised(name) for name in names)

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Ops in execution order; inputs of the graph first."""
        return tuple(sorted(names, key=lambda name: self.plan.position_of.get(name, -1)))

    def _reads_low(self, step: Step) -> bool:
        operands = [step.takes[name] for name in step.site.operands if name in step.takes]
        return bool(operands) and all(CARRIERS[carrier].format == self.low for carrier in operands)

    def _arrives_raised(self, name: str) -> bool:
        """Whether a value that is read in ``high`` comes from ``low``: through a cast, or it was raised before."""
        arriving = self.plan.format_of[name]
        if arriving == self.high:
            return self.is_raised(name)
        if CARRIERS[arriving].format != self.low:
            return False
        self.ups[f"cast:{name}:{self.high}"] = None
        maker = self.plan.graph.producer.get(name)
        self.raised_by[name if maker is None else maker.id] = None
        return True


def avoid(plan: Plan, trips: Sequence[RoundTrip], alternatives: Alternatives) -> Alternative | None:
    """Return the alternative that spares the casts down of round trips: what is between in the low format, or all in
    static codes, which products write themselves. None where the planner can do neither."""
    low, gone = trips[0].cast.to, {trip.cast.id for trip in trips}
    if low in NATIVE_DTYPES:
        toggles = alternatives.toggle((op for trip in trips for op in trip.through), low)
    elif low in ("int8", "uint8"):
        around = (op for trip in trips for op in (*trip.raised_by, *trip.through, *trip.readers))
        toggles = alternatives.toggle(around, STATIC)
    else:
        return None
    found = alternatives.plan(toggles)
    return found if found is not None and gone <= set(found.removed) else None


def find_repeats(plan: Plan, flow: Flow) -> tuple[tuple[Cast, ...], ...]:
    """Return the casts that make equal values: of one tensor in other shapes, to one carrier under one scale.

    Views may stand between, as long as they keep every element; where scales are found per row, every row.
    """
    groups: dict[object, list[Cast]] = {}
    for cast in flow.casts.values():
        root = _root(plan, cast.value, _kinds_kept(CARRIERS[cast.carrier].scheme))
        scale = plan.scales[cast.value] if CARRIERS[cast.carrier].static else None
        groups.setdefault((root, cast.carrier, scale), []).append(cast)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _kinds_kept(scheme: Scheme | None) -> frozenset[str]:
    """The views through which codes stay the same, were they taken before or after."""
    if scheme is None or scheme.granularity == "tensor":
        return SAME_ELEMENTS
    return SAME_ROWS if scheme.axis is None else frozenset()


def _root(plan: Plan, value: str, kinds: frozenset[str]) -> str:
    """The value that a value is a view of, element for element."""
    maker = plan.graph.producer.get(value)
    while maker is not None and _keeps(plan, maker, kinds):
        (value,) = plan.step_of[maker.id].takes
        maker = plan.graph.producer.get(value)
    return value


def _keeps(plan: Plan, op: Op, kinds: frozenset[str]) -> bool:
    step = plan.step_of[op.id]
    if op.folded_into:
        return len(step.takes) == 1
    if op.has_precision or op.kind not in kinds or len(step.takes) != 1:
        return False
    before, after = plan.shapes[next(iter(step.takes))], plan.shapes[op.name]
    return prod(before) == prod(after) and (kinds is not SAME_ROWS or before[-1:] == after[-1:])


def redundant_table(plan: Plan, flow: Flow, times: LatencyTable, alternatives: Alternatives) -> pd.DataFrame:
    """Return what could be spared: round trips that the planner can avoid, and casts that are made twice.

    ``kind``: ``"up then down"`` (a value raised and lowered again; like ones of like layers in one row) or ``"twice"``.
    ``low`` and ``high``: formats. ``casts``: ids of the casts that are calls; of those made twice, all but the first.
    ``bytes``: read plus written by them, ``casts_us`` their measured time (NaN where one was never timed).
    ``toggles`` and ``change``: what avoids a round trip, verified by planning. No toggle spares a cast that is made
    twice: casts of one tensor are shared, those of its views are not.
    """
    rows: list[tuple[object, ...]] = []
    for trips in _alike(find_round_trips(plan, flow)):
        found = avoid(plan, trips, alternatives)
        if found is not None:
            rows.append(_trips_row(flow, trips, found, times))
    rows += (_repeats_row(flow, casts, times) for casts in find_repeats(plan, flow))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("bytes", ascending=False, ignore_index=True)


def _alike(trips: Iterable[RoundTrip]) -> Iterable[Sequence[RoundTrip]]:
    groups: dict[object, list[RoundTrip]] = {}
    for trip in trips:
        ends = (trip.raised_by, trip.through, trip.readers)
        groups.setdefault((trip.cast.carrier, *(tuple(map(pattern_of, ops)) for ops in ends)), []).append(trip)
    return groups.values()


def _trips_row(flow: Flow, trips: Sequence[RoundTrip], found: Alternative, times: LatencyTable) -> tuple[object, ...]:
    calls = [flow.casts[name] for name in _all_of((*trip.ups, trip.cast.id) for trip in trips) if name in flow.casts]
    return (
        "up then down",
        _all_of(trip.raised_by for trip in trips),
        _all_of(trip.through for trip in trips),
        _all_of(trip.readers for trip in trips),
        trips[0].cast.to,
        trips[0].cast.from_,
        *_spent(calls, times),
        found.toggles,
        describe(found.toggles),
    )


def _repeats_row(flow: Flow, casts: Sequence[Cast], times: LatencyTable) -> tuple[object, ...]:
    first, *again = casts
    low, high = (first.to, first.from_) if first.direction == "down" else (first.from_, first.to)
    readers = readers_of(flow)
    return (
        "twice",
        (first.source,),
        (),
        _all_of(readers[cast.id] for cast in casts),
        low,
        high,
        *_spent(again, times),
        (),
        "",
    )


def _all_of(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The names in all parts, each once, in order."""
    return tuple(dict.fromkeys(name for part in parts for name in part))


def _spent(casts: Sequence[Cast], times: LatencyTable) -> tuple[tuple[str, ...], int, float]:
    """The ids of casts, their bytes and their microseconds."""
    return (
        tuple(cast.id for cast in casts),
        sum(cast.bytes for cast in casts),
        sum_us(times, (cast.key for cast in casts)),
    )
