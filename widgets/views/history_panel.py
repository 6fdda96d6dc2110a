"""The history panel: every recipe that was chosen, as a tree; a click returns to any of them."""

from __future__ import annotations

from typing import Any

import traitlets

from widgets import history_rows
from widgets.measuring import ask
from widgets.views.view import View, script, style, synced


class HistoryPanel(View):
    """The tree of recipes with lanes like a version log's, each in words and with what was measured of it."""

    _esm = script("shared", "numbers", "tip", "terms", "words", "history_lanes", "history_rows", "history")
    _css = style("small_table", "history")
    shows = frozenset({"model", "recipe", "measured", "trials"})

    nodes: traitlets.List[Any] = traitlets.List().tag(sync=True)
    standing = synced()

    def __init__(self, source: object = None) -> None:
        super().__init__(source)
        ask(self.page_state, history_rows.QUESTION)

    def update(self, topics: frozenset[str]) -> None:
        if topics & {"model", "recipe"}:
            self.nodes = history_rows.nodes(self.page_state)
        self.standing = history_rows.standing(self.page_state)
