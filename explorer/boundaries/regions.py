"""Coherent regions: ops that hand their results to each other without a cast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from explorer.boundaries.flow import Edge, Flow, elements_of, sum_us
from explorer.kernels import CARRIERS
from explorer.latency import LatencyTable
from explorer.run import Plan, keys_of
from explorer.run.fuse import find_fusions

COLUMNS = [
    "format",
    "reads",
    "ops",
    "first",
    "last",
    "elements_in",
    "elements_out",
    "casts_in",
    "casts_out",
    "time_us",
    "casts_us",
    "members",
]


def find_regions(plan: Plan, flow: Flow) -> tuple[tuple[str, ...], ...]:
    """Return the regions of ``plan`` as op ids in execution order: every op that has a precision is in one of them.

    A region is a maximal set of ops, connected by edges without a cast, between none of which there is a cast. Where a
    value takes both ways (x * sigmoid(linear(x)), the linear alone on codes of x) those ops part whose edge comes
    later in execution order.
    """
    groups = _Groups([op.id for op in plan.graph.rows], flow.edges)
    for edge in flow.edges:
        if not edge.casts:
            groups.join(edge.source, edge.reader)
    return groups.all()


class _Groups:
    """Ops in disjoint groups; ``join`` makes one of two, unless a cast lies between them."""

    def __init__(self, ops: Sequence[str], edges: Sequence[Edge]) -> None:
        self.group_of = {op: [op] for op in ops}
        self.apart: dict[str, set[str]] = {op: set() for op in ops}
        for edge in edges:
            if edge.casts and edge.source in self.apart and edge.reader in self.apart:
                self.apart[edge.source].add(edge.reader)
                self.apart[edge.reader].add(edge.source)

    def join(self, left: str, right: str) -> None:
        if left not in self.group_of or right not in self.group_of:
            return
        few, many = sorted((self.group_of[left], self.group_of[right]), key=len)
        if few is many or any(self.group_of[other] is many for op in few for other in self.apart[op]):
            return
        many += few
        self.group_of.update(dict.fromkeys(few, many))

    def all(self) -> tuple[tuple[str, ...], ...]:
        order = {op: position for position, op in enumerate(self.group_of)}
        unique = {id(group): group for group in self.group_of.values()}
        return tuple(
            sorted((tuple(sorted(g, key=order.__getitem__)) for g in unique.values()), key=lambda g: order[g[0]])
        )


def regions_table(plan: Plan, flow: Flow, regions: Sequence[Sequence[str]], times: LatencyTable) -> pd.DataFrame:
    """Return one row per region, in execution order of their first ops.

    ``format``: the formats in which its ops hand on their results, that of most elements first; ``reads``: those in
    which it takes what comes from outside (an INT8 product reads INT8 and hands on FP32). ``elements_in`` and
    ``elements_out``: of the results that it reads from outside and that are read outside, each once. ``casts_in`` and
    ``casts_out``: casts between its ops and others. ``time_us``: of its ops' and their views' own calls;
    ``casts_us``: of the casts that lead into it. NaN where a call was never timed.
    """
    region_of = {op: index for index, region in enumerate(regions) for op in region}
    keys, written, calls = keys_of(plan), _written_in(plan), _calls_of(plan, flow, region_of)
    rows = []
    for index, region in enumerate(regions):
        into = [e for e in flow.edges if region_of.get(e.reader) == index != region_of.get(e.source)]
        out = [e for e in flow.edges if region_of.get(e.source) == index != region_of.get(e.reader)]
        casts_in, casts_out = ({cast for edge in edges for cast in edge.casts} for edges in (into, out))
        rows.append(
            (
                _formats(plan, region, written),
                " + ".join(dict.fromkeys(edge.format for edge in into)),
                len(region),
                region[0],
                region[-1],
                sum(elements_of(plan, source) for source in {edge.source for edge in into}),
                sum(elements_of(plan, source) for source in {edge.source for edge in out}),
                len(casts_in),
                len(casts_out),
                sum_us(times, (keys[call] for call in calls[index])),
                sum_us(times, (keys[cast] for cast in casts_in)),
                tuple(region),
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS, index=pd.RangeIndex(len(rows), name="region"))


def _calls_of(plan: Plan, flow: Flow, region_of: Mapping[str, int]) -> list[list[str]]:
    """The ids of each region's calls: of its ops, and of views of nothing but their results."""
    calls: list[list[str]] = [[] for _ in set(region_of.values())]
    keys = keys_of(plan)
    for step in plan.steps:
        sources = [step.op.id] if step.op.has_precision else list(flow.origins.get(step.op.name, {}))
        owners = {region_of.get(source) for source in sources}
        if step.op.id in keys and len(owners) == 1 and (owner := owners.pop()) is not None:
            calls[owner].append(step.op.id)
    return calls


def _formats(plan: Plan, region: Sequence[str], written: Mapping[str, str]) -> str:
    """The formats in which a region's results are written, that of most elements first, in words."""
    carriers = {op: written[op] for op in region if op in written} or {op: plan.step_of[op].gives for op in region}
    counts: Counter[str] = Counter()
    for op, carrier in carriers.items():
        counts[CARRIERS[carrier].format] += elements_of(plan, op)
    return " + ".join(name for name, _ in counts.most_common())


def _written_in(plan: Plan) -> Mapping[str, str]:
    """Op id -> carrier in which its call writes; what another call takes in is not written, and not here."""
    written = {step.op.id: step.gives for step in plan.steps}
    for position, fusion in find_fusions(plan).items():
        written[plan.steps[position].op.id] = fusion.codes or plan.format_of[fusion.value]
        for taken in fusion.positions:
            del written[plan.steps[taken].op.id]
    return written
