"""Formats whose values stand for themselves, floats and integers: a few stored facts, all else derived from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from explorer.errors import PrecisionError

NanStyle = Literal["ieee", "all_ones", "none"]
"""``ieee``: the top exponent is kept for Inf and NaN; ``all_ones``: only the codes S.11..1 are NaN; ``none``."""


@dataclass(frozen=True)
class FloatSpec:
    """A binary floating-point format: sign, exponent, mantissa, with subnormals.

    ``container_bits`` is what one value takes in memory where that is more than its own bits (TF32 lives in FP32).
    ``signed=False``: there is no sign bit. ``has_zero=False``: there is neither zero nor subnormals, and the lowest
    exponent is one like the others (E8M0, which has no mantissa either).
    Raises ``PrecisionError`` for facts that make no format.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    has_inf: bool
    nan: NanStyle
    source: str
    container_bits: int | None = None
    signed: bool = True
    has_zero: bool = True

    def __post_init__(self) -> None:
        fewest = 1 if self.has_zero or self.has_inf else 0
        if self.exponent_bits < 2 or self.mantissa_bits < fewest:
            found = f"{self.exponent_bits} exponent and {self.mantissa_bits} mantissa bits"
            raise PrecisionError(f"float format {self.name!r}", found, "at least 2 exponent bits and 1 mantissa bit")
        if self.nan not in ("ieee", "all_ones", "none"):
            raise PrecisionError(f"float format {self.name!r}", f"nan={self.nan!r}", "'ieee', 'all_ones' or 'none'")
        if self.has_inf != (self.nan == "ieee"):
            found = f"has_inf={self.has_inf} with nan={self.nan!r}"
            raise PrecisionError(f"float format {self.name!r}", found, "Inf exactly where nan='ieee'")

    @property
    def label(self) -> str:
        """The name as people write it, such as ``FP8-E4M3``."""
        return label_of(self.name)

    @property
    def is_float(self) -> bool:
        return True

    @property
    def is_block(self) -> bool:
        return False

    @property
    def bits(self) -> int:
        """Bits that carry information, the sign included."""
        return int(self.signed) + self.exponent_bits + self.mantissa_bits

    @property
    def storage_bits(self) -> int:
        """Bits that one value takes in memory, packed."""
        return self.container_bits or self.bits

    @property
    def bits_per_element(self) -> float:
        """Bits that one value takes in memory, its share of a block's scale included (here there is none)."""
        return float(self.storage_bits)

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal value, which the subnormals share."""
        return int(self.has_zero) - self.bias

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite value."""
        whole_binade_is_special = self.nan == "ieee" or (self.nan == "all_ones" and self.mantissa_bits == 0)
        return (1 << self.exponent_bits) - 1 - int(whole_binade_is_special) - self.bias

    @property
    def largest(self) -> float:
        """The largest finite value."""
        top_code_is_nan = self.nan == "all_ones" and self.mantissa_bits > 0
        last = (1 << self.mantissa_bits) - 1 - int(top_code_is_nan)
        return (1.0 + last * self.epsilon) * 2.0**self.max_exponent

    @property
    def smallest(self) -> float:
        """The lowest finite value: the most negative one, or where there is no sign the one nearest to zero."""
        if self.signed:
            return -self.largest
        return 0.0 if self.has_zero else self.smallest_positive

    @property
    def smallest_normal(self) -> float:
        return 2.0**self.min_exponent

    @property
    def smallest_subnormal(self) -> float:
        """The smallest subnormal, which is also their step; the smallest normal where there are no subnormals."""
        return 2.0 ** (self.min_exponent - (self.mantissa_bits if self.has_zero else 0))

    @property
    def smallest_positive(self) -> float:
        """The smallest value above zero."""
        return self.smallest_subnormal

    @property
    def epsilon(self) -> float:
        """The step between 1 and the next value."""
        return 2.0**-self.mantissa_bits

    @property
    def decimal_digits(self) -> float:
        """Significant decimal digits: log10(2) times the significant bits, the implicit one included."""
        return (self.mantissa_bits + 1) * math.log10(2)

    @property
    def overflow_threshold(self) -> float:
        """Where the rounding to nearest leaves the finite values: half a step above the largest."""
        return self.largest + 2.0 ** (self.max_exponent - self.mantissa_bits - 1)

    @property
    def nan_codes(self) -> int:
        """Number of codes that are NaN."""
        with_one_sign = {"ieee": (1 << self.mantissa_bits) - 1, "all_ones": 1, "none": 0}[self.nan]
        return with_one_sign << int(self.signed)

    @property
    def finite_values(self) -> int:
        """Number of different finite values; the two zeros count once."""
        inf_codes = int(self.has_inf) << int(self.signed)
        second_zero = int(self.signed and self.has_zero)
        return (1 << self.bits) - self.nan_codes - inf_codes - second_zero

    def decode(self, code: int) -> float:
        """The value of one code, 0 <= code < 2**bits, sign bit first; may be NaN, Inf or -0."""
        _check_code(self.name, code, self.bits)
        sign = -1.0 if code >> (self.exponent_bits + self.mantissa_bits) else 1.0
        exponent = (code >> self.mantissa_bits) & ((1 << self.exponent_bits) - 1)
        mantissa = code & ((1 << self.mantissa_bits) - 1)
        top = exponent == (1 << self.exponent_bits) - 1
        if top and self.nan == "ieee":
            return float("nan") if mantissa else sign * float("inf")
        if top and self.nan == "all_ones" and mantissa == (1 << self.mantissa_bits) - 1:
            return float("nan")
        if exponent == 0 and self.has_zero:
            return sign * mantissa * self.smallest_subnormal
        return sign * (1.0 + mantissa * self.epsilon) * 2.0 ** (exponent - self.bias)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Every different finite value in order, zero once. Formats of at most 16 bits, else ``PrecisionError``."""
        _check_listable(self.name, self.bits)
        decoded = {self.decode(code) + 0.0 for code in range(1 << self.bits)}
        return tuple(sorted(value for value in decoded if abs(value) <= self.largest))


@dataclass(frozen=True)
class IntSpec:
    """An integer format in two's complement, or unsigned.

    ``symmetric_limit`` is the largest code of a symmetric scheme (INT8: 127, -128 stays unused); None when unsigned.
    Raises ``PrecisionError`` for facts that make no format.
    """

    name: str
    bits: int
    signed: bool
    symmetric_limit: int | None
    source: str

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise PrecisionError(f"integer format {self.name!r}", f"{self.bits} bits", "2 to 8 bits")
        if self.signed != (self.symmetric_limit is not None) or self.symmetric_limit not in (
            None,
            *range(1, self.largest + 1),
        ):
            found = f"symmetric_limit={self.symmetric_limit} with signed={self.signed}"
            raise PrecisionError(f"integer format {self.name!r}", found, "1 to the largest code, or None when unsigned")

    @property
    def label(self) -> str:
        """The name as people write it, such as ``INT8``."""
        return label_of(self.name)

    @property
    def is_float(self) -> bool:
        return False

    @property
    def is_block(self) -> bool:
        return False

    @property
    def storage_bits(self) -> int:
        """Bits that one value takes in memory, packed."""
        return self.bits

    @property
    def bits_per_element(self) -> float:
        """Bits that one value takes in memory, its share of a block's scale included (here there is none)."""
        return float(self.storage_bits)

    @property
    def largest(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def smallest(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def smallest_positive(self) -> float:
        """The smallest value above zero."""
        return 1.0

    @property
    def epsilon(self) -> float:
        """The step between 1 and the next value."""
        return 1.0

    @property
    def decimal_digits(self) -> float:
        """Significant decimal digits at the largest value: log10(2) times the bits without the sign."""
        return (self.bits - int(self.signed)) * math.log10(2)

    @property
    def finite_values(self) -> int:
        """Number of different values."""
        return 1 << self.bits

    def decode(self, code: int) -> float:
        """The value of one code, 0 <= code < 2**bits."""
        _check_code(self.name, code, self.bits)
        return float(code - (1 << self.bits) if code > self.largest else code)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Every value in order."""
        return tuple(float(value) for value in range(self.smallest, self.largest + 1))


ElementSpec = FloatSpec | IntSpec
"""A format whose values stand for themselves."""


def label_of(name: str) -> str:
    """A format's name as people write it: ``fp8_e4m3`` is FP8-E4M3."""
    return name.upper().replace("_", "-")


def _check_code(name: str, code: int, bits: int) -> None:
    if not 0 <= code < 2**bits:
        raise PrecisionError(f"code {code} of {name!r}", f"the format has {bits} bits", f"0 to {2**bits - 1}")


def _check_listable(name: str, bits: int) -> None:
    if bits > 16:
        raise PrecisionError(f"every value of {name!r}", f"it has 2**{bits} codes", "a format of at most 16 bits")
