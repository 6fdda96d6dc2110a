"""Tables in Markdown, and numbers as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a blank line after it."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def number(value: float | None) -> str:
    """Return three significant digits, or an infinity sign; nothing for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "∞" if value > 0 else "NaN" if math.isnan(value) else "-∞"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".") if value else "0"


def times(value: float | None) -> str:
    """Return a speed-up as a person writes it."""
    return "" if value is None else f"{number(value)}×"
