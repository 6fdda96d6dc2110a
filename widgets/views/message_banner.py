"""The message banner: the last error in words."""

from __future__ import annotations

import traitlets

from widgets import plain
from widgets.views.view import View, script, style


class MessageBanner(View):
    """Shows what went wrong until it is dismissed or something works."""

    _esm = script("shared", "message")
    _css = style("message")
    shows = frozenset({"message"})

    message = traitlets.Unicode().tag(sync=True)

    def update(self, topics: frozenset[str]) -> None:
        self.message = plain.text(self.page_state.message, 1000)
