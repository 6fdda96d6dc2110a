"""Which casts could go, and by which toggles: each verified by planning it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from explorer.boundaries.alternatives import STATIC, Alternative, Alternatives, Toggles, describe, pattern_of
from explorer.boundaries.flow import OUTPUT, Flow, readers_of, sum_us
from explorer.kernels import CARRIERS, NATIVE_DTYPES
from explorer.latency import LatencyTable
from explorer.run import Cast, Plan

MOST_BOUNDARIES = 24
"""Boundaries for which toggles are sought, the costliest first. Each is planned some six times."""
SMALL_REGION = 8
"""Ops of a region that may be toggled together to remove a cast at its edge."""
COLUMNS = [
    "toggles",
    "change",
    "removes",
    "adds",
    "casts_before",
    "casts_after",
    "bytes_saved",
    "casts_us",
    "ms_before",
    "ms_after",
    "saved_us",
]


@dataclass(frozen=True)
class Boundary:
    """Casts that lie between like ops of like layers, and the ops on both sides of each."""

    casts: tuple[Cast, ...]
    sources: tuple[str, ...]
    readers: tuple[str, ...]


def find_removals(
    plan: Plan, flow: Flow, regions: Sequence[Sequence[str]], times: LatencyTable, alternatives: Alternatives
) -> tuple[Alternative, ...]:
    """Return the alternatives that remove casts of the :data:`MOST_BOUNDARIES` costliest boundaries, the best first.

    Best is what saves most measured time; then, where a call of the other recipe was never timed, what saves most
    bytes of casts; last what was measured to save no time.
    """
    found: dict[object, Alternative] = {}
    for boundary in find_boundaries(plan, flow, times)[:MOST_BOUNDARIES]:
        gone = {cast.id for cast in boundary.casts}
        for toggles in _candidates(plan, flow, boundary, regions, alternatives):
            alternative = alternatives.plan(toggles)
            if alternative is None or not gone <= set(alternative.removed):
                continue
            known = found.get(alternative.pattern)
            if known is None or len(known.toggles) < len(toggles):
                found[alternative.pattern] = alternative
    useful = [each for each in found.values() if not any(each.is_wasteful(other) for other in found.values())]
    return tuple(sorted(useful, key=_merit))


def _merit(alternative: Alternative) -> tuple[int, float]:
    saved = alternative.saved_us
    if math.isnan(saved):
        return 1, -alternative.bytes_saved
    return (0 if saved > 0 else 2), -saved


def find_boundaries(plan: Plan, flow: Flow, times: LatencyTable) -> tuple[Boundary, ...]:
    """Return the casts that are calls of their own, like ones together, the costliest first.

    Alike are casts to one carrier between ops whose ids differ in the numbers of their layers alone
    (``blocks.0.mlp.fc1`` and ``blocks.7.mlp.fc1``). Cost is measured time, else bytes.
    """
    readers = readers_of(flow)
    groups: dict[object, list[str]] = {}
    for name, cast in flow.casts.items():
        ends = (tuple(flow.origins.get(cast.value, ())), readers[name])
        groups.setdefault((cast.carrier, *(tuple(map(pattern_of, ops)) for ops in ends)), []).append(name)
    found = [_boundary(flow, readers, group) for group in groups.values()]
    return tuple(sorted(found, key=lambda boundary: _cost(boundary, times), reverse=True))


def _boundary(flow: Flow, readers: Mapping[str, tuple[str, ...]], names: Sequence[str]) -> Boundary:
    casts = tuple(flow.casts[name] for name in names)
    sources = dict.fromkeys(source for cast in casts for source in flow.origins.get(cast.value, ()))
    return Boundary(casts, tuple(sources), tuple(dict.fromkeys(r for name in names for r in readers[name])))


def _cost(boundary: Boundary, times: LatencyTable) -> tuple[float, int]:
    return (
        sum(times.time_us(cast.key) or 0.0 for cast in boundary.casts),
        sum(cast.bytes for cast in boundary.casts),
    )


def _candidates(
    plan: Plan, flow: Flow, boundary: Boundary, regions: Sequence[Sequence[str]], alternatives: Alternatives
) -> Iterator[Toggles]:
    """Toggles that may make both sides of a boundary agree.

    The readers take what comes; the sources make what is read; then the same with the elementwise ops before them and
    with the whole of a small region; then all in static codes, which products write themselves.
    """
    sources, readers = boundary.sources, tuple(op for op in boundary.readers if op != OUTPUT)
    upstream = _elementwise_before(plan, flow, sources)
    for name in _comes_as(plan, boundary):
        yield alternatives.toggle(readers, name)
        yield alternatives.toggle((*readers, *_small_regions(regions, readers)), name)
    for name in _read_as(plan, boundary):
        yield alternatives.toggle(sources, name)
        yield alternatives.toggle((*sources, *upstream), name)
        yield alternatives.toggle((*sources, *_small_regions(regions, sources)), name)
    if any(CARRIERS[cast.carrier].format in ("int8", "uint8") for cast in boundary.casts):
        yield alternatives.toggle((*sources, *upstream, *readers), STATIC)


def _comes_as(plan: Plan, boundary: Boundary) -> Iterable[str]:
    """Precisions that read what the boundary's casts convert."""
    carriers = {plan.format_of[cast.value] for cast in boundary.casts}
    return dict.fromkeys(name if name in NATIVE_DTYPES else STATIC for name in sorted(carriers))


