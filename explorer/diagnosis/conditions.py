"""When a rule applies: each looks at one op's evidence and returns what it measured, or None."""

from __future__ import annotations

import math
from collections.abc import Callable

from explorer.diagnosis.births import explain
from explorer.diagnosis.evidence import CALIBRATED, LATER, Born, Evidence, Held, OpEvidence
from explorer.diagnosis.findings import Measured, tell_number
from explorer.diagnosis.limits import limit
from explorer.formats import FORMATS, find_format
from explorer.formats.elements import FloatSpec
from explorer.ranges.bins import FP32_MANTISSA

Found = Measured | None


def born_in_model(op: OpEvidence, evidence: Evidence) -> Found:
    """NaN or Inf begin at this op in FP32 already, and reach the output."""
    return _tell_birth(op.born) if op.born is not None and op.born.in_fp32 else None


def born_in_recipe(op: OpEvidence, evidence: Evidence) -> Found:
    """What this op's precision does to its output makes NaN or Inf, there or further down; nothing told why before."""
    return _tell_birth(op.born) if op.born is not None and not op.born.in_fp32 else None


def overflows(op: OpEvidence, evidence: Evidence) -> Found:
    """A tensor without a scale goes beyond its format: the output first, then what is read, then weights."""
    over = [held for held in op.tensors if held.overflows and not _only_masks(held, op)]
    if not over:
        return None
    held = next((held for held in over if held.port == "output"), over[0])
    return {
        "tensor": held.words,
        "absmax": held.range.absmax,
        "format": held.label,
        "limit": float(held.scheme.spec.largest),
        "end": _tell_end(held.scheme.spec.largest),
        "share": held.expected.saturated,
    }


def calibration_misses(op: OpEvidence, evidence: Evidence) -> Found:
    """Under static scales, samples that these were not found from lie beyond their ends far more often."""
    calibrated = evidence.calibrated
    held = _worst(op, lambda held: held.outside.get(LATER, 0.0) - held.outside.get(CALIBRATED, 0.0))
    if calibrated is None or held is None or LATER not in held.outside or not _from_input(op):
        return None
    inside, outside = held.outside[CALIBRATED], held.outside[LATER]
    if outside < limit("outside") or outside < limit("outside_ratio") * inside:
        return None
    return {
        "tensor": held.words,
        "outside": outside,
        "outside_calibrated": inside,
        "samples": float(calibrated.n),
        "others": float(calibrated.total - calibrated.n),
        "which": _tell_lengths(calibrated.lengths, calibrated.later),
    }


def tail_clipped(op: OpEvidence, evidence: Evidence) -> Found:
    """The static scale in use leaves out the largest elements, and another calibrator would serve the op far better."""
    held = _worst(op, lambda held: held.expected.saturated)
    rivals, calibrated = op.sides.rivals, evidence.calibrated
    if held is None or calibrated is None or not rivals or held.expected.saturated == 0:
        return None
    best = max(rivals, key=lambda name: rivals[name])
    if not _from_input(op) or rivals[best] < op.sides.inputs + limit("calibrator_db"):
        return None
    return {
        "tensor": held.words,
        "share": held.expected.saturated,
        "method": calibrated.method,
        "sqnr_db": op.sides.inputs,
        "best": best,
        "best_db": rivals[best],
        "absmax": held.range.absmax,
    }


def outlier_channel(op: OpEvidence, evidence: Evidence) -> Found:
    """One channel takes the codes of all others, which share its scale, and most of the op's error comes from there."""
    held = _worst(op, lambda held: -held.typical_codes if held.shares_scale else -math.inf)
    if held is None or not held.shares_scale or not _from_input(op):
        return None
    channel, ratio = held.outlier
    if held.typical_codes >= limit("codes") or held.typical_codes >= held.all_codes:
        return None
    return {
        "tensor": held.words,
        "channel": float(channel),
        "ratio": ratio,
        "codes": held.typical_codes,
        "all_codes": held.all_codes,
        "per": held.scheme.granularity,
        "format": held.label,
    }


def small_values_lost(op: OpEvidence, evidence: Evidence) -> Found:
    """More than half of a tensor becomes zero or a subnormal."""
    if not op.tensors:
        return None
    held = max(op.tensors, key=lambda held: held.lost)
    if held.lost < limit("lost"):
        return None
    smallest = held.scheme.spec.smallest_positive if not held.scheme.scaled else math.nan
    end = (
        f"the smallest number of {held.label} is {tell_number(smallest)}"
        if smallest == smallest
        else "its scale is too large"
    )
    return {
        "tensor": held.words,
        "share": held.lost,
        "flushed": held.expected.flushed,
        "subnormal": held.expected.subnormal,
        "typical": _typical(held),
        "format": held.label,
        "end": end,
    }


def weight_outliers(op: OpEvidence, evidence: Evidence) -> Found:
    """Most groups of the weight hold a few large values, and another way to store it would be much better."""
    weights = op.weights
    if weights is None or _from_input(op) or weights.spread < limit("group_ratio") * weights.normal:
        return None
    now = weights.sqnr_db.get(op.precision.name, math.inf)
    better = {name: db for name, db in weights.sqnr_db.items() if db >= now + limit("weight_db")}
    if not better:
        return None
    best = next(iter(better))  # they come in the order of their bits
    return {
        "spread": weights.spread,
        "normal": weights.normal,
        "group": float(weights.group),
        "sqnr_db": now,
        "best": best,
        "best_db": better[best],
    }


