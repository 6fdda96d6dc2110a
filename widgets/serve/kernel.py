"""A visitor's kernel: within its memory, and deaf to widget messages that no page sends. Effects: a kernel."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from explorer import limits
from widgets.serve.rules import refusal_of_comm

LOG = logging.getLogger("widgets")
WRITABLE = frozenset({"value", "index", "error"})
"""What a browser may write of an ordinary control: what a person sets with it."""
MOST_WRITTEN = 10_000
"""The largest value that a control takes, as JSON text; files come by messages of our own views."""
OURS = "widgets."
TURN_S = 5e-4
"""After so long a thread that computes in Python lets one go on that waits, such as the one that answers clicks. With
Python's own 5 ms an answer, which takes several turns, was late more often while a job ran."""
Handler = Callable[[Any, Any, dict[str, Any]], None]


class VisitorKernel(IPythonKernel):
    """IPython's kernel, which checks every comm message before a widget hears of it.

    ipywidgets is imported by the page and not here: it looks for the kernel when it is imported, and where it cannot
    be, the page says so.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for kind in ("comm_open", "comm_msg", "comm_close"):
            self.shell_handlers[kind] = self._checked(kind, self.shell_handlers[kind])

    def _checked(self, kind: str, handle: Handler) -> Handler:
        def checked(stream: Any, ident: Any, message: dict[str, Any]) -> None:
            reason = reason_against(kind, message, self.comm_manager.comms)
            if reason:
                LOG.warning("ignored a %s: %s", kind, reason)
            else:
                handle(stream, ident, message)

        return checked


def reason_against(kind: str, message: dict[str, Any], comms: dict[str, Any]) -> str:
    """Return why a comm message from a browser is not obeyed, in words; empty where it is.

    ``comms``: the kernel's comms by id. A page may ask for states, send our views their messages, and set the value of
    an ordinary control. It may not make widgets, close them, or change their layout, style or children.
    """
    content = message.get("content")
    if not isinstance(content, dict):
        return "it has no content"
    reason = refusal_of_comm(kind, content)
    if reason or kind == "comm_open":
        return reason
    import ipywidgets

    widget = _widget_of(comms.get(content["comm_id"]))
    if widget is ipywidgets.Widget:
        return "" if kind == "comm_close" or content["data"]["method"] == "request_states" else "it is the control comm"
    if kind == "comm_close" or widget is None:
        return "a page closes no widget" if widget is not None else "there is no such comm"
    return _reason_against_change(widget, content["data"])


def _widget_of(comm: Any) -> Any:
    """The widget that listens to a comm, the class ``Widget`` for the control comm, or None."""
    return getattr(getattr(comm, "_msg_callback", None), "__self__", None)


def _reason_against_change(widget: Any, data: dict[str, Any]) -> str:
    import ipywidgets

    method, name = data["method"], type(widget).__name__
    if method == "request_state":
        return ""
    if type(widget).__module__.startswith(OURS):
        return "" if method == "custom" else f"{name} takes no state from a browser"
    if method == "custom":
        return "" if isinstance(widget, (ipywidgets.Button, ipywidgets.FileUpload)) else f"{name} takes no messages"
    state = data.get("state") or {}
    if method != "update" or not isinstance(widget, ipywidgets.ValueWidget) or not state.keys() <= WRITABLE:
        return f"{name} takes no {method} of {', '.join(map(str, state))[:80]!r}"
    size = len(json.dumps(state, default=str))
    return "" if size <= MOST_WRITTEN else f"{name} takes no value of {size} characters"


def main() -> None:
    """Run the kernel that the site asked for on the command line."""
    limits.enforce_memory(limits.of_this_kernel())
    sys.setswitchinterval(TURN_S)
    IPKernelApp.launch_instance(kernel_class=VisitorKernel)
