"""The refusal of a message that no page of ours sends."""

from __future__ import annotations


class BadMessage(ValueError):
    """A message that no view of ours sends: of an unknown type, or with missing, superfluous or wrong fields."""
