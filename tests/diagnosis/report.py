"""Writes tables and pictures of docs/diagnosis.md, as measured on planted models: python -m tests.diagnosis.report"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from explorer.diagnosis import LIMITS, RULES, Rule, judge, preview
from explorer.diagnosis.findings import tell_number
from explorer.zoo.planted import PLANTED
from tests.diagnosis.conftest import gather_case, with_narrow_precision
from tests.diagnosis.planted import FAULTS, open_model

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md"
START, LIMITS_START, END = "<!-- measured: findings -->", "<!-- measured: limits -->", "<!-- end -->"
PICTURES_START = "<!-- pictures -->"
SHOWN: Mapping[str, tuple[str, str]] = {
    "planted/fp16-overflow": (
        "In block 1, queries and keys are 256 times as large as they should be, and their product is divided again "
        "after it.",
        "In FP16 the output is NaN; the findings name the product at the top, and its range strip is red at the end.",
    ),
    "planted/outlier-channel": (
        "In block 1, one channel before the MLP is 512 times as large, and the weights that read it as much smaller.",
        "In dynamic INT8 the finding names the layer and the channel; the inspector marks it in the chart of channels.",
    ),
    "planted/flushed-layer": (
        "In block 2, the MLP's output is 2⁻³⁰ times as large, and the norm after it brings it back.",
        "In FP16 the answers are finite and wrong; the finding names the layer, and its strip lies below the band.",
    ),
    "planted/softmax-inf": (
        "In block 1, a softmax written by hand does not subtract the largest score before the exponential.",
        "In FP32 already, the finding names the exponential, the samples, and the line of source that makes Inf.",
    ),
    "planted/short-calibration": (
        "The static scales are found from the first texts, which are short; all others are long.",
        "In static INT8 the finding names the layer whose scale does not fit, and the lengths on either side.",
    ),
}
"""Of each planted model: what was planted, and where a user sees it."""
HEAD = "| rule | symptom | what the tool says, and why | remedy | before → after |\n|---|---|---|---|---|"


def write() -> None:
    """Replace both tables in the document."""
    with with_narrow_precision():
        text = _between(DOCUMENT.read_text(), START, "\n".join((HEAD, *map(_row, RULES))))
    rows = (f"| `{name}` | {limit.value:g} | {limit.why} |" for name, limit in LIMITS.items())
    limits = "\n".join(("| limit | value | why |", "|---|---|---|", *rows))
    DOCUMENT.write_text(_between(_between(text, LIMITS_START, limits), PICTURES_START, picture_words()))


def picture_words() -> str:
    """Each planted model with its picture, which `python -m docs.screenshot` takes, and its words."""
    parts = (
        f"**{name}**, preset `{model.preset}`. {' '.join(SHOWN[name])}\n\n"
        f"![The page with the finding of {name}](images/{name.replace('/', '-')}.png)"
        for name, model in PLANTED.items()
    )
    return "\n\n".join(parts)


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
