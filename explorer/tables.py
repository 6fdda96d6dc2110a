"""Tables of a plan for people: ops, casts, links between rows, memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod

import pandas as pd

from explorer.graph import ModelGraph
from explorer.run import Plan, Step, count_flops, inside_of

OP_COLUMNS = [
    "layer",
    "kind",
    "role",
    "fold",
    "input_shapes",
    "output_shape",
    "params",
    "flops",
    "bytes",
    "precision",
    "reason",
    "kernel",
    "emulated",
    "refusal",
    "note",
    "source",
]
CAST_COLUMNS = [
    "source",
    "consumers",
    "from",
    "to",
    "direction",
    "elements",
    "bytes",
    "time_us",
    "emulated",
    "inside",
]


def ops_table(plan: Plan) -> pd.DataFrame:
    """Return one row per op that has a precision, in execution order, indexed by op id."""
    notes = {op.folded_into: f"{op.kind} folded in" for op in plan.graph.ops if op.folded_into}
    steps = [step for step in plan.steps if step.op.has_precision]
    rows = [_op_row(plan, step, notes.get(step.op.id, "")) for step in steps]
    index = pd.Index([step.op.id for step in steps], name="op")
    return pd.DataFrame(rows, columns=OP_COLUMNS, index=index)


def _op_row(plan: Plan, step: Step, note: str) -> tuple[object, ...]:
    op, site = step.op, step.site
    recipe = plan.recipe
    inputs = ", ".join("×".join(map(str, site.shapes[n])) or "scalar" for n in site.inputs if n in site.floating)
    output = plan.shapes.get(op.name, ())
    params = sum(tensor.numel() for tensor in site.constants.values())
    moved = sum(prod(site.shapes[n]) for n in site.floating) + params + prod(output)
    return (
        op.layer,
        op.kind,
        op.role,
        op.fold,
        inputs,
        "×".join(map(str, output)),
        params,
        count_flops(step, output),
        moved * 4,
        recipe[op.id],
        recipe.reason(op.id),
        step.kernel.name if step.kernel else "",
        step.emulated,
        step.selection.reason if step.selection else "",
        note,
        op.source,
    )


def casts_table(plan: Plan, time_us: Callable[[str], float | None]) -> pd.DataFrame:
    """Return one row per cast; ``time_us(key)`` gives the time of casts that were measured (NaN for others).

    A cast that an op does besides its own has no time, and ``inside`` is that op's id.
    """
    inside = inside_of(plan)
    rows = [
        (
            cast.source,
            cast.consumers,
            cast.from_,
            cast.to,
            cast.direction,
            cast.elements,
            cast.bytes,
            math.nan if cast.id in inside or (time := time_us(cast.key)) is None else time,
            cast.emulated,
            inside.get(cast.id, ""),
        )
        for cast in plan.casts
    ]
    return pd.DataFrame(rows, columns=CAST_COLUMNS)


def row_links(graph: ModelGraph) -> list[tuple[str, str]]:
    """Return the edges ``(from op id, to op id)`` among rows, looking through views."""
    links: list[tuple[str, str]] = []
    for op in graph.rows:
        found = dict.fromkeys(source for name in op.refs for source in _sources(graph, name))
        links += [(source, op.id) for source in found]
    return links


def _sources(graph: ModelGraph, name: str) -> list[str]:
    """Return the ids of the rows that a value comes from."""
    op = graph.producer.get(name)
    if op is None or not graph.is_floating(name):
        return []
    return [op.id] if op.has_precision else [s for n in op.refs for s in _sources(graph, n)]


def memory_table(baseline: dict[str, int], found: dict[str, int], emulated: bool) -> pd.DataFrame:
    """Return bytes by tensor class beside FP32's.

    Weights and scales are counted on packed tensors (for emulated ops, in the format they stand for); activations
    are the peak that shapes and formats imply.
    """
    counted = "emulated" if emulated else "measured"
    kinds = {"weights": counted, "scales": counted, "activations": "predicted"}
    rows = [(baseline[name], found[name], kinds[name]) for name in kinds]
    return pd.DataFrame(rows, columns=["fp32_bytes", "bytes", "kind"], index=pd.Index(kinds, name="class"))
