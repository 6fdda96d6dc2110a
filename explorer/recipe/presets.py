"""Named recipes: rules that give every op of any model a precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol

from explorer.graph import ModelGraph, Op, Ref
from explorer.recipe.recipe import BASELINE, Recipe


class Option(Protocol):
    """What is asked of the answer to "can this op run so here": see :class:`explorer.kernels.Option`."""

    @property
    def possible(self) -> bool: ...

    @property
    def emulated(self) -> bool: ...


OptionOf = Callable[[str, str], Option]
Rule = Callable[[ModelGraph, Op], str]


def _all_in(precision: str) -> Rule:
    return lambda graph, op: precision


def _autocast(precision: str) -> Rule:
    """Matrix ops and what is between them in ``precision``, sensitive ops in FP32, as torch.autocast does."""
    return lambda graph, op: BASELINE if op.role == "sensitive" else precision


def _compute_in(precision: str) -> Rule:
    return lambda graph, op: precision if op.role == "compute" else BASELINE


def _first_last_high(precision: str) -> Rule:
    def rule(graph: ModelGraph, op: Op) -> str:
        compute = [row for row in graph.rows if row.role == "compute"]
        return BASELINE if op in (compute[0], compute[-1]) or op.role != "compute" else precision

    return rule


def _compute_else(precision: str, other: str) -> Rule:
    return lambda graph, op: precision if op.role == "compute" else other


def _static_chain(precision: str) -> Rule:
    """Products, and between convolutions what passes their codes on: pools, and sums of two branches.

    A sum in a transformer stays in FP32: its residual stream holds a few values far beyond the others.
    """

    def rule(graph: ModelGraph, op: Op) -> str:
        if op.role == "compute" or op.kind == "max_pool2d":
            return precision
        terms = [arg.name for arg in op.args if isinstance(arg, Ref)] if op.kind == "add" else []
        joins = len(terms) == 2 and all(_comes_from_convolution(graph, term) for term in terms)
        return precision if joins else BASELINE

    return rule


def _comes_from_convolution(graph: ModelGraph, value: str) -> bool:
    """Whether the last product before a value is a convolution, going back along first arguments."""
    while (op := graph.producer.get(value)) is not None:
        if op.role == "compute":
            return op.kind.startswith("conv")
        first = op.args[0] if op.args else None
        if not isinstance(first, Ref):
            return False
        value = first.name
    return False


RULES: Mapping[str, tuple[Rule, str]] = {
    "fp32": (_all_in(BASELINE), BASELINE),
    "bf16": (_all_in("bf16"), BASELINE),
    "fp16": (_all_in("fp16"), BASELINE),
    "autocast-bf16": (_autocast("bf16"), BASELINE),
    "autocast-fp16": (_autocast("fp16"), BASELINE),
    "int8-dynamic": (_compute_in("int8"), BASELINE),
    "int8-static": (_static_chain("int8_static"), BASELINE),
    "first-last-high": (_first_last_high("int8"), BASELINE),
    "int8-bf16": (_compute_else("int8", "bf16"), "bf16"),
    "fp8": (_compute_in("fp8"), BASELINE),
    "w8": (_compute_in("w8"), BASELINE),
    "w4": (_compute_in("w4"), BASELINE),
    "w4-g128": (_compute_in("w4_g128"), BASELINE),
    "w16": (_compute_in("w16"), BASELINE),
}


def build_presets(graph: ModelGraph, option: OptionOf) -> dict[str, Recipe]:
    """Return the named recipes of ``graph``; an op that cannot take a rule's precision keeps the rule's fallback.

    ``option(op_id, precision)`` says whether and on what the op can run so here. A preset does not mix real and
    emulated kernels: where any compute op has a real kernel for the precision, ops that would be emulated keep the
    fallback.
    """
    compute = [op.id for op in graph.rows if op.role == "compute"]

    @cache
    def has_real_kernel(precision: str) -> bool:
        return any(found.possible and not found.emulated for op in compute if (found := option(op, precision)))

    def allows(op: str, precision: str) -> bool:
        found = option(op, precision)
        return found.possible and not (found.emulated and has_real_kernel(precision))

    return {name: _build(graph, name, allows) for name in RULES}


def _build(graph: ModelGraph, name: str, allows: Callable[[str, str], bool]) -> Recipe:
    rule, fallback = RULES[name]
    recipe = Recipe.baseline(graph.name, graph.fingerprint, (op.id for op in graph.rows))
    by_precision: dict[str, list[str]] = {}
    for op in graph.rows:
        wanted = rule(graph, op)
        by_precision.setdefault(wanted if allows(op.id, wanted) else fallback, []).append(op.id)
    for precision, ops in by_precision.items():
        if precision != BASELINE:
            recipe = recipe.with_precision(ops, precision, f"preset: {name}")
    return recipe
