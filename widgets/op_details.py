"""An expanded row of the map: its op's three errors, what goes wrong there, its facts; found for that op alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from explorer.diagnosis import Finding
from explorer.errors import BundleError
from widgets.answers import Answer, Ask
from widgets.inspector_words import facts_of
from widgets.measuring import measure
from widgets.payloads import mark_of
from widgets.plain import number, text

if TYPE_CHECKING:
    from widgets.state import PageState

ERRORS = "op-errors"
CAUSES = "op-causes"
TOPICS = frozenset({ERRORS, CAUSES})
SAMPLES = 64
"""As many as the errors chart looks at, so that both show the same numbers."""
MOST = 12
"""Rows that may be open at a time: each is measured anew for every recipe."""
MOST_REMEDIES = 3
MOST_OPS = 200

Row = dict[str, Any]


@dataclass(frozen=True)
class OpErrors:
    """The three errors of an op as SQNR in decibels (infinite: exact, minus infinite: NaN or Inf), on ``samples``.

    isolated_kl: nats at the model's output, NaN where outputs are no logits. samples: 0 where nobody wrote them down.
    """

    local_db: float
    isolated_db: float
    cumulative_db: float
    isolated_kl: float
    samples: int


def questions(op: str, *, follows: bool = False) -> tuple[Ask, Ask]:
    """What an expanded row asks the engine: its op's errors, which take a moment, then their cause."""
    return (
        Ask(ERRORS, f"Measuring the errors of {op}", partial(find_errors, op=op), about=op, follows=follows),
        Ask(CAUSES, f"Looking for what goes wrong at {op}", partial(find_causes, op=op), about=op, follows=follows),
    )


def find_errors(session: Any, recipe: Any, op: str, **work: Any) -> OpErrors:
    """The three errors of one op; raises :class:`BundleError` where a recorded exploration lacks them."""
    table = session.errors(recipe, n=SAMPLES, ops=[op], **work)
    if op not in table.index:
        raise BundleError(f"errors of {op}", "not recorded for this op", "the model itself, opened anew")
    row = table.loc[op]
    samples = 0 if mark_of(session) else min(SAMPLES, int(session.samples))
    return OpErrors(row.local_sqnr_db, row.isolated_sqnr_db, row.cumulative_sqnr_db, row.isolated_kl, samples)


def find_causes(session: Any, recipe: Any, op: str, **work: Any) -> tuple[Finding, ...]:
    """What a diagnosis finds at one op, the worst first."""
    found: tuple[Finding, ...] = session.diagnose(recipe, ops=[op], **work)
    return found


def follow(state: PageState, ops: Collection[str]) -> None:
    """Makes these the ops whose rows are open: what is not known of them is asked now, and of every later recipe."""
    for topic, op in state.answers.followed(TOPICS):
        if op not in ops:
            state.answers.unfollow(topic, op)
    for op in ops:
        look(state, op, again=False)
    measure(state)


def look(state: PageState, op: str, *, again: bool = True) -> None:
    """Asks about one op, before everything else; ``again``: also where that failed or was cancelled."""
    for now, later in zip(questions(op), questions(op, follows=True), strict=True):
        known = state.answers.read(now.topic, op).state
        followed = (now.topic, op) in state.answers.followed(TOPICS)
        state.answers.add(later)
        if (again and known != "ready") or not (followed or known in ("ready", "waiting")):
            state.answers.add(now)


def details(state: PageState, ops: Iterable[str]) -> Row:
    """What each open row shows: {hash, ops: {op: {facts, errors, causes}}}."""
    if state.shown is None or state.session is None:
        return {}
    read = state.answers.read
    return {
        "hash": state.shown.recipe.hash,
        "ops": {op: detail(state, op, read(ERRORS, op), read(CAUSES, op)) for op in ops},
    }


