"""The top bar: model, device, data, presets, undo and redo, the running job."""

from __future__ import annotations

from widgets import payloads
from widgets.views.view import View, script, style, synced


class TopBar(View):
    """What the page looks at, and what it is doing."""

    _esm = script("shared", "top")
    _css = style("top")
    shows = frozenset({"model", "model-kept", "recipe", "measured", "job"})

    top = synced()
    job = synced()

    def update(self, topics: frozenset[str]) -> None:
        self.job = payloads.job(self.page_state)
        self.top = payloads.top(self.page_state)
