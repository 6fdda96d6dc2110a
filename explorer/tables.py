"""Tables of a plan for people: ops, casts, links between rows, memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd

from explorer.graph import ModelGraph
from explorer.kernels import Site
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
CHANGING = ("precision", "reason", "kernel", "emulated", "refusal")
FACTS = [name for name in OP_COLUMNS if name not in CHANGING]
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


@dataclass(frozen=True, eq=False)
class OpStates:
    """What changes of the ops with the recipe: of each fact a list with an entry per op that has a precision, in
    execution order. ``gives``: the carrier that flows out of it; the others are columns of :func:`ops_table`."""

    precision: list[str]
    reason: list[str]
    kernel: list[str]
    emulated: list[bool]
    refusal: list[str]
    gives: list[str]

    @staticmethod
    def of_table(table: pd.DataFrame, gives: list[str]) -> OpStates:
        """Return those of a table of ops, as :func:`ops_table` makes it."""
        precision, reason, kernel, emulated, refusal = (table[name].tolist() for name in CHANGING)
        return OpStates(precision, reason, kernel, emulated, refusal, gives)

    def write_into(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table of these ops with the columns that change with the recipe."""
        return table.assign(**{name: getattr(self, name) for name in CHANGING})


def op_states(plan: Plan) -> OpStates:
    """Return what a plan makes of each op that has a precision: in a fraction of the time that a table takes."""
    steps, by_op = _rows(plan), plan.recipe.by_op
    choices, selections = [by_op[step.op.id] for step in steps], [step.selection for step in steps]
    return OpStates(
        [choice.precision for choice in choices],
        [choice.reason for choice in choices],
        [step.kernel.name if step.kernel else "" for step in steps],
        [step.emulated for step in steps],
        [selection.reason if selection else "" for selection in selections],
        [step.gives for step in steps],
    )


def ops_table(plan: Plan) -> pd.DataFrame:
    """Return one row per op that has a precision, in execution order, indexed by op id."""
    return op_states(plan).write_into(_facts(plan, _rows(plan)))[OP_COLUMNS]


def _rows(plan: Plan) -> list[Step]:
    return [plan.steps[place] for place in plan.graph.row_places]


_FACTS: WeakKeyDictionary[Site, pd.DataFrame] = WeakKeyDictionary()
"""What of a graph's table is the same under every recipe, by its first op at its shapes: thousands of rows otherwise
are the most of what a click costs."""


def _facts(plan: Plan, steps: list[Step]) -> pd.DataFrame:
    if steps and steps[0].site in _FACTS:
        return _FACTS[steps[0].site]
    notes = {op.folded_into: f"{op.kind} folded in" for op in plan.graph.ops if op.folded_into}
    rows = [_op_row(plan, step, notes.get(step.op.id, "")) for step in steps]
    index = pd.Index([step.op.id for step in steps], name="op")
    found = pd.DataFrame(rows, columns=FACTS, index=index)
    if steps:
        _FACTS[steps[0].site] = found
    return found


def _op_row(plan: Plan, step: Step, note: str) -> tuple[object, ...]:
    op, site = step.op, step.site
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
        note,
        op.source,
    )


def casts_table(plan: Plan, time_us: Callable[[str], float | None]) -> pd.DataFrame:
    """Return :func:`cast_rows` as a table."""
    return pd.DataFrame(cast_rows(plan, time_us), columns=CAST_COLUMNS)


def cast_rows(plan: Plan, time_us: Callable[[str], float | None]) -> list[tuple[Any, ...]]:
    """Return :data:`CAST_COLUMNS` of each cast; ``time_us(key)`` gives the time of those that were measured (NaN for
    others).

    A cast that an op does besides its own has no time, and ``inside`` is that op's id.
    """
    inside = inside_of(plan)
    return [
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
