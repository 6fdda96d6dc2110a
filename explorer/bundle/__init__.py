"""Bundles: a saved exploration that opens without its model, its data or a GPU, plainly recorded. (Effect: disk.)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from explorer.bundle.archive import LARGEST_FILE, LARGEST_PART, MANIFEST, write_parts
from explorer.bundle.reading import load
from explorer.bundle.recorded import Recorded
from explorer.bundle.recording import SCHEMA, Recordable, record

__all__ = ["LARGEST_FILE", "LARGEST_PART", "MANIFEST", "SCHEMA", "Recordable", "Recorded", "load", "record", "save"]


def save(path: Path, session: Recordable, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write what ``session`` found to ``path``; ``rows``: its trials as the store has them. Return the path."""
    if path.is_dir() or not path.parent.is_dir():
        return write_parts(path, {})
    return write_parts(path, record(session, rows))
