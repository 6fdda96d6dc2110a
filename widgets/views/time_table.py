"""The time table: where the recipe's time goes, op by op and cast by cast, beside the measured whole."""

from __future__ import annotations

from widgets import timings
from widgets.views.view import View, script, style, synced


class TimeTable(View):
    """The slowest ops and casts, how near each is to what this device could do, their sum and what it leaves out."""

    _esm = script("shared", "numbers", "time_rows", "tip", "terms", "words", "time_table")
    _css = style("time_table")
    shows = frozenset({"model", "recipe", "measured", "times"})

    table = synced()

    def update(self, topics: frozenset[str]) -> None:
        # A quality that tightens changes no time.
        if topics != {"measured"} or self.table.get("state") != "ready":
            self.table = timings.time_table(self.page_state)
