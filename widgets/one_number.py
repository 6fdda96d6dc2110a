"""One number through one format: the code it becomes, what that code means, and what was lost. Pure and exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import torch

import explorer as px
from explorer.formats import ElementSpec, Fields, IntSpec, encode, fields, neighbours
from explorer.formats import Rounding as Mode
from widgets.number_text import Exact, to_odd_float

Kind = Literal["normal", "subnormal", "zero", "inf", "nan", "integer", "none"]
Outcome = Literal["exact", "rounded", "saturated", "overflowed", "flushed", "none"]

MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Rounding:
    """How a number is brought to a format; ``seed`` counts for stochastic rounding only."""

    mode: Mode = "nearest"
    saturate: bool = True
    seed: int = 0

    def round(self, x: float, spec: ElementSpec) -> float:
        """The format's value for x, which is FP64; NaN and Inf as ``px.round_to`` has them."""
        seed = self.seed if self.mode == "stochastic" else None
        one = torch.tensor([x], dtype=torch.float64)
        return px.round_to(one, spec, saturate=self.saturate, rounding=self.mode, seed=seed).item()


@dataclass(frozen=True)
class Landing:
    """Where a number lands in a format. ``code`` is None where no code stands for it (NaN in a format without NaN).

    ``number`` and ``value`` are in the format's own units: of integers, multiples of their scale.
    """

    spec: ElementSpec
    number: Exact
    value: Exact
    code: int | None
    rounding: Rounding

    @property
    def fields(self) -> Fields | None:
        """The code's fields; None without a code."""
        return None if self.code is None else fields(self.code, self.spec)

    @property
    def kind(self) -> Kind:
        """What the code is: normal, subnormal, zero, inf, nan, or integer; none without a code."""
        if self.fields is None:
            return "none"
        return "integer" if isinstance(self.spec, IntSpec) else self.fields.kind

    @property
    def outcome(self) -> Outcome:
        """What happened to the number on the way, in one word; ``none``: the format has nothing like it."""
        if self.code is None:
            return "none"
        if _same(self.number, self.value):
            return "exact"
        if not _finite(self.value):
            above = isinstance(self.number, Fraction) and self.number > self.spec.largest
            return "overflowed" if above or not math.isnan(self.value) else "none"
        if self._beyond:
            return "saturated"
        return "flushed" if self.value == 0 else "rounded"

    @property
    def error(self) -> Fraction | None:
        """Value minus number; None where either is no finite number."""
        return finite(self.value) - finite(self.number) if _finite(self.value) and _finite(self.number) else None

    @property
    def ulp(self) -> Fraction | None:
        """The step between the format's values where the number lies; None for NaN and Inf."""
        if not _finite(self.number):
            return None
        if isinstance(self.spec, IntSpec):
            return Fraction(1)
        size = abs(finite(self.number))
        exponent = floor_log2(size) if size else self.spec.min_exponent
        exponent = min(max(exponent, self.spec.min_exponent), self.spec.max_exponent)
        return Fraction(2) ** (exponent - self.spec.mantissa_bits)

    @property
    def below(self) -> Exact | None:
        """The next value below; None at the end, and without a code."""
        return self._neighbour(0)

    @property
    def above(self) -> Exact | None:
        """The next value above; None at the end, and without a code."""
        return self._neighbour(1)

    @property
    def chance_up(self) -> Fraction | None:
        """The probability that stochastic rounding takes the value above the number; None for other roundings."""
        if self.rounding.mode != "stochastic" or self.error in (None, 0) or self._beyond:
            return None
        other = self.below if self.error > 0 else self.above
        if other is None or not _finite(other):
            return None
        low, high = sorted((finite(self.value), finite(other)))
        return (finite(self.number) - low) / (high - low)

    @property
    def _beyond(self) -> bool:
        """Whether the number lies outside the finite values by more than rounding takes back."""
        if self.number in (math.inf, -math.inf):
            return True
        if not _finite(self.number):
            return False
        x, smallest, largest = finite(self.number), Fraction(self.spec.smallest), Fraction(self.spec.largest)
        outside = max(x - largest, smallest - x)
        step = self.ulp or Fraction(1)
        return outside >= (step / 2 if self.rounding.mode == "nearest" else step)

    def _neighbour(self, side: int) -> Exact | None:
        if self.code is None:
            return None
        value = neighbours(self.spec.decode(self.code), self.spec)[side]
        return None if value is None else exact(value)


def land(number: Exact, spec: ElementSpec, rounding: Rounding) -> Landing:
    """Brings an exact number to a scalar format, rounded once, whatever the format's width."""
    rounded = rounding.round(to_odd_float(number), spec)
    code = code_of(rounded, spec)
    return Landing(spec, number, rounded if code is None else exact(spec.decode(code)), code, rounding)


def stand(code: int, spec: ElementSpec, rounding: Rounding) -> Landing:
    """The landing of a code's own value: exact, and of just this code (a format may have many NaNs)."""
    value = exact(spec.decode(code))
    return Landing(spec, value, value, code, rounding)


def code_of(value: float, spec: ElementSpec) -> int | None:
    """The code of a value that the format holds; None for NaN where it has none."""
    if math.isnan(value) and (isinstance(spec, IntSpec) or not spec.nan_codes):
        return None
    return int(encode(torch.tensor(value, dtype=torch.float64), spec, saturate=False))


def exact(value: float) -> Exact:
    """The value as a fraction; NaN, the infinities and -0 as they are."""
    special = not math.isfinite(value) or (value == 0 and math.copysign(1.0, value) < 0)
    return value if special else Fraction(value)


def finite(x: Exact) -> Fraction:
    """A finite number as a fraction, -0 as 0."""
    return Fraction(x)


def floor_log2(size: Fraction) -> int:
    """The exponent e with 2**e <= size < 2**(e + 1), for size > 0."""
    guess = size.numerator.bit_length() - size.denominator.bit_length()
    return guess if Fraction(2) ** guess <= size else guess - 1


def _finite(x: Exact) -> bool:
    return isinstance(x, Fraction) or math.isfinite(x)


def _same(x: Exact, y: Exact) -> bool:
    if isinstance(x, float) and isinstance(y, float):
        return (math.isnan(x) and math.isnan(y)) or (x == y)
    return x == y
