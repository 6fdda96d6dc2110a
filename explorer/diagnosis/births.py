"""Why an op makes NaN or Inf of finite numbers, and what to do about it in the model: words, by the kind of the op."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.diagnosis.findings import fill, tell_number


@dataclass(frozen=True)
class Reason:
    """Why an op of this kind gives what is not finite (``{largest}``: of what it reads), and what its author can do."""

    why: str
    what_to_do: str


_OVERFLOW = Reason(
    "numbers as large as {largest} go beyond the largest that the format holds",
    "Scale its operands down before it, and its result up after what reads it.",
)
_EXP = Reason(
    "it is the exponential of numbers up to {largest}, and in FP32 that is Inf above 88.7",
    "Subtract the largest number before the exponential, as torch.softmax and torch.logsumexp do.",
)
_DIVISION = Reason("it divides by zero", "Add a small number to the divisor, or take the larger of the two.")
_ROOT = Reason(
    "it takes a root of zero or of a negative number", "Add a small number under the root, as norms do with eps."
)
_LOGARITHM = Reason(
    "it is the logarithm of zero or of a negative number",
    "Clamp what it reads from below, or use torch.log_softmax or torch.log1p.",
)
_SOFTMAX = Reason(
    "a row that it reads is minus infinity everywhere, so its sum is zero",
    "Leave one position of every row unmasked, or mask with a large negative number in place of minus infinity.",
)
_DIFFERENCE = Reason("it subtracts Inf from Inf", "Look at the op that makes the Inf.")

REASONS: Mapping[str, Reason] = {
    "exp": _EXP,
    "expm1": _EXP,
    "div": _DIVISION,
    "reciprocal": _DIVISION,
    "rsqrt": _ROOT,
    "sqrt": _ROOT,
    "log": _LOGARITHM,
    "log2": _LOGARITHM,
    "log1p": _LOGARITHM,
    "softmax": _SOFTMAX,
    "log_softmax": _SOFTMAX,
    "attention": _SOFTMAX,
    "sub": _DIFFERENCE,
}


def explain(kind: str, largest: float, given: str = "") -> tuple[str, str]:
    """Why an op of this kind that reads numbers up to ``largest`` gives NaN or Inf, and what its author can do.

    given: the input or weight that holds them already.
    """
    if given:
        return f"{given!r}, which it reads, holds them already", f"Find out why {given!r} holds them."
    reason = REASONS.get(kind, _OVERFLOW)
    return fill(reason.why, {"largest": tell_number(largest)}), reason.what_to_do
