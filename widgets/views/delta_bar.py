"""The delta bar: score, KL, latency, weights and casts of the recipe against FP32."""

from __future__ import annotations

from widgets import payloads
from widgets.views.view import View, script, style, synced


class DeltaBar(View):
    """Five cards; every number says whether it is predicted, measured or emulated."""

    _esm = script("shared", "numbers", "tip", "terms", "words", "price_words", "latency_card", "cards", "delta")
    _css = style("delta")
    shows = frozenset({"model", "recipe", "measured", "times", "map", "job"})

    delta = synced()

    def update(self, topics: frozenset[str]) -> None:
        self.delta = payloads.delta(self.page_state)
