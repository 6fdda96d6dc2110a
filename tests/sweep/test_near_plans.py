"""A sweep plans each change next to FP32's plan: the same plans as from nothing, and no other op is looked at."""

from __future__ import annotations

import pytest

from explorer.subject import Subject
from explorer.sweep import choose_cells
from explorer.sweep.bench import Bench


@pytest.mark.parametrize("name", ["vit", "cnn"])
def test_plans_near_fp32_are_those_from_nothing(name: str, request: pytest.FixtureRequest) -> None:
    subject: Subject = request.getfixturevalue(name)
    bench = Bench.of(subject)
    cells = choose_cells(subject, ("bf16", "int8", "int8_static", "w4"))
    pairs = list(zip(cells, cells[len(cells) // 2 :], strict=False))
    for change in [*((cell,) for cell in cells), *(pair for pair in pairs if pair[0][0] != pair[1][0])]:
        recipe = subject.baseline.recipe
        for op, precision in change:
            recipe = recipe.with_precision([op], precision, "swept")
        near, anew = bench.plan(change), subject.planner.plan(recipe)
        assert near.since is not None, "it was planned next to FP32's"
        assert (near.steps, near.casts, near.format_of) == (anew.steps, anew.casts, anew.format_of), change
        assert dict(near.scales) == dict(anew.scales), change
