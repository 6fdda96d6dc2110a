"""The top bar: model, device, data, presets, undo and redo, the running job, the tour and presenter mode."""

from __future__ import annotations

from widgets import payloads, taking
from widgets.views.view import View, script, style, synced


class TopBar(View):
    """What the page looks at, and what it is doing."""

    _esm = script("shared", "menu", "taking", "share_menu", "remember", "presenter", "tip", "terms", "words", "top")
    _css = style("menu", "presenter", "share", "top")
    shows = frozenset({"model", "model-kept", "recipe", "measured", "job", "taking"})

    top = synced()
    job = synced()
    share = synced()

    def update(self, topics: frozenset[str]) -> None:
        self.job = payloads.job(self.page_state)
        self.top = payloads.top(self.page_state)
        self.share = taking.told(self.page_state.taking)
