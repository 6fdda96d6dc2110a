"""Writes the tables of docs/diagnosis.md from what is measured on planted models: python -m tests.diagnosis.report"""

from __future__ import annotations

from pathlib import Path

from explorer.diagnosis import LIMITS, RULES, Rule, judge, preview
from explorer.diagnosis.findings import tell_number
from tests.diagnosis.conftest import gather_case, with_narrow_precision
from tests.diagnosis.planted import FAULTS, open_model

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md"
START, LIMITS_START, END = "<!-- measured: findings -->", "<!-- measured: limits -->", "<!-- end -->"
HEAD = "| rule | symptom | what the tool says, and why | remedy | before → after |\n|---|---|---|---|---|"


def write() -> None:
    """Replace both tables in the document."""
    with with_narrow_precision():
        text = _between(DOCUMENT.read_text(), START, "\n".join((HEAD, *map(_row, RULES))))
    rows = (f"| `{name}` | {limit.value:g} | {limit.why} |" for name, limit in LIMITS.items())
    limits = "\n".join(("| limit | value | why |", "|---|---|---|", *rows))
    DOCUMENT.write_text(_between(text, LIMITS_START, limits))


def _row(rule: Rule) -> str:
    """What the rule says of its planted fault, and what its first remedy brings, in nats of KL."""
    case = FAULTS[rule.name].case
    session = open_model(case.model)
    recipe = case.recipe(session)
    top = judge(gather_case(case))[0]
    assert top.rule == rule.name, f"{rule.name} is not the top finding of its planted fault"
    tried = preview(session.subject, recipe, top) if top.remedies[0].can_be_tried else None
    brings = "" if tried is None else f"{_nats(tried.before.kl)} → {_nats(tried.after.kl)}"
    return f"| `{rule.name}` | {rule.symptom} | **{top.title}.** {top.cause} | {top.remedy} | {brings} |"


def _nats(kl: float) -> str:
    return "output NaN" if kl != kl else f"{tell_number(kl)} nats"


def _between(text: str, start: str, body: str) -> str:
    """The text with what stands between ``start`` and the next end mark replaced."""
    before, rest = text.split(start, 1)
    return f"{before}{start}\n{body}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    write()