def narrow_sum(op: OpEvidence, evidence: Evidence) -> Found:
    """The products are added up in a float format so narrow that the sum's rounding exceeds that of the operands."""
    spec = FORMATS.get(op.precision.accumulate)  # INT32, in which integers are added, is no format of the table
    if not isinstance(spec, FloatSpec) or spec.mantissa_bits >= FP32_MANTISSA or not op.reduction:
        return None
    local = _noise(op.local_sqnr_db)
    operands = _noise(op.sides.inputs) + _noise(op.sides.weight) + _rounding(op.precision.output)
    if not math.isfinite(local) or local < limit("growth") ** 2 * operands:
        return None
    return {
        "terms": float(op.reduction),
        "format": spec.label,
        "digits": float(spec.mantissa_bits + 1),
        "error": math.sqrt(local),
        "operands": math.sqrt(operands),
    }


def amplified(op: OpEvidence, evidence: Evidence) -> Found:
    """A small error right after the op is a large one at the output."""
    lost = op.local_sqnr_db - op.output_sqnr_db
    if op.breaks or not op.local_sqnr_db >= limit("clean_db") or not lost >= limit("amplified_db"):
        return None
    return {"local_db": op.local_sqnr_db, "output_db": op.output_sqnr_db, "lost_db": lost}


def costly_end(op: OpEvidence, evidence: Evidence) -> Found:
    """The first or the last product costs many times what the others do."""
    if not (op.first or op.last) or op.breaks or op.cost < limit("end_ratio") * evidence.typical:
        return None
    return {
        "place": "first" if op.first else "last",
        "role": "what it loses of the input, nothing after it can restore"
        if op.first
        else "nothing after it evens its error out",
        "ratio": op.cost / evidence.typical if evidence.typical > 0 else math.inf,
        "typical": evidence.typical,
    }


def too_coarse(op: OpEvidence, evidence: Evidence) -> Found:
    """No special cause: the format's steps are too large for what this op decides."""
    if op.precision.name == "fp32":
        return None
    side = "its weight" if op.sides.weight < op.sides.inputs else "what it reads"
    return {"local_db": op.local_sqnr_db, "output_db": op.output_sqnr_db, "side": side}


def _tell_birth(born: Born) -> Measured:
    why, what_to_do = explain(born.op.kind, born.largest, born.given)
    return {
        "kind": "NaN" if born.kind == "nan" else "Inf",
        "where": born.op.id,
        "elements": float(born.elements),
        "samples": float(born.samples),
        "all": float(born.of),
        "why": why,
        "what_to_do": what_to_do,
        "largest": born.largest,
        "line": born.op.source_line.strip() or "not known",
        "source": born.op.source,
    }


def _only_masks(held: Held, op: OpEvidence) -> bool:
    """Whether all that goes beyond the format is a mask before a softmax, which leaves it out either way."""
    return op.masks and not op.breaks and held.range.histogram.max <= held.scheme.spec.largest


def _worst(op: OpEvidence, how_bad: Callable[[Held], float]) -> Held | None:
    """The operand for which a measure is largest; None for an op without activations."""
    return max(op.inputs, key=how_bad, default=None)


def _from_input(op: OpEvidence) -> bool:
    """Whether the op's error comes from what it reads rather than from its weight."""
    return op.sides.inputs <= op.sides.weight + limit("side_db")


def _noise(sqnr_db: float) -> float:
    """Relative squared error."""
    return 10 ** (-sqnr_db / 10)


def _rounding(format: str) -> float:
    """Relative squared error of rounding once to a format: a twelfth of its step squared, at worst."""
    return float(find_format(format).epsilon ** 2 / 12)


def _typical(held: Held) -> float:
    """The median magnitude of a tensor's elements that are not zero."""
    histogram = held.range.histogram
    counts = histogram.counts.sum(axis=0)
    total, reached = int(counts.sum()), 0
    for count, edge in zip(counts.tolist(), histogram.edges.tolist(), strict=False):
        reached += count
        if total and 2 * reached >= total:
            return float(edge)
    return 0.0


def _tell_end(largest: float) -> str:
    """The largest value of a format: in full where people know it by heart, 65,504 and 448."""
    return f"{largest:,.0f}" if largest < 1e6 else tell_number(largest)


def _tell_lengths(these: tuple[int, ...], others: tuple[int, ...]) -> str:
    """Which inputs the scales were found from, where lengths tell: empty where they are alike or unknown."""
    if not these or not others or others[1] < limit("length_ratio") * these[1]:
        return ""
    return (
        f" These have {_tell_span(these)} tokens, the others {_tell_span(others)}: the scales know short inputs only."
    )


def _tell_span(ends: tuple[int, ...]) -> str:
    low, high = ends
    return f"{low}" if low == high else f"{low} to {high}"