def _read_as(plan: Plan, boundary: Boundary) -> Iterable[str]:
    """Precisions that make what the boundary's casts make: the float itself, or that of the ops that read it."""
    native = [cast.carrier for cast in boundary.casts if cast.carrier in NATIVE_DTYPES]
    return dict.fromkeys(native or [plan.recipe[op] for op in boundary.readers if op in plan.recipe.by_op])


def _elementwise_before(plan: Plan, flow: Flow, ops: Iterable[str]) -> tuple[str, ...]:
    """The ops before ``ops`` as far as only elementwise ones lie between, and the first others before those."""
    before: dict[str, list[str]] = {}
    for edge in flow.edges:
        before.setdefault(edge.reader, []).append(edge.source)
    found: dict[str, None] = {}
    waiting = list(ops)
    while waiting:
        op = waiting.pop()
        if op not in plan.step_of or plan.step_of[op].op.role != "elementwise":
            continue
        waiting += (source for source in before.get(op, ()) if source not in found)
        found.update(dict.fromkeys(before.get(op, ())))
    return tuple(found)


def _small_regions(regions: Sequence[Sequence[str]], ops: Sequence[str]) -> tuple[str, ...]:
    """The ops of the regions of ``ops`` that are small."""
    return tuple(
        op for region in regions if len(region) <= SMALL_REGION and not set(ops).isdisjoint(region) for op in region
    )


def removals_table(alternatives: Sequence[Alternative], times: LatencyTable) -> pd.DataFrame:
    """Return one row per verified change, the best first.

    ``toggles``: pairs (op id, precision); ``change`` says them in words. ``removes`` and ``adds``: ids of casts.
    ``casts_before``, ``casts_after``: casts that are calls of their own, in the whole plan. ``bytes_saved``: read plus
    written by casts. ``casts_us``: measured time of the casts that go less that of those that come; ``ms_before``,
    ``ms_after``: predicted from measured calls, ``saved_us`` their difference. NaN where a call was never timed.
    """
    rows = [
        (
            each.toggles,
            describe(each.toggles),
            each.removed,
            each.added,
            len(each.before.casts),
            len(each.after.casts),
            each.bytes_saved,
            casts_us(each, times),
            each.before.ms,
            each.after.ms,
            each.saved_us,
        )
        for each in alternatives
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def casts_us(alternative: Alternative, times: LatencyTable) -> float:
    """Return the measured microseconds of the casts that an alternative spares, less those of the ones that it adds."""
    spared = (alternative.before.casts[name].key for name in alternative.removed)
    added = (alternative.after.casts[name].key for name in alternative.added)
    return sum_us(times, spared) - sum_us(times, added)
