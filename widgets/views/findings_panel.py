"""The findings panel: what is wrong with the recipe, why, and what to do about it."""

from __future__ import annotations

from widgets import finding_rows
from widgets.measuring import ask
from widgets.views.view import View, script, style, synced


class FindingsPanel(View):
    """Each finding with its cause, evidence and remedies; a remedy is tried and applied with a click."""

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
        "findings_rows",
        "findings",
    )
    _css = style("small_table", "findings")
    shows = frozenset({"model", "recipe", "findings", "preview"})

    findings = synced()

    def __init__(self, source: object = None) -> None:
        super().__init__(source)
        ask(self.page_state, finding_rows.QUESTION)

    def update(self, topics: frozenset[str]) -> None:
        self.findings = finding_rows.findings(self.page_state)
