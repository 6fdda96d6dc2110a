"""What the inspector says of one tensor at an op under a format: which tensors there are, what holds them, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import explorer as px
from explorer.formats import BlockSpec, IntSpec, Scheme, Spec
from explorer.kernels import CARRIERS, StaticScale
from explorer.observe import ports
from explorer.precision import find_precision
from explorer.ranges import TensorRange
from widgets.bands import Band, find_band, is_product, words_of
from widgets.charts.grid_values import grid_of, reach_of
from widgets.charts.magnitudes import ROOM, Held, span_of
from widgets.plots import color_of

ASSIGNED = "assigned"
SCALES_ONLY = "e8m0"
Kind = Scheme | Spec


@dataclass(frozen=True, eq=False)
class Seen:
    """One tensor at an op. ``label``: its words; ``range``: what is known of it; ``slices``: of parts of the data.

    ``kind``: the format that the recipe gives it there, with its scale where that is ``fixed``; ``row``: how many of
    its elements share a scale where no format or group says so. ``judged``: the op is judged by this one first.
    """

    port: str
    label: str
    range: TensorRange
    slices: Mapping[str, TensorRange]
    kind: Kind
    fixed: StaticScale | None
    row: int
    judged: bool


def formats_offered() -> dict[str, Kind]:
    """What a tensor can be held against: each format by its name, under one scale where it takes one."""
    return {name: _usual(spec) for name, spec in px.FORMATS.items() if name != SCALES_ONLY}


def _usual(spec: Spec) -> Kind:
    if spec.bits >= 16 and not isinstance(spec, BlockSpec):
        return spec
    return Scheme(spec.name, symmetric=not (isinstance(spec, IntSpec) and not spec.signed))


def words_for(kind: Kind) -> str:
    """The format and where its scales come from."""
    return words_of(kind) if isinstance(kind, Scheme) and kind.scaled else kind_spec(kind).label


def kind_spec(kind: Kind) -> Spec:
    """The format of a scheme, or the format itself."""
    return kind.spec if isinstance(kind, Scheme) else kind


def tensors_at(session: Any, recipe: Any, range_set: Any, op: str) -> list[Seen]:
    """The tensors at an op whose ranges are known, inputs, weights, output; what it is judged by comes first."""
    graph, plan = session.subject.graph, session.plan_of(recipe)
    step = plan.step_of[op]
    found = ports(graph, op)
    given = next((name for name in step.site.operands if name in range_set.values), "") if is_product(step) else ""
    seen = []
    for port, name in found.items():
        known = range_set.of(graph, op, port)
        if known is None or not known.histogram.count:
            continue
        slices = {label: each[name] for label, each in range_set.slices.items() if name in each}
        kind, fixed = _assigned(plan, step, port, name, recipe[op])
        judged = name == given if given else port == "output"
        shape = graph.constants[name].shape if name in graph.constants else plan.shapes.get(name, ())
        seen.append(Seen(port, _label(graph, found, port, name), known, slices, kind, fixed, _row(kind, shape), judged))
    return sorted(seen, key=lambda each: (not each.judged, each.port.startswith("weight"), each.port == "output"))


def _assigned(plan: Any, step: Any, port: str, name: str, precision: str) -> tuple[Kind, StaticScale | None]:
    """The format that the plan gives a tensor at this op, and its fixed scale."""
    if name in plan.graph.constants:
        return _assigned_to_weight(step, plan.graph.constants[name].dim(), precision), None
    carrier = CARRIERS[(step.gives if port == "output" else step.takes.get(name)) or "fp32"]
    return carrier.scheme or px.FORMATS[carrier.format], plan.scales.get(name) if carrier.static else None


def _assigned_to_weight(step: Any, rank: int, precision: str) -> Kind:
    """A weight that is multiplied has the precision's scheme; a bias or a norm's weight is at most cast."""
    chosen = find_precision(precision)
    if rank > 1 and is_product(step) and chosen.weight is not None:
        return chosen.weight
    native = chosen.compute if chosen.compute in ("bf16", "fp16", "tf32") else "fp32"
    return px.FORMATS[native]


def _row(kind: Kind, shape: tuple[int, ...]) -> int:
    """How many elements share a scale: those of a token, or of a channel along the scheme's axis."""
    if not shape:
        return 1
    if isinstance(kind, Scheme) and kind.granularity == "channel":
        return max(1, math.prod(shape) // shape[kind.axis or 0])
    return shape[-1]


def _label(graph: Any, found: Mapping[str, str], port: str, name: str) -> str:
    side, _, place = port.partition(":")
    if side == "weight":
        return place.rpartition(".")[2] or place
    if side == "output":
        return "output"
    inputs = [each for each in found if each.startswith("input:")]
    source = graph.producer.get(name)
    whose = f", from {source.id}" if source is not None else ""
    return f"input{f' {inputs.index(port) + 1}' if len(inputs) > 1 else ''}{whose}"


# -- under a format --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Judged:
    """A tensor under a format: the band with its forecast, what is held of either sign, and where scales come from."""

    seen: Seen
    kind: Kind
    band: Band
    held: Held


def judge_as(seen: Seen, format: str) -> Judged:
    """The tensor under its assigned format, or under one that is offered."""
    kind = seen.kind if format == ASSIGNED else formats_offered()[format]
    band = find_band(seen.range, kind, seen.fixed if format == ASSIGNED else None, seen.row)
    grid = grid_of(kind, band.scale, band.zero_point)
    low, high = span_of(seen.range.histogram)
    up, down = (reach_of(grid, sign, low - ROOM, high + ROOM) for sign in (1, -1))
    many = isinstance(kind, Scheme) and kind.scaled and kind.granularity != "tensor"
    return Judged(seen, kind, band, Held(words_for(kind), color_of(kind_spec(kind).name), up, down, many))
