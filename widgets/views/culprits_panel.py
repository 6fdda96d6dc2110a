"""The culprits panel: the samples whose output the recipe moved most, as a person can look at them."""

from __future__ import annotations

from widgets import culprit_rows
from widgets.views.view import View, script, style, synced


class CulpritsPanel(View):
    """Pictures or tokens, prediction before and after, and the op where each sample leaves FP32's way."""

    _esm = script(
        "shared",
        "numbers",
        "lane",
        "time_rows",
        "tip",
        "terms",
        "undone",
        "panel",
        "words",
        "culprits_rows",
        "culprits",
    )
    _css = style("small_table", "culprits")
    shows = frozenset({"model", "recipe", "culprits"})

    culprits = synced()

    def update(self, topics: frozenset[str]) -> None:
        self.culprits = culprit_rows.culprits(self.page_state)
