"""The kernel protocol by hand: frames over the websocket, as a page sends them or as nobody should."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import websocket

FRAMED = "v1.kernel.websocket.jupyter.org"


def frame(channel: str, kind: str, content: object, buffers: tuple[bytes, ...] = (), **header: object) -> bytes:
    """One message in the binary protocol v1."""
    head = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "test", "version": "5.3", **header}
    metadata = {"version": "1.0.0"}
    texts = [json.dumps(part).encode() for part in (head, {}, metadata, content)]
    return join([channel.encode(), *texts, *buffers])


def join(parts: list[bytes]) -> bytes:
    """The parts behind their offsets."""
    count = len(parts) + 1
    offsets = [8 * (count + 1)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join([count.to_bytes(8, "little"), *(at.to_bytes(8, "little") for at in offsets), *parts])


def split(raw: bytes) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Channel, header and content of a message that came."""
    count = int.from_bytes(raw[:8], "little")
    at = [int.from_bytes(raw[8 * (index + 1) : 8 * (index + 2)], "little") for index in range(count)]
    parts = [raw[start:end] for start, end in pairwise(at)]
    return parts[0].decode(), json.loads(parts[1]), json.loads(parts[4])


@dataclass
class Talk:
    """A connection to a kernel."""

    connection: websocket.WebSocket

    def greet(self) -> None:
        """Ask for the kernel's facts until they come: what is sent before the site has reached the kernel is lost."""
        self.connection.settimeout(0.5)
        for _ in range(240):
            self.send(frame("shell", "kernel_info_request", {}))
            try:
                self.until("kernel_info_reply")
                break
            except websocket.WebSocketTimeoutException:
                continue
        self.connection.settimeout(120)

    def send(self, raw: bytes) -> None:
        self.connection.send_binary(raw)

    def states(self) -> dict[str, Any]:
        """Every widget's state, as a page that loads is told; by then the kernel has read whatever was sent before."""
        comm = uuid.uuid4().hex
        self.send(frame("shell", "comm_open", {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {}}))
        self.send(frame("shell", "comm_msg", {"comm_id": comm, "data": {"method": "request_states"}}))
        while True:
            _, header, content = split(self.connection.recv())
            if header["msg_type"] == "comm_msg" and content["comm_id"] == comm:
                found: dict[str, Any] = content["data"]["states"]
                return found

    def until(self, kind: str) -> dict[str, Any]:
        """The content of the next message of a type."""
        while True:
            _, header, content = split(self.connection.recv())
            if header["msg_type"] == kind:
                return content
