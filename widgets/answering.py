"""The guard before every message handler: a message is checked for shape and size, carried out, and always answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import explorer as px
from widgets.bad_message import BadMessage as BadMessage
from widgets.state import describe

LOG = logging.getLogger("widgets")
MAX_ID = 64

Fields = dict[str, Any]
Reply = dict[str, Any]
Act = Callable[[str, Fields], Reply | None]
"""Carries out a message of a known type with exactly its fields; what it returns joins the reply."""


def reply_to(content: object, known: Mapping[str, set[str]], act: Act) -> Reply:
    """Carries out one message and returns its reply: ``{id, ok: True, type, ...}`` or ``{id, ok: False, error}``.

    ``known``: the types that are obeyed, each with its fields. Nothing is raised: a failure is an answer.
    """
    reply: Reply = {"id": _reply_id(content)}
    try:
        kind, fields = _open(content, known)
        reply |= {"ok": True, "type": kind, **(act(kind, fields) or {})}
    except Exception as error:  # a handler's failure is an answer, never silence
        if not isinstance(error, (px.ExplorerError, BadMessage)):
            LOG.exception("message failed: %.200r", content)
        reply |= {"ok": False, "error": describe(error)}
    return reply


def text_field(fields: Fields, name: str, most: int) -> str:
    """A field that must be text of at most ``most`` characters; raises ``BadMessage``."""
    value = fields[name]
    if not isinstance(value, str):
        raise BadMessage(f"{name} must be text, not {type(value).__name__}")
    if len(value) > most:
        raise BadMessage(f"{name} has {len(value)} characters; at most {most} are accepted")
    return value


def whole_field(fields: Fields, name: str, least: int, most: int) -> int:
    """A field that must be a whole number from ``least`` to ``most``; raises ``BadMessage``."""
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadMessage(f"{name} must be a whole number, not {type(value).__name__}")
    if not least <= value <= most:
        raise BadMessage(f"{name} must be from {least} to {most}")
    return value


def _reply_id(content: object) -> str | int | None:
    found = content.get("id") if isinstance(content, dict) else None
    if isinstance(found, str) and len(found) <= MAX_ID:
        return found
    return found if isinstance(found, int) and abs(found) < 2**53 else None


def _open(content: object, known: Mapping[str, set[str]]) -> tuple[str, Fields]:
    if not isinstance(content, dict):
        raise BadMessage(f"a message is an object; this is {type(content).__name__}")
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in known:
        raise BadMessage(f"unknown message {str(kind)[:40]!r}; known: {', '.join(known)}")
    if _reply_id(content) is None:
        raise BadMessage(f"message {kind!r} needs an id: a short text or an integer")
    fields = {name: value for name, value in content.items() if name not in ("id", "type")}
    if set(fields) != known[kind]:
        wanted = ", ".join(sorted(known[kind])) or "no fields"
        raise BadMessage(
            f"message {kind!r} takes {wanted}; it came with {', '.join(sorted(map(str, fields)))[:200] or 'none'}"
        )
    return kind, fields