def recorded(state: PageState, op: str) -> tuple[Row, Row]:
    """The errors and the causes of an op in a recorded exploration, found at once: there, nothing runs."""
    assert state.shown is not None
    answers = []
    for question in questions(op):
        try:
            answers.append(Answer("ready", question.run(state.session, state.shown.recipe)))
        except BundleError:
            answers.append(Answer("failed", error="not recorded for this recipe"))
    return _errors(state, op, answers[0]), _causes(answers[1])


def detail(state: PageState, op: str, errors: Answer, causes: Answer) -> Row:
    """One open row, from where its two questions stand."""
    assert state.shown is not None
    return {
        "facts": facts_of(state.session, state.shown, op),
        "errors": _errors(state, op, errors),
        "causes": _causes(causes),
    }


def _errors(state: PageState, op: str, answer: Answer) -> Row:
    about = {"state": answer.state, "error": text(answer.error)}
    if answer.state != "ready":
        return about
    assert state.shown is not None
    found, ops = answer.value, state.shown.ops
    own = "recorded" if mark_of(state.session) else "emulated" if bool(ops.loc[op, "emulated"]) else "measured"
    whole = "emulated" if own == "measured" and bool(ops["emulated"].any()) else own
    precision = state.shown.recipe[op]
    kl = "" if math.isnan(found.isolated_kl) else f": {_nats(found.isolated_kl)} of KL"
    return {
        **about,
        "samples": found.samples,
        "words": compared(found),
        "figures": [
            _figure("local", found.local_db, f"this op alone in {precision}, on clean inputs, at its own output", own),
            _figure("isolated", found.isolated_db, f"only this op in {precision}, at the model's output{kl}", own),
            _figure("cumulative", found.cumulative_db, "the whole recipe, seen at this op's output", whole),
        ],
    }


def _figure(term: str, sqnr_db: float, sub: str, kind: str) -> Row:
    broken = math.isinf(sqnr_db) and sqnr_db < 0
    big = "exact" if sqnr_db == math.inf else "NaN or Inf" if broken else f"{sqnr_db:.1f} dB"
    return {"term": term, "big": big, "sub": text(sub), "kind": kind, "tone": "bad" if broken or sqnr_db < 10 else ""}


def compared(found: OpErrors) -> str:
    """What becomes of the op's own error on its way to the output, in a sentence; empty where nobody can say."""
    local, isolated = found.local_db, found.isolated_db
    if local == math.inf:
        return "It makes no error of its own."
    if not math.isfinite(local) or not math.isfinite(isolated):
        return "Not a trace of its own error reaches the output." if isolated == math.inf else ""
    change = isolated - local
    if abs(change) < 3:
        return "Its own error reaches the output about as large as it was made."
    times = 10 ** (abs(change) / 20)
    how = "smaller" if change > 0 else "larger"
    return f"Its own error is {times:.2g} times {how} at the output than where it is made."


def _nats(kl: float) -> str:
    return "0 nats" if kl == 0 else f"{kl:.1e} nats".replace("e-0", "e-").replace("e+0", "e")


def _causes(answer: Answer) -> Row:
    about: Row = {"state": answer.state, "error": text(answer.error)}
    if answer.state == "ready":
        about["findings"] = [_finding(each) for each in answer.value[:MOST_REMEDIES]]
    return about


def _finding(finding: Any) -> Row:
    return {
        "rule": text(finding.rule, 60), "title": text(finding.title), "cause": text(finding.cause, 800),
        "breaks": math.isinf(finding.severity), "severity": number(finding.severity),
        "unit": text(finding.evidence.get("unit", "nats"), 40),
        "remedies": [_remedy(each) for each in finding.remedies[:MOST_REMEDIES]],
    }  # fmt: skip


def _remedy(remedy: Any) -> Row:
    """A remedy in words; one that only chooses a precision can be chosen in the row itself."""
    chosen = remedy.kind == "precision" and 0 < len(remedy.ops) <= MOST_OPS
    return {
        "words": text(remedy.words),
        "ops": list(remedy.ops) if chosen else [],
        "precision": text(remedy.precision, 40) if chosen else "",
    }
