"""What is found of each place of a plan: next to another plan, found anew only around the steps that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from explorer.graph import Op
from explorer.run.plan import Plan

Found = TypeVar("Found")
REACH = 3
"""What a call takes in is decided by at most so many ops that follow: a sum, an activation, and what reads that."""


def by_place(plan: Plan, name: str, find: Callable[[int], Found | None]) -> Mapping[int, Found]:
    """Return what ``find`` says of each place of ``plan``, leaving out where it says nothing, and keep it by ``name``.

    ``find`` may look at the steps and at what is kept of up to :data:`REACH` ops on either side of its place, counting
    those with a precision, on from those of as many before them.
    """
    if name not in plan.kept:
        since = plan.since
        near = since is not None and name in since.kept
        found: dict[int, Found] = dict(since.kept[name]) if since is not None and near else {}
        for place in _around(plan) if near else range(len(plan.steps)):
            if (one := find(place)) is not None:
                found[place] = one
            else:
                found.pop(place, None)
        plan.kept[name] = found
    known: Mapping[int, Found] = plan.kept[name]
    return known


def _around(plan: Plan) -> Iterable[int]:
    """The places of which something else may be found than in the plan before."""
    if "around" not in plan.kept:
        assert plan.since is not None
        graph = plan.graph
        before = _walk(plan, plan.since.places, lambda op: [graph.producer[n] for n in op.refs if n in graph.producer])
        plan.kept["around"] = _walk(plan, before, lambda op: graph.users.get(op.name, ()))
    around: Iterable[int] = plan.kept["around"]
    return around


def _walk(plan: Plan, places: Iterable[int], next_to: Callable[[Op], Iterable[Op]]) -> set[int]:
    """Those places and what is up to :data:`REACH` ops with a precision away from them."""
    ops, place_of = plan.graph.ops, plan.graph.places
    left = dict.fromkeys(places, REACH)
    open_ = list(left)
    while open_:
        place = open_.pop()
        for op in next_to(ops[place]):
            steps, there = left[place] - op.has_precision, place_of[op.id]
            if steps >= 0 and steps > left.get(there, -1):
                left[there] = steps
                open_.append(there)
    return set(left)
