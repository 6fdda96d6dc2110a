"""The rules of a diagnosis, as data: when each applies, what it says, and what it proposes.

The order matters: an op gets the first rule that applies, so the special causes stand before the general ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from explorer.diagnosis import conditions
from explorer.diagnosis.evidence import Evidence, OpEvidence
from explorer.diagnosis.findings import Finding, Measured, Remedy, fill
from explorer.diagnosis.limits import limit
from explorer.formats import find_format
from explorer.precision import PRECISIONS

NAMED = 3
"""How many ops are named of those that a finding holds for as well."""

Remedies = Callable[[OpEvidence, Evidence, Measured], tuple[Remedy, ...]]


@dataclass(frozen=True)
class Rule:
    """One cause that a diagnosis knows.

    symptom: what a user notices. find: what was measured where the rule applies to an op, else None. title and cause:
    templates that take those numbers, ``{op}`` and ``{precision}``. remedies: the best first; their words are templates
    too. together: ops that it gives one key are one finding, named after the worst of them.
    """

    name: str
    symptom: str
    find: Callable[[OpEvidence, Evidence], Measured | None]
    title: str
    cause: str
    remedies: Remedies
    together: Callable[[OpEvidence], str] | None = None


def change_model(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    return (Remedy("model", "{what_to_do} The line is: {line}"),)


def widen_format(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    """A format with more exponent bits for everything that touches the tensor: its maker, and what reads it."""
    ops = (op.op.id, *op.readers) if measured["tensor"] == "its output" else (op.op.id,)
    those = "{it} and what reads it" if len(ops) > 1 else "{it}"
    bf16 = Remedy("precision", f"Run {those} in BF16, which reaches 3.4e38.", ops, op.first_able("bf16"))
    return (*((bf16,) if bf16.precision == "bf16" else ()), _keep(op, ops, f"Keep {those} in FP32."))


def calibrate_on_all(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    calibrated = evidence.calibrated
    assert calibrated is not None
    words = f"Find the static scales anew from all {calibrated.total} samples."
    again = Remedy("calibrate", words, method=calibrated.method, samples=calibrated.total)
    return again, _lift(op, "int8", "Run {it} in {to}, which finds its scales anew for every input.")


def calibrate_otherwise(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    calibrated = evidence.calibrated
    assert calibrated is not None
    words = "Find the static scales with the calibrator {best!r}: {best_db:n} dB here instead of {sqnr_db:n}."
    other = Remedy("calibrate", words, method=str(measured["best"]), samples=calibrated.n)
    return other, _lift(op, "int8", "Run {it} in {to}, which finds its scales anew for every input.")


def even_out(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    balance = Remedy("balance", "Balance its channels against the weight's columns (SmoothQuant); FP32 stays the same.")
    plain = _lift(op, "w8", "bf16", "Run {it} in {to}, which leaves activations without a scale.")
    return (balance, plain) if op.balanced else (plain,)


def finer_scale(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    """A format that reaches lower: BF16 for a plain cast, else scales that fewer elements share, or more bits."""
    if op.precision.weight is None and op.precision.activation is None:
        return _lift(op, "bf16", "Run {it} in {to}, which reaches down to 1.2e-38."), _keep(op)
    blocks = ("mxfp8",) if op.precision.activation is not None else ()
    return _lift(op, *blocks, *_finer(op), "bf16", "Run {it} in {to}, whose steps are finer."), _keep(op)


def store_otherwise(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    best = str(measured["best"])
    words = "Store its weight as {best}: {best_db:n} dB instead of {sqnr_db:n}."
    return Remedy("precision", words, (op.op.id,), best), _keep(op)


def widen_sum(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    """The same operands added up in FP32 where a precision does that, else FP32."""
    mine = op.precision
    alike = (
        other.name
        for other in PRECISIONS.values()
        if other.name in op.able
        and other.accumulate == "fp32"
        and (other.compute, other.weight, other.activation) == (mine.compute, mine.weight, mine.activation)
    )
    wider = Remedy(
        "precision", "Run {it} in {to}, which adds up in FP32.", (op.op.id,), next(alike, op.first_able("bf16"))
    )
    return _named(wider), _keep(op)


def keep_higher(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    finer = _lift(op, *_finer(op), "Run {it} in {to}.")
    keep = _keep(op)
    return (keep,) if finer.precision == "fp32" else (keep, finer)


def keep_with_readers(op: OpEvidence, evidence: Evidence, measured: Measured) -> tuple[Remedy, ...]:
    """What reads the op must take its output unrounded, or the error is made again there."""
    ops = (op.op.id, *op.readers)
    return (_keep(op, ops, "Keep {it} and what reads it in FP32." if op.readers else "Keep {it} in FP32."),)


RULES: tuple[Rule, ...] = (
    Rule(
        "born-in-model",
        "NaN or Inf in FP32 too",
        conditions.born_in_model,
        "{kind} is born in {op}, in FP32 already",
        "{elements:i} elements of its output, in {samples:i} of {all:i} samples, are {kind}: {why}.",
        change_model,
    ),
    Rule(
        "overflow",
        "NaN or Inf, or answers that collapse, in a format with few exponent bits",
        conditions.overflows,
        "{format} overflows in {op}",
        "{tensor} reaches {absmax:n}, and {format} ends at {end}: {share:%} of the elements become Inf.",
        widen_format,
    ),
    Rule(
        "calibration-misses",
        "right on the first inputs, wrong on others, under static scales",
        conditions.calibration_misses,
        "The static scale of {op} does not fit the data",
        "{outside:%} of {tensor} lie beyond its ends on the {others:i} samples that the scales were not found from, "
        "{outside_calibrated:%} on the {samples:i} that they were.{which}",
        calibrate_on_all,
    ),
    Rule(
        "tail-clipped",
        "a few large values that decide, under a static scale that leaves them out",
        conditions.tail_clipped,
        "The static scale of {op} clips what matters",
        "{share:%} of {tensor} lie beyond the ends that {method!r} chose; they reach {absmax:n}. Its output is then "
        "right to {sqnr_db:n} dB, and to {best_db:n} dB with {best!r}.",
        calibrate_otherwise,
    ),
    Rule(
        "outlier-channel",
        "INT8 loses far more than in models of the same size",
        conditions.outlier_channel,
        "An outlier channel takes the codes of {op}",
        "In {tensor}, channel {channel:i} is {ratio:n} times as large as the median channel and shares one {format} "
        "scale per {per} with it: a typical channel is left with {codes:n} of {all_codes:i} codes.",
        even_out,
        together=lambda op: op.precision.name,
    ),
    Rule(
        "weight-outliers",
        "weight-only formats lose more than the number of bits explains",
        conditions.weight_outliers,
        "Outlier weights take the codes of {op}",
        "In groups of {group:i} weights that share a scale the largest is {spread:n} times the typical one ({normal:n} "
        "where weights are normally distributed), so the weight is held to {sqnr_db:n} dB.",
        store_otherwise,
    ),
    Rule(
        "flushed",
        "answers that are finite and wrong, with nothing large in the model",
        conditions.small_values_lost,
        "{format} flushes the small values of {op}",
        "Of {tensor}, {flushed:%} become zero and {subnormal:%} a subnormal with few bits: they are around "
        "{typical:n}, and {end}.",
        finer_scale,
    ),
    Rule(
        "narrow-sum",
        "errors that grow with the width of the layer",
        conditions.narrow_sum,
        "{format} is too narrow to add up {op}",
        "{terms:i} products are added up in {format}, which keeps {digits:i} bits: its relative error is {error:n}, "
        "and rounding the operands explains {operands:n}.",
        widen_sum,
    ),
    Rule(
        "born-in-recipe",
        "NaN or Inf in low precision, although nothing overflows",
        conditions.born_in_recipe,
        "{op} in {precision} makes {where} give {kind}",
        "With only this op lowered, {elements:i} elements of the output of {where}, in {samples:i} of {all:i} samples, "
        "are {kind}: {why}.",
        keep_higher,
        together=lambda op: op.op.layer,
    ),
    Rule(
        "amplified",
        "an op that is nearly exact by itself and still costs",
        conditions.amplified,
        "What comes after {op} amplifies its error",
        "Its own output is right to {local_db:n} dB, the model's to {output_db:n} dB with only this op lowered: what "
        "follows takes the difference of nearly equal numbers, or decides on a narrow margin.",
        keep_with_readers,
    ),
    Rule(
        "costly-end",
        "most of the loss comes from one op at the model's start or end",
        conditions.costly_end,
        "The {place} product, {op}, costs the most",
        "It alone costs {ratio:n} times as much as the model's median product: {role}.",
        keep_higher,
    ),
    Rule(
        "too-coarse",
        "a loss without a special cause",
        conditions.too_coarse,
        "{precision} is too coarse for {op}",
        "Its steps leave {local_db:n} dB in its own output and {output_db:n} dB in the model's; most of it comes from "
        "{side}.",
        keep_higher,
        together=lambda op: op.precision.name,
    ),
)


def judge(evidence: Evidence, rules: tuple[Rule, ...] = RULES) -> tuple[Finding, ...]:
    """Return what goes wrong, the worst first: of each op that breaks the output or costs more than the limit.

    Each op gets the first of ``rules`` that applies. Ops that break the output come first; of equal severity (within a
    quarter) the one that runs first, as it may be what the others suffer from.
    """
    found: dict[tuple[str, str], list[OpEvidence]] = {}
    known = {rule.name: rule for rule in rules}
    for op in evidence.ops:
        rule = find_rule(op, evidence, rules)
        if rule is not None:
            found.setdefault((rule.name, rule.together(op) if rule.together else op.op.id), []).append(op)
    findings = [conclude(known[name], sorted(ops, key=_rank), evidence) for (name, _), ops in found.items()]
    return tuple(sorted(findings, key=lambda finding: _rank_of(finding.severity)))  # stable: equals stay in order


def find_rule(op: OpEvidence, evidence: Evidence, rules: tuple[Rule, ...] = RULES) -> Rule | None:
    """Return the first rule that applies to an op; None where its cost is below the limit."""
    if not op.breaks and not op.cost >= limit("cost"):
        return None
    return next((rule for rule in rules if rule.find(op, evidence) is not None), None)


def _rank(op: OpEvidence) -> float:
    return _rank_of(op.cost)


def _rank_of(severity: float) -> float:
    return -math.inf if math.isinf(severity) else -float(math.floor(math.log(severity, 1.25)))


def conclude(rule: Rule, ops: list[OpEvidence], evidence: Evidence) -> Finding:
    """Return what ``rule`` says of ``ops``, to all of which it applies: named after the first, for all of them."""
    op, others = ops[0], [other.op.id for other in ops[1:]]
    found = rule.find(op, evidence)
    assert found is not None, "a rule that does not apply concludes nothing"
    measured = {
        **found,
        "op": op.op.id,
        "precision": op.precision.name,
        "cost": op.cost,
        "unit": evidence.unit,
        "it": f"these {len(ops)} ops" if others else "it",
        "also": ", ".join(others),
    }
    remedies = tuple(
        replace(
            each, words=fill(each.words, measured), ops=tuple(dict.fromkeys((*each.ops, *others))) if each.ops else ()
        )
        for each in dict.fromkeys(rule.remedies(op, evidence, measured))
    )
    return Finding(
        rule.name,
        op.op.id,
        op.precision.name,
        fill(rule.title, measured),
        _capitalised(fill(rule.cause, measured)) + _tell_others(others),
        remedies[0].words,
        op.cost,
        remedies,
        measured,
    )


def _tell_others(others: list[str]) -> str:
    if not others:
        return ""
    more = ", and others" if len(others) > NAMED else ""
    return f" The same holds for {len(others)} more: {', '.join(others[:NAMED])}{more}."


def _finer(op: OpEvidence) -> tuple[str, ...]:
    """Precisions with smaller steps than the op's, the narrowest first."""
    bits = find_format(op.precision.weight.format if op.precision.weight else op.precision.compute).bits
    return tuple(name for name in ("w8", "bf16") if bits < (8 if name == "w8" else 16))


def _lift(op: OpEvidence, *names_and_words: str) -> Remedy:
    *names, words = names_and_words
    return _named(Remedy("precision", words, (op.op.id,), op.first_able(*names)))


def _named(remedy: Remedy) -> Remedy:
    """The remedy with the precision's name in its words."""
    if remedy.precision == "fp32":
        return replace(remedy, words="Keep {it} in FP32.")
    return replace(remedy, words=remedy.words.replace("{to}", remedy.precision))


def _keep(op: OpEvidence, ops: tuple[str, ...] = (), words: str = "Keep {it} in FP32.") -> Remedy:
    return Remedy("precision", words, ops or (op.op.id,), "fp32")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
