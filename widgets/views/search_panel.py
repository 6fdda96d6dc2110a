"""The search panel: the best recipe under a budget, moved by a slider, applied and measured with a button."""

from __future__ import annotations

from widgets import search_rows
from widgets.views.view import View, script, style, synced


class SearchPanel(View):
    """What to search for, the slider, the proposal with its predicted numbers, and what measuring the front showed."""

    _esm = script(
        "shared", "numbers", "price_words", "lane", "tip", "terms", "words", "undone", "panel", "search_words", "search"
    )  # fmt: skip
    _css = style("small_table", "figures", "search")
    shows = frozenset({"model", "recipe", "measured", "search", "frontier", "selection"})

    search = synced()

    def update(self, topics: frozenset[str]) -> None:
        self.search = search_rows.search(self.page_state)
