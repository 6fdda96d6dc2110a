"""A section that folds: its heading, and a body that is made when it is first opened."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets
import traitlets

from widgets.answering import BadMessage, Fields, Reply, reply_to
from widgets.jobs import MainLoop
from widgets.views.view import Pane, script, style

Make = Callable[[], ipywidgets.Widget]


class SectionHead(Pane):
    """The heading of a section: a button that opens and closes it."""

    _esm = script("shared", "section")
    _css = style("section")

    title = traitlets.Unicode().tag(sync=True)
    opened = traitlets.Bool(False).tag(sync=True)

    def __init__(self, title: str, turn: Callable[[bool], None]) -> None:
        super().__init__(MainLoop())
        self.title, self._turn = title, turn

    def answer(self, content: object) -> Reply:
        return reply_to(content, {"hello": set(), "turn": {"open"}}, self._act)

    def _act(self, kind: str, fields: Fields) -> None:
        if kind == "turn":
            if not isinstance(fields["open"], bool):
                raise BadMessage("open must be true or false")
            self._turn(fields["open"])
            self.opened = fields["open"]


class Section(ipywidgets.VBox):
    """A heading over a body; ``make()`` gives the body when the section is first opened.

    A body that cannot be made is an answer to the click that asked for it, and is tried again at the next.
    """

    def __init__(self, title: str, make: Make) -> None:
        self.head = SectionHead(title, self.turn)
        self._make = make
        self._body: ipywidgets.Widget | None = None
        super().__init__([self.head])
        self.add_class("px-section")

    def turn(self, opened: bool) -> None:
        """Shows the body, made once, or takes it away."""
        if opened and self._body is None:
            self._body = self._make()
        self.children = [self.head, self._body] if opened else [self.head]
