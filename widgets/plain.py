"""Engine values as what JSON can carry: text of a capped length, finite numbers."""

from __future__ import annotations

import math

MAX_TEXT = 400


def text(value: object, most: int = MAX_TEXT) -> str:
    """A string of at most ``most`` characters; None and NaN are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    words = str(value)
    return words if len(words) <= most else words[: most - 1] + "\u2026"


def number(value: object) -> float | None:
    """A finite float, or None."""
    if value is None:
        return None
    found = float(value)  # type: ignore[arg-type]
    return found if math.isfinite(found) else None


def why_none(session: object, error: str) -> str:
    """Why a view has nothing to draw: failed, or absent, where a recording lacks it; empty while it may still come."""
    if not error:
        return ""
    return "absent" if getattr(session, "marked", "") else "failed"
