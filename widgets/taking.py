"""A file that a person takes away from a page: of which kind, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of file: its ending, and the job that makes it, in words."""

    ending: str
    job: str


KINDS = {"bundle": Kind(".pxb", "Saving the exploration"), "page": Kind(".html", "Exporting one offline page")}


@dataclass(frozen=True, eq=False)
class Taking:
    """Where the file stands that a person wants to take away: state is idle | working | ready | failed."""

    state: str = "idle"
    what: str = ""
    name: str = ""
    content: bytes = b""
    error: str = ""


def told(taking: Taking) -> dict[str, Any]:
    """What the browser hears of it."""
    facts = {"state": taking.state, "what": taking.what, "name": taking.name}
    return facts | {"bytes": len(taking.content), "error": taking.error}
