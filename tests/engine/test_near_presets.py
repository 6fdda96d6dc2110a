"""Plans next to the last one, along what a session does: presets one after another, undo, redo, a reset."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import explorer as px
from explorer.recipe import Recipe
from explorer.run import Plan
from tests.engine.conftest import build_vit, vit_data


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> px.Session:
    x, y = vit_data(21)
    store: Path = tmp_path_factory.mktemp("near") / "trials.sqlite"
    return px.open(build_vit(), inputs=x[:2], data=(x, y), name="vit", batch_size=8, device="cpu", store=store)


def check(session: px.Session, recipes: list[Recipe]) -> None:
    """Each recipe is planned next to the plan before, as that was made, and from nothing."""
    planner, last = session.subject.planner, session.subject.planner.plan(recipes[0])
    for before, recipe in pairwise(recipes):
        near, anew = planner.plan(recipe, near=last), planner.plan(recipe)
        words = f"{before.counts} to {recipe.counts}"
        assert same(near, anew), words
        last = near


def same(one: Plan, other: Plan) -> bool:
    return (one.recipe, one.steps, one.casts, one.format_of, dict(one.scales)) == (
        other.recipe, other.steps, other.casts, other.format_of, dict(other.scales)
    )  # fmt: skip


def test_presets_follow_each_other(session: px.Session) -> None:
    presets = list(session.presets().values())
    assert len({each.hash for each in presets}) > 5
    check(session, [*presets, *reversed(presets), presets[0]])


def test_undo_and_redo_lead_to_the_plans_that_were(session: px.Session) -> None:
    session.reset()
    seen = [session.recipe]
    for where, name in (("kind:linear", "int8_static"), ("blocks.0.*", "bf16"), ("kind:layer_norm", "bf16")):
        session.set(where, name)
        seen.append(session.recipe)
        assert same(session.plan, session.subject.planner.plan(session.recipe)), "as the session made it"
    assert len({each.hash for each in seen}) == len(seen)
    for step, back in ((session.undo, seen[-2::-1]), (session.redo, seen[1:])):
        for wanted in back:
            step()
            assert session.recipe.hash == wanted.hash
            assert same(session.plan, session.subject.planner.plan(session.recipe)), step.__name__
    session.reset()
    assert same(session.plan, session.subject.planner.plan(session.recipe)), "reset"
    check(session, [*seen, *reversed(seen)])
