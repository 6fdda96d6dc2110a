"""The casts panel: every place where a tensor changes its format, and what would spare it."""

from __future__ import annotations

from widgets import boundary_rows
from widgets.measuring import ask
from widgets.views.view import View, script, style, synced


class CastsPanel(View):
    """All casts in a table that sorts; changes that remove casts; what goes up and down again; regions; layouts."""

    _esm = script(
        "shared",
        "numbers",
        "lane",
        "time_rows",
        "tip",
        "terms",
        "words",
        "small_table",
        "undone",
        "casts_rows",
        "casts",
    )
    _css = style("small_table", "casts")
    shows = frozenset({"model", "recipe", "measured", "times", "casts", "selection"})

    casts = synced()
    beyond = synced()

    def __init__(self, source: object = None) -> None:
        super().__init__(source)
        ask(self.page_state, boundary_rows.QUESTION)

    def update(self, topics: frozenset[str]) -> None:
        if topics & {"model", "recipe", "times"}:
            self.casts = boundary_rows.casts(self.page_state)
        if topics & {"model", "recipe", "casts"}:
            self.beyond = boundary_rows.findings(self.page_state)
