"""The recipe panel: counts, choices with reasons, JSON out and in."""

from __future__ import annotations

from widgets import payloads
from widgets.views.view import View, script, style, synced


class RecipePanel(View):
    """What the recipe chooses and why; copies, saves and loads it."""

    _esm = script("shared", "numbers", "lane", "taking", "recipe")
    _css = style("recipe")
    shows = frozenset({"model", "recipe"})

    recipe = synced()

    def update(self, topics: frozenset[str]) -> None:
        session = self.page_state.session
        self.recipe = payloads.recipe(self.page_state.shown, session.precisions if session else ())
