"""A section that folds: its heading, and a body that is made when it is first opened."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets
import traitlets

from widgets.answering import BadMessage, Fields, Reply, reply_to
from widgets.jobs import MainLoop
from widgets.views.view import Pane, StateView, script, style

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

    A body that cannot be made is an answer to the click that asked for it, and is tried again at the next. While the
    section is closed its views rest: what nobody sees costs a click nothing.
    """

    def __init__(self, title: str, make: Make) -> None:
        self.head = SectionHead(title, self.turn)
        self._make = make
        self._body: ipywidgets.Widget | None = None
        self._opened = False
        super().__init__([self.head])
        self.add_class("px-section")

    def turn(self, opened: bool) -> None:
        """Shows the body, made once, or takes it away."""
        if opened and self._body is None:
            self._body = self._make()
        elif opened != self._opened:
            for view in self._views():
                (view.follow if opened else view.rest)()
        self._opened = opened
        self.children = [self.head, self._body] if opened and self._body is not None else [self.head]

    def _views(self) -> list[StateView]:
        """Those in the body: it is one itself, or holds them."""
        parts = () if self._body is None else (self._body, *getattr(self._body, "children", ()))
        return [part for part in parts if isinstance(part, StateView)]
