"""How results flow from op to op, looking through views, and which casts they meet on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from explorer.kernels import CARRIERS
from explorer.latency import LatencyTable
from explorer.run import Cast, Plan, inside_of

OUTPUT = "output"
"""Who reads the model's output."""

Origins = Mapping[str, frozenset[str]]
"""Op id or input name -> ids of the casts that its result meets on the way to a value."""


@dataclass(frozen=True)
class Edge:
    """A result that arrives at a reader, through any views: ``source`` is an op id or an input's name, ``reader`` an
    op id or :data:`OUTPUT`, ``format`` what it is read in, ``casts`` the ids of the casts on the way."""

    source: str
    reader: str
    format: str
    casts: frozenset[str]


@dataclass(frozen=True)
class Flow:
    """The edges of a plan in execution order of their readers, and its casts by id.

    A cast that the op before it writes itself (``inside_of``) is no step between two ops: it is not here. ``origins``:
    where each value comes from.
    """

    edges: tuple[Edge, ...]
    casts: Mapping[str, Cast]
    origins: Mapping[str, Origins]


def find_flow(plan: Plan) -> Flow:
    """Return how floating values flow among the ops of ``plan`` that have a precision.

    Views and folded norms pass on what they read; an integer op that reads floats ends what it reads.
    """
    inside = inside_of(plan)
    casts = {cast.id: cast for cast in plan.casts if cast.id not in inside}
    origins: dict[str, Origins] = {name: {name: frozenset()} for name in plan.graph.inputs if name in plan.format_of}
    edges: list[Edge] = []
    for step in plan.steps:
        arriving = {name: _arrive(name, carrier, origins, casts) for name, carrier in step.takes.items()}
        if step.op.has_precision or not step.gives:
            for name, carrier in step.takes.items():
                edges += _edges(arriving[name], step.op.id, carrier)
        if step.gives:
            origins[step.op.name] = {step.op.id: frozenset()} if step.op.has_precision else _merge(arriving.values())
    edges += _edges(_arrive(plan.graph.output.name, "fp32", origins, casts), OUTPUT, "fp32")
    return Flow(tuple(edges), casts, origins)


def _arrive(name: str, carrier: str, origins: Mapping[str, Origins], casts: Mapping[str, Cast]) -> Origins:
    """Where a value comes from that is read in a carrier."""
    cast = f"cast:{name}:{carrier}"
    own = frozenset([cast] if cast in casts else [])
    return {source: met | own for source, met in origins.get(name, {}).items()}


def _edges(arriving: Origins, reader: str, carrier: str) -> Iterable[Edge]:
    return (Edge(source, reader, CARRIERS[carrier].format, met) for source, met in arriving.items())


def _merge(arriving: Iterable[Origins]) -> Origins:
    merged: dict[str, frozenset[str]] = {}
    for each in arriving:
        for source, met in each.items():
            merged[source] = merged.get(source, frozenset()) | met
    return merged


def readers_of(flow: Flow) -> Mapping[str, tuple[str, ...]]:
    """Return cast id -> the ops (and :data:`OUTPUT`) that its result reaches, through any views, in order."""
    found: dict[str, dict[str, None]] = {name: {} for name in flow.casts}
    for edge in flow.edges:
        for cast in edge.casts:
            found[cast][edge.reader] = None
    return {name: tuple(readers) for name, readers in found.items()}


def elements_of(plan: Plan, source: str) -> int:
    """Return how many elements an op's result or an input has."""
    op = plan.graph.by_id.get(source)
    return prod(plan.shapes.get(op.name if op else source, ()))


def sum_us(times: LatencyTable, keys: Iterable[str]) -> float:
    """Return the measured microseconds of calls by their keys; NaN where one was never timed, 0 for none."""
    found = [times.time_us(key) for key in keys]
    return math.fsum(time for time in found if time is not None) if None not in found else math.nan
