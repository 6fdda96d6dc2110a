"""A planner that has planned much plans as a new one does: what it keeps of former recipes never shows."""

from __future__ import annotations

import random

import pandas as pd

from explorer.recipe import Recipe
from explorer.run import Plan, Planner, inside_of, keys_of
from explorer.run.fuse import find_fusions
from explorer.tables import ops_table
from tests.engine.conftest import Bench


def facts(plan: Plan) -> list[object]:
    steps = [(s.op.id, s.kernel, s.selection and s.selection.refusals, dict(s.takes), s.gives) for s in plan.steps]
    calls = [find_fusions(plan), inside_of(plan), keys_of(plan)]
    return [steps, plan.casts, plan.format_of, plan.scales, *map(dict, calls)]


def test_former_recipes_do_not_show(bench: Bench) -> None:
    """Changes at random, of a few ops at a time in every precision, against a new planner for each recipe."""
    draw, used = random.Random(3), bench.planner
    recipe: Recipe = bench.recipe()
    plan = used.plan(recipe)
    for _ in range(16):
        names = ("fp32", "bf16", "int8", "int8_static", "w8", "fp8")
        ops, name = draw.sample(list(recipe.precisions), 4), draw.choice(names)
        able = [op for op in ops if used.option(op, name).possible]
        recipe = recipe.with_precision(able, name, f"drawn {name}")
        fresh = Planner(bench.graph, bench.planner.device, bench.planner.shapes, bench.scales)
        keys_of(plan)  # so that the next one goes on from these
        plan, wanted = used.plan(recipe, near=plan), fresh.plan(recipe)
        assert facts(plan) == facts(wanted) == facts(used.plan(recipe))
        pd.testing.assert_frame_equal(ops_table(plan), ops_table(wanted))
        assert (ops_table(plan)["precision"] == pd.Series(recipe.precisions)).all()
        assert (ops_table(plan)["reason"] == [recipe.reason(op) for op in ops_table(plan).index]).all()
