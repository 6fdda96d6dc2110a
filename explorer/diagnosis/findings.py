"""What a diagnosis says: findings, each with a cause, its evidence, and remedies that can be tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Measured = Mapping[str, float | str]
RemedyKind = Literal["precision", "balance", "calibrate", "model"]


@dataclass(frozen=True)
class Remedy:
    """One thing to do about a finding, as data; ``words`` say it to a person.

    kind ``precision``: give ``ops`` this ``precision``. ``balance``: trade the sizes of activation channels for those
    of weight columns with strength ``alpha`` (SmoothQuant). ``calibrate``: find static scales anew by ``method`` from
    the first ``samples`` samples. ``model``: change the model's source, which nobody but its author can do.
    """

    kind: RemedyKind
    words: str
    ops: tuple[str, ...] = ()
    precision: str = ""
    alpha: float = 0.5
    method: str = ""
    samples: int = 0

    @property
    def can_be_tried(self) -> bool:
        """Whether a preview can measure what it brings."""
        return self.kind != "model"


@dataclass(frozen=True)
class Finding:
    """One op that goes wrong in one precision, why, and what to do about it.

    rule: the name of the rule that found it. title, cause, remedy: sentences with the measured numbers filled in.
    evidence: those numbers by name. severity: what this op alone costs at the model's output, in the unit that
    ``evidence["unit"]`` names: nats of KL divergence, or relative squared error where outputs are not logits; infinite
    where it makes outputs NaN or Inf. remedies: the best first.
    """

    rule: str
    op: str
    precision: str
    title: str
    cause: str
    remedy: str
    severity: float
    remedies: tuple[Remedy, ...]
    evidence: Measured = field(default_factory=dict)

    @property
    def breaks(self) -> bool:
        """Whether outputs become NaN or Inf."""
        return math.isinf(self.severity)


class Told(float):
    """A number that says itself: ``{x:n}`` to three digits, ``{x:%}`` as a share, ``{x:i}`` as a whole number."""

    def __format__(self, how: str) -> str:
        if how == "%":
            return tell_share(float(self))
        if how == "i":
            return f"{round(float(self)):,}"
        return tell_number(float(self)) if how == "n" else super().__format__(how)


def tell_number(value: float) -> str:
    """Three significant digits: ``85,100``, ``0.0312``, ``3.4e38``, ``2.1e-9``; ``infinity`` and ``NaN`` in words."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "infinity" if value > 0 else "minus infinity"
    size = abs(value)
    if size and not 1e-3 <= size < 1e6:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def tell_share(value: float) -> str:
    """A share of 1 in percent to two digits: ``1.3 %``; ``under 0.01 %`` below that, and ``none`` for nothing."""
    if value == 0:
        return "none"
    return "under 0.01 %" if value < 1e-4 else f"{float(f'{100 * value:.2g}'):g} %"


def fill(template: str, measured: Measured) -> str:
    """A template with the measured numbers and words in it."""
    told = {name: Told(value) if isinstance(value, float) else value for name, value in measured.items()}
    return template.format_map(told)
