"""Which kernel messages a visitor may send: those that widgets need, and nothing that runs code or reads a kernel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

CONTROL_TARGET = "jupyter.widget.control"
"""Over this comm a page asks for all widgets' states when it loads. No other is opened from a browser."""
MESSAGES = ("comm_info_request", "comm_open", "comm_msg", "comm_close", "kernel_info_request")
METHODS = ("custom", "update", "request_state", "request_states")
MAX_TEXT_BYTES = 4 * 2**20
"""The largest content of a message; a recipe has 2 MiB at most, and may hold signs that JSON writes as six."""
MAX_ID = 128
MAX_DEPTH = 64
MAX_PARTS = 256

Message = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """A message as it came over the websocket."""

    channel: str
    header: Any
    content: Any
    buffer_bytes: int


class Unreadable(ValueError):
    """What came is no kernel message."""


def read(raw: object) -> Sent:
    """Read a websocket message in the binary protocol v1; its offsets are not trusted.

    Eight bytes say how many offsets follow; channel, header, parent header, metadata, content and buffers lie between
    them. Raises ``Unreadable`` for anything else.
    """
    if not isinstance(raw, bytes):
        raise Unreadable("a message is binary")
    parts = _cut(raw)
    channel, texts = parts[0], parts[1:5]
    if max(len(text) for text in texts) > MAX_TEXT_BYTES:
        raise Unreadable("a part is too large")
    try:
        header, parent, metadata, content = (json.loads(text) for text in texts)
        name = channel.decode()
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}"[:200]) from None
    if not isinstance(parent, dict) or not isinstance(metadata, dict):
        raise Unreadable("parent header and metadata are objects")
    return Sent(name, header, content, sum(len(part) for part in parts[5:]))


def _cut(raw: bytes) -> list[bytes]:
    count = int.from_bytes(raw[:8], "little")
    if not 6 <= count <= MAX_PARTS or len(raw) < 8 * (count + 1):
        raise Unreadable(f"{count} offsets in {len(raw)} bytes")
    offsets = [int.from_bytes(raw[8 * (at + 1) : 8 * (at + 2)], "little") for at in range(count)]
    if offsets[0] != 8 * (count + 1) or offsets != sorted(offsets) or offsets[-1] != len(raw):
        raise Unreadable("offsets that are not in order")
    return [raw[start:end] for start, end in pairwise(offsets)]


def refusal(sent: Sent, most_buffer_bytes: int) -> str:
    """Return why a message must not reach the kernel, in words; empty where it may."""
    header, content = sent.header, sent.content
    if not isinstance(header, dict) or not isinstance(content, dict):
        return "header and content are objects"
    kind = header.get("msg_type")
    if kind not in MESSAGES:
        return f"messages of type {str(kind)[:40]!r} are not passed on"
    if sent.channel != "shell":
        return f"nothing is passed on over {sent.channel[:40]!r}"
    if not _is_name(header.get("msg_id")):
        return "a message has an id"
    if sent.buffer_bytes > most_buffer_bytes:
        return f"{sent.buffer_bytes} bytes of data; {most_buffer_bytes} are the most"
    if deeper_than(content, MAX_DEPTH):
        return "the content is nested too deeply"
    return refusal_of_comm(kind, content) if kind.startswith("comm_") and kind != "comm_info_request" else ""


def refusal_of_comm(kind: str, content: Message) -> str:
    """Return why a comm's message must not be obeyed, in words; empty where it may be."""
    if not _is_name(content.get("comm_id")):
        return "a comm has an id"
    if kind == "comm_open" and content.get("target_name") != CONTROL_TARGET:
        return f"only {CONTROL_TARGET!r} is opened from a page"
    if kind != "comm_msg":
        return ""
    data = content.get("data")
    if not isinstance(data, dict) or data.get("method") not in METHODS:
        return "a comm message has a known method"
    if not isinstance(data.get("state", {}), dict) or not _are_paths(data.get("buffer_paths", [])):
        return "a state is an object, and buffers are named by paths"
    return ""


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID


def _are_paths(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(path, list) and path and all(isinstance(step, (str, int)) for step in path) for path in value
    )


def deeper_than(value: object, depth: int) -> bool:
    """Whether lists and objects are nested more than ``depth`` times; walks level by level, so never recurses."""
    level: Sequence[object] = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(outer, (dict, list)) for outer in level)
