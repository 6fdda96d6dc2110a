"""What a number format is: a few stored facts, everything else derived from them."""

from __future__ import annotations

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

    def __post_init__(self) -> None:
        if self.exponent_bits < 2 or self.mantissa_bits < 1:
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
        return _label(self.name)

    @property
    def is_float(self) -> bool:
        return True

    @property
    def bits(self) -> int:
        """Bits that carry information, the sign included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def storage_bits(self) -> int:
        """Bits that one value takes in memory, packed."""
        return self.container_bits or self.bits

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal value, which the subnormals share."""
        return 1 - self.bias

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite value."""
        reserved = 1 if self.nan == "ieee" else 0
        return (1 << self.exponent_bits) - 1 - reserved - self.bias

    @property
    def largest(self) -> float:
        """The largest finite value."""
        top_code_is_nan = 1 if self.nan == "all_ones" else 0
        last = (1 << self.mantissa_bits) - 1 - top_code_is_nan
        return (1.0 + last * self.epsilon) * 2.0**self.max_exponent

    @property
    def smallest(self) -> float:
        """The most negative finite value."""
        return -self.largest

    @property
    def smallest_normal(self) -> float:
        return 2.0**self.min_exponent

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive value, which is also the step between subnormals."""
        return 2.0 ** (self.min_exponent - self.mantissa_bits)

    @property
    def epsilon(self) -> float:
        """The step between 1 and the next value."""
        return 2.0**-self.mantissa_bits

    @property
    def overflow_threshold(self) -> float:
        """Where the rounding to nearest leaves the finite values: half a step above the largest."""
        return self.largest + 2.0 ** (self.max_exponent - self.mantissa_bits - 1)

    @property
    def nan_codes(self) -> int:
        """Number of codes that are NaN."""
        return {"ieee": 2 * ((1 << self.mantissa_bits) - 1), "all_ones": 2, "none": 0}[self.nan]

    @property
    def finite_values(self) -> int:
        """Number of different finite values; the two zeros count once."""
        inf_codes = 2 if self.has_inf else 0
        return (1 << self.bits) - self.nan_codes - inf_codes - 1

    def decode(self, code: int) -> float:
        """The value of one code, 0 <= code < 2**bits, sign bit first; may be NaN, Inf or -0."""
        _check_code(self.name, code, self.bits)
        sign = -1.0 if code >> (self.bits - 1) else 1.0
        exponent = (code >> self.mantissa_bits) & ((1 << self.exponent_bits) - 1)
        mantissa = code & ((1 << self.mantissa_bits) - 1)
        top = exponent == (1 << self.exponent_bits) - 1
        if top and self.nan == "ieee":
            return float("nan") if mantissa else sign * float("inf")
        if top and self.nan == "all_ones" and mantissa == (1 << self.mantissa_bits) - 1:
            return float("nan")
        if exponent == 0:
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
        return _label(self.name)

    @property
    def is_float(self) -> bool:
        return False

    @property
    def storage_bits(self) -> int:
        """Bits that one value takes in memory, packed."""
        return self.bits

    @property
    def largest(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def smallest(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def epsilon(self) -> float:
        """The step between 1 and the next value."""
        return 1.0

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


Spec = FloatSpec | IntSpec


def _label(name: str) -> str:
    return name.upper().replace("_", "-")


def _check_code(name: str, code: int, bits: int) -> None:
    if not 0 <= code < 2**bits:
        raise PrecisionError(f"code {code} of {name!r}", f"the format has {bits} bits", f"0 to {2**bits - 1}")


def _check_listable(name: str, bits: int) -> None:
    if bits > 16:
        raise PrecisionError(f"every value of {name!r}", f"it has 2**{bits} codes", "a format of at most 16 bits")
