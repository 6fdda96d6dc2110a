"""The schedule of a plan: what a lowered plan calls, in order, and which tensors each call reads, makes and frees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from explorer.kernels import Post
from explorer.run.execute import KernelCache
from explorer.run.fuse import Fusion, find_fusions, find_inner_casts, find_overwrites
from explorer.run.nearby import by_place
from explorer.run.plan import Cast, Plan, Step

Slot = tuple[str, str]
"""A value in a carrier; the carrier is empty for what has none: integers, and tuples of tensors."""


@dataclass(frozen=True)
class Call:
    """One call: of a kernel, of a view, or of a cast.

    ``id`` is the op's or the cast's; ``inside`` are those of ops and casts that it does besides. ``frees`` are the
    slots that no later call reads. ``key`` is equal for calls that take the same time.
    """

    id: str
    key: str
    function: Callable[..., Any]
    reads: tuple[Slot, ...]
    makes: Slot
    inside: tuple[str, ...] = ()
    frees: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """The calls of a plan; ``output`` holds the result in FP32 at the end."""

    plan: Plan
    calls: tuple[Call, ...]
    output: Slot


def make_schedule(plan: Plan, kernels: KernelCache) -> Schedule:
    """Return the calls of ``plan``: weights packed, each cast done once, each tensor freed after its last use.

    Products and norms take in what follows them, products of few rows the cast before them, and results go over inputs
    that die, where that changes no bit (:mod:`explorer.run.fuse`).
    """
    writer = _Scheduler(plan, kernels)
    for position, step in enumerate(plan.steps):
        writer.add(position, step)
    return writer.finish()


def keys_of(plan: Plan) -> Mapping[str, str]:
    """Return id -> key of each call that a plan will make. Packs nothing, so that any recipe can be priced at once."""
    fusions, casts, inside = find_fusions(plan), find_inner_casts(plan), inside_of(plan)
    found = by_place(plan, "keys", lambda at: _key(plan.steps[at], fusions.get(at), casts.get(at)))
    names = [op.id for op in plan.graph.ops]
    keys = {names[at]: key for at, key in found.items() if names[at] not in inside}
    return keys | {cast.id: cast.key for cast in plan.casts if cast.id not in inside}


def inside_of(plan: Plan) -> Mapping[str, str]:
    """Return id -> id of the op that does it besides its own, of every op and cast without a call of its own."""
    if "inside" not in plan.kept:
        plan.kept["inside"] = _find_inside(plan)
    found: Mapping[str, str] = plan.kept["inside"]
    return found


def _find_inside(plan: Plan) -> Mapping[str, str]:
    fusions = find_fusions(plan)
    casts = find_inner_casts(plan)
    return {
        done: plan.steps[position].op.id
        for position in {**fusions, **casts}
        for done in _done_by(fusions.get(position), casts.get(position), plan)
    }


def _done_by(fusion: Fusion | None, cast: Cast | None, plan: Plan) -> tuple[str, ...]:
    """Ids of the ops and the casts that a call does besides its own op."""
    found = [] if cast is None else [cast.id]
    if fusion is not None:
        found += [plan.steps[position].op.id for position in fusion.positions]
        found += [f"cast:{fusion.value}:{fusion.codes}"] if fusion.codes else []
    return tuple(found)


def _key(step: Step, fusion: Fusion | None, cast: Cast | None) -> str:
    if fusion is None and cast is None:
        return step.key
    words = ["" if cast is None else f"cast {cast.carrier}"]
    if fusion is not None:
        words += [fusion.addend_carrier, fusion.post.activation, fusion.codes]
    return " + ".join((step.key, *filter(None, words)))


class _Scheduler:
    """Adds calls one after another; ``slots`` are the tensors that there are."""

    def __init__(self, plan: Plan, kernels: KernelCache) -> None:
        self.plan, self.kernels = plan, kernels
        self.fusions, self.over = find_fusions(plan), find_overwrites(plan)
        self.casts = find_inner_casts(plan)
        self.fused = {p for fusion in self.fusions.values() for p in fusion.positions}
        self.calls: list[Call] = []
        self.slots = {self._home(name) for name in plan.graph.inputs}

    def add(self, position: int, step: Step) -> None:
        """Add the call of the step at ``position``, unless another does it, and the casts that it needs first."""
        if position in self.fused:
            return
        fusion, cast = self.fusions.get(position), self.casts.get(position)
        own = "" if cast is None else cast.value
        reads = [self._home(n) if n == own else self._read(n, step.takes.get(n)) for n in step.site.inputs]
        post, makes = Post(), self._home(step.op.name)
        if fusion is not None:
            post = fusion.post
            makes = (fusion.value, fusion.codes) if fusion.codes else self._home(fusion.value)
            if fusion.addend:
                reads.append(self._read(fusion.addend, fusion.addend_carrier))
        if cast is not None:
            function = self.kernels.of_floats(step, post)
        elif fusion is not None:
            function = self.kernels.extended(step, post)
        else:
            function = self.over.get(position) or self.kernels.call(step)
        inside = _done_by(fusion, cast, self.plan)
        self._call(Call(step.op.id, _key(step, fusion, cast), function, tuple(reads), makes, inside))

    def finish(self) -> Schedule:
        """The schedule, each slot freed by the last call that reads it."""
        output = self._read(self.plan.graph.output.name, "fp32")
        last = {slot: index for index, call in enumerate(self.calls) for slot in (call.makes, *call.reads)}
        frees: dict[int, list[Slot]] = {}
        for slot, index in last.items():
            if slot != output:
                frees.setdefault(index, []).append(slot)
        calls = (replace(call, frees=tuple(frees.get(index, ()))) for index, call in enumerate(self.calls))
        return Schedule(self.plan, tuple(calls), output)

    def _home(self, name: str) -> Slot:
        """The slot of a value as it is made."""
        return name, self.plan.format_of.get(name, "")

    def _read(self, name: str, carrier: str | None) -> Slot:
        """The slot of a value in a carrier, converted where that was not done yet."""
        home = self._home(name)
        slot = home if carrier is None else (name, carrier)
        if slot not in self.slots:
            cast = f"cast:{name}:{slot[1]}"
            key = self._cast_keys[cast]
            self._call(Call(cast, key, self.plan.converter(*slot), (home,), slot))
        return slot

    @cached_property
    def _cast_keys(self) -> Mapping[str, str]:
        return {cast.id: cast.key for cast in self.plan.casts}

    def _call(self, call: Call) -> None:
        self.calls.append(call)
        self.slots.add(call.makes)
