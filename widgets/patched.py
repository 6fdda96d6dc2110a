"""A value of many rows as it crosses: whole at first, and then only what differs from that; nothing is lost on the way.

A browser that mounts a view late, or again, reads both parts and has the value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST_BYTES = 6_000
"""Differences that are longer than this make a new whole."""
Value = dict[str, Any]


class Patched:
    """What a browser holds of one value: a dict of lists, a row per op, and of small things."""

    def __init__(self) -> None:
        self._whole: Value = {}
        self._version = 0

    def tell(self, value: Mapping[str, Any]) -> tuple[Value, Value]:
        """The whole that the browser may have already, and what differs from it: together they are ``value``.

        whole: ``{"version", "value"}``. since: ``{"version", "rows": {name: [numbers, rows]}, "rest": {name: thing}}``,
        empty where nothing differs.
        """
        since = self._since(value)
        if since is None:
            self._version += 1
            self._whole, since = dict(value), {}
        whole = {"version": self._version, "value": self._whole}
        return whole, {"version": self._version, **since} if since else {}

    def _since(self, value: Mapping[str, Any]) -> Value | None:
        """What differs; None where a new whole is shorter, or has other names or another number of rows."""
        before = self._whole
        if not before or before.keys() != value.keys():
            return None
        rows: dict[str, list[list[Any]]] = {}
        rest: Value = {}
        for name in (name for name in value if value[name] != before[name]):
            now, then = value[name], before[name]
            if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
                at = [place for place, (one, other) in enumerate(zip(now, then, strict=True)) if one != other]
                rows[name] = [at, [now[place] for place in at]]
            else:
                rest[name] = now
        if not rows and not rest:
            return {}
        since = {"rows": rows, "rest": rest}
        return since if len(json.dumps(since)) <= MOST_BYTES else None
