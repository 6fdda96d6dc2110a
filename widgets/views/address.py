"""The page's address: a link reproduces the view, and a page that is opened again is as it was left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import traitlets

from widgets.answering import BadMessage, Fields, Reply
from widgets.keeping import KEPT, Keeper
from widgets.views.view import View, script, style


class Address(View):
    """Nothing to see: hears what the browser's address asks for, and says what it should be."""

    _esm = script("shared", "address")
    _css = style()
    shows = KEPT
    own: ClassVar[dict[str, set[str]]] = {"arrive": {"model", "recipe", "page", "inputs"}}

    query = traitlets.Unicode().tag(sync=True)

    def __init__(self, source: object = None, sections: Sequence[Any] = ()) -> None:
        self.keeper: Keeper | None = None
        super().__init__(source)
        self.keeper = Keeper(self.page_state, sections, self._write)

    def update(self, topics: frozenset[str]) -> None:
        if self.keeper is not None:
            self.keeper.hear(topics)

    def act(self, kind: str, fields: Fields) -> Reply | None:
        assert self.keeper is not None
        if words := self.keeper.arrive(fields):
            raise BadMessage(words)
        return None

    def _write(self) -> None:
        if self.keeper is not None:
            self.query = self.keeper.query
