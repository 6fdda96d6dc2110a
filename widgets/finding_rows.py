"""The findings panel's rows: each finding with its evidence, and each remedy with what trying it showed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from widgets.answers import Ask
from widgets.plain import number, text

if TYPE_CHECKING:
    from widgets.state import PageState

MOST = 20
MOST_EVIDENCE = 24
QUESTION = Ask(
    "findings",
    "Looking for causes",
    lambda session, recipe, **work: session.diagnose(recipe, **work),
    follows=True,
)
PREVIEW = "preview"
"""The topic of what a remedy brings; it is about one remedy of one finding."""

Row = dict[str, Any]


def findings(state: PageState) -> Row:
    """What is wrong with the recipe, worst first, or what the panel waits for."""
    if state.shown is None:
        return {"state": "opening"}
    answer = state.answers.read(QUESTION.topic)
    about = {
        "state": answer.state, "error": text(answer.error), "hash": state.shown.recipe.hash,
        "changed": sum(name != "fp32" for name in state.shown.states.precision), "ops": len(state.shown.place),
        "fail": "emulated" if state.shown.emulated else "measured",
    }  # fmt: skip
    if answer.state != "ready":
        return about
    rows = [_finding(state, at, finding) for at, finding in enumerate(answer.value[:MOST])]
    return {**about, "rows": rows, "more": max(0, len(answer.value) - MOST)}


def found(state: PageState, finding: int, remedy: int) -> Any:
    """One remedy of the findings on show, or None."""
    answer = state.answers.read(QUESTION.topic)
    every = answer.value if answer.state == "ready" else ()
    remedies = every[finding].remedies if 0 <= finding < len(every) else ()
    return remedies[remedy] if 0 <= remedy < len(remedies) else None


def preview_of(finding: int, remedy: int, what: Any) -> Ask:
    """The question what a remedy brings."""
    return Ask(
        PREVIEW,
        "Trying a remedy",
        lambda session, recipe, **work: session.preview(what, recipe, **work),
        about=f"{finding}.{remedy}",
    )


def _finding(state: PageState, at: int, finding: Any) -> Row:
    return {
        "at": at, "rule": text(finding.rule, 60), "op": text(finding.op, 200), "precision": text(finding.precision, 40),
        "title": text(finding.title), "cause": text(finding.cause, 800),
        "breaks": math.isinf(finding.severity), "severity": number(finding.severity),
        "evidence": [[text(k, 60), _evidence(v)] for k, v in list(finding.evidence.items())[:MOST_EVIDENCE]],
        "remedies": [_remedy(state, at, place, remedy) for place, remedy in enumerate(finding.remedies)],
    }  # fmt: skip


def _evidence(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else text(value, 120)


def _remedy(state: PageState, finding: int, at: int, remedy: Any) -> Row:
    answer = state.answers.read(PREVIEW, f"{finding}.{at}")
    row = {"at": at, "words": text(remedy.words), "can": bool(remedy.can_be_tried), "state": answer.state,
           "error": text(answer.error)}  # fmt: skip
    if answer.state == "ready":
        before, after = answer.value.before, answer.value.after
        row |= {
            "before": number(before.kl), "after": number(after.kl), "n": int(after.n),
            "helps": bool(answer.value.helps), "kind": "emulated" if after.emulated else "measured",
            "sqnr_before": number(before.sqnr_db), "sqnr_after": number(after.sqnr_db),
        }  # fmt: skip
    return row
