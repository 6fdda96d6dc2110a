"""Every rule speaks of its planted fault, names op and numbers, and is silent about the healthy twin."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.diagnosis import LIMITS, RULES, Finding, judge
from explorer.zoo.planted import PLANTED
from tests.diagnosis.conftest import gather_case
from tests.diagnosis.planted import FAULTS, Case, Fault, only, open_model, preset

Diagnose = Callable[[Case], tuple[Finding, ...]]
NAMES = [rule.name for rule in RULES]


def fault_of(rule: str) -> Fault:
    assert rule in FAULTS, f"rule {rule!r} has no planted fault and healthy twin in tests/diagnosis/planted.py"
    return FAULTS[rule]


@pytest.mark.parametrize("rule", NAMES)
def test_a_planted_fault_is_the_top_finding(rule: str, diagnose: Diagnose) -> None:
    fault = fault_of(rule)
    top = diagnose(fault.case)[0]
    assert (top.rule, top.op) == (rule, fault.op)
    said = " ".join((top.title, top.cause, *(remedy.words for remedy in top.remedies)))
    assert [words for words in fault.says if words not in said] == [], said
    assert fault.op in top.title
    assert "{" not in said


@pytest.mark.parametrize("rule", NAMES)
def test_a_healthy_twin_does_not_trigger_the_rule(rule: str, diagnose: Diagnose) -> None:
    assert rule not in {finding.rule for finding in diagnose(fault_of(rule).twin)}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_healthy_planted_model_has_no_finding(name: str, diagnose: Diagnose) -> None:
    assert diagnose(Case(f"{name}-healthy", preset(PLANTED[name].preset))) == ()


@pytest.mark.parametrize("recipe", ["fp32", "bf16", "fp16", "int8-dynamic", "int8-static", "w8"])
def test_a_healthy_model_has_no_finding_in_any_wide_enough_recipe(recipe: str, diagnose: Diagnose) -> None:
    assert diagnose(Case("reader", preset(recipe))) == ()


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_model_is_healthy_in_fp32_unless_its_fault_is_there(name: str, diagnose: Diagnose) -> None:
    found = diagnose(Case(name, preset("fp32")))
    assert [finding.rule for finding in found] == (["born-in-model"] if PLANTED[name].preset == "fp32" else [])


@pytest.mark.parametrize("rule", NAMES)
def test_a_finding_is_worth_its_limit_and_measured(rule: str, diagnose: Diagnose) -> None:
    for finding in diagnose(fault_of(rule).case):
        assert finding.severity >= LIMITS["cost"].value
        assert finding.evidence["cost"] == finding.severity
        assert finding.breaks == math.isinf(finding.severity)
        assert finding.remedies and finding.remedy == finding.remedies[0].words
        numbers = [value for value in finding.evidence.values() if isinstance(value, float)]
        assert not any(math.isnan(number) for number in numbers)


def test_findings_are_sorted_by_severity_and_ops_that_break_the_output_come_first(diagnose: Diagnose) -> None:
    found = diagnose(FAULTS["born-in-recipe"].case)
    severities = [finding.severity for finding in found]
    assert len(found) > 1 and severities == sorted(severities, reverse=True) and found[0].breaks


def test_an_op_that_costs_nothing_raises_nothing_however_wide_its_channels() -> None:
    """With 512 times larger a channel, an FP32 recipe and one that leaves that op alone stay without a word."""
    session = open_model("planted/outlier-channel")
    recipe = session.presets()["int8-dynamic"].with_precision(["blocks.1.fc1/linear"], "fp32", "test")
    assert judge(gather_case(Case("planted/outlier-channel", lambda s: recipe))) == ()


def test_ops_of_one_general_cause_are_one_finding(diagnose: Diagnose) -> None:
    """INT4 costs a small transformer something in nearly every product: that is one thing to say, not a dozen."""
    found = diagnose(FAULTS["weight-outliers"].twin)
    coarse = [finding for finding in found if finding.rule == "too-coarse"]
    assert len(coarse) == 1 and len(coarse[0].remedies[0].ops) > 5
    assert set(coarse[0].remedies[0].ops) == {coarse[0].op, *str(coarse[0].evidence["also"]).split(", ")}
    assert f"these {len(coarse[0].remedies[0].ops)} ops" in coarse[0].remedy


def test_outlier_channels_of_several_ops_are_one_finding_that_names_them(diagnose: Diagnose) -> None:
    outliers = [
        each for each in diagnose(Case("wide-channels", preset("int8-dynamic"))) if each.rule == "outlier-channel"
    ]
    assert len(outliers) == 1
    also = str(outliers[0].evidence["also"]).split(", ")
    assert {outliers[0].op, *also} == {f"blocks.{at}.fc1/linear" for at in range(3)}
    assert all(op in outliers[0].cause or op == outliers[0].op for op in also)
    assert outliers[0].remedies[0].kind == "balance"


def test_a_mask_beyond_the_format_is_no_overflow(diagnose: Diagnose) -> None:
    """-1e9 becomes minus infinity in FP16, and a softmax leaves it out as before: what costs is something else."""
    found = {finding.op: finding for finding in diagnose(Case("masked", only("add_1", "fp16")))}
    assert found["add_1"].rule != "overflow" and not found["add_1"].breaks


def test_every_limit_has_a_reason_and_is_used(root: Path) -> None:
    sources = "".join(path.read_text() for path in (root / "explorer" / "diagnosis").glob("*.py"))
    for name, limit in LIMITS.items():
        assert len(limit.why) > 20
        assert f'limit("{name}")' in sources


def test_the_document_has_every_rule_and_every_limit(root: Path) -> None:
    text = (root / "docs" / "diagnosis.md").read_text()
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"`{rule.name}`" for rule in RULES] + [f"`{name}`" for name in LIMITS]
    for name, limit in LIMITS.items():
        assert f"| `{name}` | {limit.value:g} | {limit.why} |" in text
