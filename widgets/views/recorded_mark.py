"""The mark over a recorded exploration: where and when its numbers were found, and what can be done with it."""

from __future__ import annotations

import traitlets

from widgets.payloads import mark_of
from widgets.views.view import View, script, style


class RecordedMark(View):
    """A strip that stays as long as a recorded exploration is on show; nothing for a session that runs here."""

    _esm = script("shared", "recorded")
    _css = style("recorded")
    shows = frozenset({"model"})

    mark = traitlets.Unicode().tag(sync=True)
    recipes = traitlets.Int().tag(sync=True)

    def update(self, topics: frozenset[str]) -> None:
        session = self.page_state.session
        self.mark = mark_of(session)
        self.recipes = len(session.recipes()) if self.mark else 0
