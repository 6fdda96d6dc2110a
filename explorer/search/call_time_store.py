"""Times of calls that the searches of all processes share for an hour, in a file by the trials. (Effect: clock, disk.)

What visitors of one site search for is mostly the same few models; without this each times the same calls.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from explorer import trials
from explorer.measure.json_file import JsonFile
from explorer.run import Plan, keys_of

GOOD_FOR_S = 3600.0
"""A set is used for so long after it was begun, then measured anew: a machine does not stay as it was."""
_FORMAT = 1


@dataclass(frozen=True)
class TimeSet:
    """Times of calls by key, as measured, in fractions of one reference's sum, whose whole times are ``totals_us``.

    began: when the first of them was taken, in seconds since 1970.
    """

    began: float
    totals_us: tuple[float, ...]
    shares: Mapping[str, tuple[float, ...]]

    @property
    def is_fresh(self) -> bool:
        """Whether it was begun within the last hour; a clock that was set back makes a set stale, too."""
        return 0 <= time.time() - self.began < GOOD_FOR_S


def set_key(reference: Plan) -> str:
    """Return what must be equal for times of calls to be shared: the device, and all calls of the reference."""
    calls = "\n".join(sorted(keys_of(reference).values()))
    return f"{reference.device.key}: {hashlib.blake2b(calls.encode(), digest_size=16).hexdigest()}"


@dataclass(eq=False)
class CallTimeStore:
    """A :class:`TimeSet` per reference, in a JSON file and in memory. A file that cannot be read holds nothing.

    Who times calls looks and adds under ``explorer.measure.exclusive``, so that no process drops what another added.
    """

    path: Path
    _sets: dict[str, TimeSet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._file, self._lock = JsonFile(self.path), threading.RLock()

    def find(self, key: str) -> TimeSet | None:
        """Return the set under ``key`` as any process has left it; None where there is none of the last hour."""
        with self._lock:
            if self._file.changed():
                self._sets = _parse(self._file.read())
            found = self._sets.get(key)
        return found if found is not None and found.is_fresh else None

    def add(self, key: str, totals_us: Sequence[float], shares: Mapping[str, Sequence[float]]) -> None:
        """Put times into the set under ``key``, in place of its own of the same calls; a new set is begun where there
        is none of the last hour. Sets that are no longer used are dropped."""
        with self._lock:
            before = self.find(key) or TimeSet(time.time(), (), {})
            news = {call: tuple(found) for call, found in shares.items()}
            kept = {each: found for each, found in self._sets.items() if found.is_fresh}
            self._sets = kept | {key: TimeSet(before.began, tuple(totals_us), {**before.shares, **news})}
            sets = {
                each: {"began": found.began, "totals_us": found.totals_us, "shares": dict(found.shares)}
                for each, found in self._sets.items()
            }
            self._file.write({"format": _FORMAT, "sets": sets})

    def forget(self) -> None:
        """Forget all sets, the file's too: the next search times its calls anew."""
        with self._lock:
            self._sets = {}
            self.path.unlink(missing_ok=True)


def _parse(content: Any) -> dict[str, TimeSet]:
    if not isinstance(content, dict) or content.get("format") != _FORMAT or not isinstance(content.get("sets"), dict):
        return {}
    parsed = {key: _parse_set(kept) for key, kept in content["sets"].items()}
    return {key: found for key, found in parsed.items() if found is not None}


def _parse_set(kept: Any) -> TimeSet | None:
    """What a file keeps as a set; None where it is none."""
    try:
        began, totals_us = float(kept["began"]), tuple(float(each) for each in kept["totals_us"])
        shares = {call: tuple(float(each) for each in found) for call, found in kept["shares"].items()}
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    times = [*totals_us, *(each for found in shares.values() for each in found)]
    fine = math.isfinite(began) and all(math.isfinite(each) and each >= 0 for each in times)
    whole = bool(totals_us) and min(totals_us) > 0 and all(shares.values())
    return TimeSet(began, totals_us, shares) if fine and whole else None


def default_call_times() -> CallTimeStore:
    """The times of calls of this process, in a file beside the trial store."""
    return _at(trials.default_path().parent / "call-times.json")


@cache
def _at(path: Path) -> CallTimeStore:
    return CallTimeStore(path)
