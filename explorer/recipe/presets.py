"""Named recipes: rules that give every op of any model a precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from explorer.graph import ModelGraph, Op
from explorer.recipe.recipe import BASELINE, Recipe

Allows = Callable[[str, str], bool]
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


RULES: Mapping[str, tuple[Rule, str]] = {
    "fp32": (_all_in(BASELINE), BASELINE),
    "bf16": (_all_in("bf16"), BASELINE),
    "autocast-bf16": (_autocast("bf16"), BASELINE),
    "autocast-fp16": (_autocast("fp16"), BASELINE),
    "int8-dynamic": (_compute_in("int8"), BASELINE),
    "first-last-high": (_first_last_high("int8"), BASELINE),
    "int8-bf16": (_compute_else("int8", "bf16"), "bf16"),
    "fp8": (_compute_in("fp8"), BASELINE),
    "w8": (_compute_in("w8"), BASELINE),
    "w4": (_compute_in("w4"), BASELINE),
}


def build_presets(graph: ModelGraph, allows: Allows) -> dict[str, Recipe]:
    """Return the named recipes of ``graph``; an op that cannot take a rule's precision keeps the rule's fallback.

    ``allows(op_id, precision)`` says whether the op can run so on this device, really or emulated.
    """
    return {name: _build(graph, name, allows) for name in RULES}


def _build(graph: ModelGraph, name: str, allows: Allows) -> Recipe:
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
