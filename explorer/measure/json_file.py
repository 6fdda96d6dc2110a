"""A JSON file that several processes read and replace as a whole. (Effect: disk.)"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(eq=False)
class JsonFile:
    """A file of one JSON value. Missing, damaged or not to be written, it does no harm: it is as if it held None."""

    path: Path
    _seen: tuple[int, ...] | None = None

    def changed(self) -> bool:
        """Return whether the file is another one than at the last call; at the first call, whether there is one."""
        seen, self._seen = self._seen or (), self._look()
        return seen != self._seen

    def read(self) -> Any:
        """Return what the file holds; None where that cannot be read."""
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return None

    def write(self, value: Any) -> None:
        """Replace the file at once: a reader sees the former value or this one."""
        draft = self.path.with_suffix(f".{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(value, indent=1, sort_keys=True))
            draft.replace(self.path)
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _look(self) -> tuple[int, ...]:
        """What is another as soon as the file was replaced; empty where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size
