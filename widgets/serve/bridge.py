"""The websocket between a page and its kernel: what widgets need passes, all else is dropped. Effects: log, kernel."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler, read_header_from_binary_message

from widgets.serve.rules import Unreadable, read, refusal

FRAMED = "v1.kernel.websocket.jupyter.org"
KEPT_BACK = frozenset({"execute_input", "execute_result", "execute_reply", "error", "stream", "input_request"})
"""What shows code, its output or a traceback: the page's own views say what a visitor needs to know."""
MOST_REFUSALS = 1000
"""After so many the connection is closed: no page of ours causes any."""
LOGGED_REFUSALS = 10


class Bridge(ZMQChannelsWebsocketConnection):
    """Passes messages on to a visitor's kernel that :func:`widgets.serve.rules.refusal` has nothing against."""

    refused = 0

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """Pass one message on, or drop it; whatever it holds, nothing is raised."""
        reason = self._reason_against(incoming_msg)
        if not reason:
            super().handle_incoming_message(incoming_msg)
            return
        self.refused += 1
        if self.refused <= LOGGED_REFUSALS:
            self.log.warning("refused a message to kernel %s: %s", self.kernel_id, reason)
        if self.refused >= MOST_REFUSALS:
            self.websocket_handler.close(1008, "too many messages that are not passed on")

    def tell_end(self, reason: str) -> None:
        """Tell the page that its kernel is no more, and why; then close."""
        told = self.session.msg("status", {"execution_state": "dead", "reason": reason})
        try:
            self.write_message(serialize_msg_to_ws_v1(told, "iopub", self.session.pack), binary=True)
        except WebSocketClosedError:
            return
        self.websocket_handler.close(1001, "the session ended")

    def on_restart_failed(self) -> None:
        """Say nothing: the kernels' manager has told the page by :meth:`tell_end`."""

    def _reason_against(self, incoming: Any) -> str:
        try:
            sent = read(incoming)
        except Unreadable as error:
            return f"unreadable: {error}"
        return refusal(sent, self.websocket_handler.settings["most_buffer_bytes"])


class Channels(VoilaKernelWebsocketHandler):
    """The websocket of one page, which keeps code, output and tracebacks back."""

    async def get(self, kernel_id: str) -> None:
        """Open the websocket for a page that speaks the binary protocol v1, as every page of ours does.

        The older one is refused: reading a header from its frames as if they were v1's would take forever.
        """
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if FRAMED not in [protocol.strip() for protocol in offered.split(",")]:
            raise HTTPError(400, f"the websocket's protocol is {FRAMED}")
        await super().get(kernel_id=kernel_id)

    def write_message(self, message: Any, binary: bool = False) -> Any:
        """Send a kernel's message to the page, unless it is one of ``KEPT_BACK``."""
        header = read_header_from_binary_message(message) if isinstance(message, bytes) else None
        if header is None or header.get("msg_type") in KEPT_BACK:
            return None
        return super().write_message(message, binary)
