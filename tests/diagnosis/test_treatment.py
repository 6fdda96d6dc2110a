"""A previewed remedy is measured, helps, and changes nothing that was given; applying it does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from explorer.diagnosis import LIMITS, RULES, Finding, Remedy, apply, preview
from explorer.errors import Cancelled, RecipeError
from tests.diagnosis.planted import FAULTS, Case, open_model

Diagnose = Callable[[Case], tuple[Finding, ...]]
TRIED = [rule.name for rule in RULES if rule.name != "born-in-model"]


class Flag:
    """A cancel flag that is up."""

    def is_set(self) -> bool:
        return True


@pytest.mark.parametrize("rule", TRIED)
def test_the_first_remedy_takes_most_of_the_cost_away(rule: str, diagnose: Diagnose) -> None:
    case = FAULTS[rule].case
    session, finding = open_model(case.model), diagnose(case)[0]
    recipe = case.recipe(session)
    before = session.recipe, session.calibration if recipe.is_static else None
    found = preview(session.subject, recipe, finding)
    assert found.helps
    # Half of what the op alone costs is gone at least; an op that broke the output breaks it no more.
    assert found.after.kl < (0.1 if finding.breaks else found.before.kl - finding.severity / 2)
    assert (session.recipe, session.calibration if recipe.is_static else None) == before


@pytest.mark.parametrize("rule", TRIED)
def test_every_remedy_that_is_offered_can_be_tried_and_helps(rule: str, diagnose: Diagnose) -> None:
    case = FAULTS[rule].case
    session, finding = open_model(case.model), diagnose(case)[0]
    for remedy in finding.remedies[1:]:
        assert preview(session.subject, case.recipe(session), remedy, n=32).helps, remedy.words


def test_a_preview_is_what_the_session_measures_after_applying_it(diagnose: Diagnose) -> None:
    case = FAULTS["overflow"].case
    session, finding = open_model(case.model), diagnose(case)[0]
    recipe = session.apply(case.recipe(session))
    found = preview(session.subject, recipe, finding, n=session.samples)
    try:
        assert apply(finding.remedies[0], session) is session
        assert session.recipe.precisions == found.recipe.precisions
        assert session.evaluate().kl == found.after.kl
        assert session.recipe.reason(finding.op) == "diagnosis"
    finally:
        session.reset()


def test_balancing_gives_another_session_and_leaves_the_first(diagnose: Diagnose) -> None:
    case = FAULTS["outlier-channel"].case
    session, finding = open_model(case.model), diagnose(case)[0]
    assert finding.remedies[0].kind == "balance"
    session.apply(case.recipe(session))
    other = apply(finding.remedies[0], session)
    assert other is not session and other.graph.fingerprint != session.graph.fingerprint
    assert other.evaluate().kl < LIMITS["cost"].value < session.evaluate().kl
    session.reset()


def test_calibrating_anew_changes_the_scales_of_the_session(diagnose: Diagnose) -> None:
    case = FAULTS["calibration-misses"].case
    session, finding = open_model(case.model), diagnose(case)[0]
    recipe, scales = case.recipe(session), session.calibration.fingerprint
    before = session.evaluate(recipe).kl
    apply(finding.remedies[0], session)
    assert session.calibration.fingerprint != scales and session.calibration.n == session.samples
    assert session.evaluate(recipe).kl < before / 100
    session.calibrate()
    assert session.calibration.fingerprint == scales


def test_a_change_of_the_source_cannot_be_tried(diagnose: Diagnose) -> None:
    case = FAULTS["born-in-model"].case
    session, finding = open_model(case.model), diagnose(case)[0]
    assert not finding.remedies[0].can_be_tried
    with pytest.raises(RecipeError, match="change of the model's source"):
        preview(session.subject, session.recipe, finding)
    with pytest.raises(RecipeError, match="change of the model's source"):
        apply(finding.remedies[0], session)


def test_a_preview_reports_progress_and_can_be_cancelled() -> None:
    session, told = open_model("reader"), []
    remedy = Remedy("precision", "Run it in BF16.", ("head/linear",), "bf16")
    preview(session.subject, session.recipe, remedy, 32, lambda done, total, text: told.append((done, total, text)))
    assert told == [(32, 64, "trying a remedy"), (64, 64, "trying a remedy")]
    with pytest.raises(Cancelled):
        preview(session.subject, session.recipe, remedy, cancel=Flag())
