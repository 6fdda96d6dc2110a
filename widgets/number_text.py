"""Numbers as people write and read them: text to an exact number and back, without eval and without rounding."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal
from fractions import Fraction

from explorer.errors import PrecisionError

Exact = Fraction | float
"""A number without rounding: a fraction, or a float where no fraction exists: NaN, the infinities and -0."""

MAX_TEXT = 120
MAX_POWER = 400
"""Numbers from 1e-400 to 1e400: more than FP64 holds, little enough to stay quick."""

TOO_FAR = f"it is not between 1e-{MAX_POWER} and 1e{MAX_POWER}"

SPECIAL = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "∞": math.inf}
DECIMAL = re.compile(r"(\d+\.?\d*|\.\d+)(?:e([+-]?\d{1,5}))?")
HEX = re.compile(r"0x([0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p([+-]?\d{1,5}))?")
HOW = "0.1, 1e-5, 1/3, 0x1.8p-3, -0, inf or nan"


def read_number(text: str) -> Exact:
    """The exact number that a text says: decimal, hex float, a fraction a/b, nan, inf, -0.

    Raises ``PrecisionError`` for anything else, for a zero denominator, and beyond 1e-400 to 1e400.
    """
    words = text.strip().lower().replace("\u2212", "-").replace("\u202f", "").replace(" ", "")
    if not words or len(words) > MAX_TEXT:
        raise _refusal(text, f"it has {len(text)} characters, and a number has 1 to {MAX_TEXT}")
    sign, size = (-1 if words[0] == "-" else 1), words[words[0] in "+-" :]
    if size in SPECIAL:
        return sign * SPECIAL[size]
    number = _read_fraction(size, text)
    return -0.0 if number == 0 and sign < 0 else sign * number


def _read_fraction(size: str, text: str) -> Fraction:
    over, slash, under = size.partition("/")
    if not slash:
        return _read_size(size, text)
    below = _read_size(under, text)
    if below == 0:
        raise _refusal(text, "it divides by zero")
    return _in_bounds(_read_size(over, text) / below, text)


def _read_size(size: str, text: str) -> Fraction:
    """One unsigned decimal or hex float, exactly."""
    for pattern, digit_base, power_base in ((DECIMAL, 10, 10), (HEX, 16, 2)):
        if found := pattern.fullmatch(size):
            whole, _, part = found[1].partition(".")
            power = int(found[2] or 0)
            if abs(power) > 4 * MAX_POWER:
                raise _refusal(text, TOO_FAR)
            digits = Fraction(int(whole + part or "0", digit_base), digit_base ** len(part))
            return _in_bounds(digits * Fraction(power_base) ** power, text)
    raise _refusal(text, "it is no number")


def _in_bounds(size: Fraction, text: str) -> Fraction:
    if size != 0 and not Fraction(1, 10**MAX_POWER) <= size <= 10**MAX_POWER:
        raise _refusal(text, TOO_FAR)
    return size


def _refusal(text: str, found: str) -> PrecisionError:
    return PrecisionError(f"read {text.strip()[:40]!r}", found, HOW)


def write_number(x: Exact, digits: int) -> str:
    """At most ``digits`` significant digits; ends in "…" where digits were left out."""
    if isinstance(x, float):
        return repr(x) if math.isnan(x) or math.isinf(x) else "-0"
    rounded = Context(prec=digits).divide(Decimal(x.numerator), Decimal(x.denominator))
    return _plain(rounded) + ("" if Fraction(rounded) == x else "…")


def write_exactly(x: Exact) -> str:
    """Every digit of a number with finitely many decimals, else the fraction: "1/3"."""
    if isinstance(x, float):
        return write_number(x, 1)
    if _without(_without(x.denominator, 2), 5) != 1:
        return str(x)
    return _plain(Context(prec=2000).divide(Decimal(x.numerator), Decimal(x.denominator)))


def to_float(x: Exact) -> float:
    """FP64 nearest to the number, for drawing only; beyond FP64 the infinities."""
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def to_odd_float(x: Exact) -> float:
    """FP64 rounded to odd: the last bit says whether anything was cut, so that the next rounding is the only one.

    Beyond FP64 its largest value. Source: Boldo and Melquiond, "When double rounding is odd" (2005).
    """
    if isinstance(x, float):
        return x
    near = to_float(x)
    if math.isinf(near):
        return math.nextafter(near, 0.0)
    if Fraction(near) == x:
        return near
    cut = math.nextafter(near, 0.0) if abs(Fraction(near)) > abs(x) else near
    return cut if _is_odd(cut) else math.nextafter(cut, math.inf if x > 0 else -math.inf)


def _is_odd(x: float) -> bool:
    size = abs(x)
    return int(size / math.ulp(size)) % 2 == 1


def _plain(x: Decimal) -> str:
    """Without exponent where a person would write none."""
    x = x.normalize(Context(prec=2000))
    if x == 0:
        return "0"
    if -5 < x.adjusted() < 16:
        return format(x, "f")
    digits = "".join(map(str, x.as_tuple().digits))
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{'-' if x < 0 else ''}{mantissa}e{x.adjusted()}"


def _without(n: int, factor: int) -> int:
    while n % factor == 0:
        n //= factor
    return n
