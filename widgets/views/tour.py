"""The guided tour: an offer below the bar and a callout that leads over the page; what it must know of the session."""

from __future__ import annotations

from typing import Any

from widgets.payloads import mark_of
from widgets.plain import text
from widgets.state import PageState
from widgets.views.view import View, script, style, synced


class Tour(View):
    """Nothing of its own to show but a line: it points at the other views."""

    _esm = script("shared", "remember", "tour_place", "tour_steps", "tour_page", "tour_card", "tour")
    _css = style("tour")
    shows = frozenset({"model", "recipe", "selection"})

    tour = synced(ready=False)

    def update(self, topics: frozenset[str]) -> None:
        self.tour = standing(self.page_state)


def standing(state: PageState) -> dict[str, Any]:
    """Return where a page stands, so that a tour can end where it began: ``{ready: False}`` before a model is open.

    model, hash: of the recipe. node: its place in the history. recorded: nothing runs. selection: the ops selected.
    """
    session = state.session
    if session is None or state.opening:
        return {"ready": False}
    return {
        "ready": True, "model": text(session.name), "hash": session.recipe.hash, "node": session.node.id,
        "recorded": bool(mark_of(session)), "selection": list(state.selection),
    }  # fmt: skip
