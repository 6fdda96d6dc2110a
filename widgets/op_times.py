"""Each op's measured time, read from a latency's table: what it takes, what it must take, and which call does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from widgets.plain import number, text


@dataclass(frozen=True)
class OpTime:
    """Microseconds of one op: ``now_us``, and ``before_us`` in best FP32 (0: unknown).

    ``floor_us`` is the least that this device could take, None where that is not known or says nothing. An op that
    another call does as well has no time of its own: ``inside`` names that call, which holds both ops' ``before_us``.
    ``holds`` counts the ops and casts that this call does besides its own.
    """

    now_us: float
    before_us: float
    emulated: bool
    floor_us: float | None = None
    inside: str = ""
    holds: int = 0

    @property
    def alone(self) -> bool:
        """Whether this time holds whatever the ops around it run in."""
        return not self.inside and not self.holds


def read_op_times(table: pd.DataFrame) -> dict[str, OpTime]:
    """The times of a latency's table by id, casts among them; a row without a time, its own or its host's, is left out.

    Columns that an older version did not write yet are read as unknown.
    """
    rows = {text(row["id"]): row for row in table.to_dict("records")}
    inside = {name: host for name, row in rows.items() if (host := text(row.get("inside"))) in rows and host != name}
    guests: dict[str, list[str]] = {}
    for guest, host in inside.items():
        guests.setdefault(host, []).append(guest)
    found = {}
    for name, row in rows.items():
        now = number(row["time_us"]) or 0.0
        if name in inside:
            found[name] = OpTime(0.0, 0.0, bool(row["emulated"]), inside=inside[name])
        elif now > 0:
            held = guests.get(name, [])
            before = sum(number(rows[each]["baseline_us"]) or 0.0 for each in (name, *held))
            found[name] = OpTime(now, before, bool(row["emulated"]), _floor(row), holds=len(held))
    return found


def _floor(row: Mapping[Any, Any]) -> float | None:
    """The row's floor, where it means something: views and emulations have no share of a limit."""
    return None if number(row.get("of_limit")) is None else number(row.get("floor_us"))
