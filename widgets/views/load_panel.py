"""The load panel: opens bundled models, a hub's, local and uploaded ones, recorded explorations, on data of choice."""

from __future__ import annotations

from typing import Any, ClassVar

from widgets import loading, loading_rows
from widgets.answering import Fields, Reply, reply_to, text_field, whole_field
from widgets.views.view import View, script, style, synced

MAX_NAME = 400
LARGEST = 2**40


class LoadPanel(View):
    """Hidden until the top bar's button opens it; what is typed in it is the browser's, what is opened the kernel's."""

    _esm = script("shared", "load_words", "load_upload", "load_fields", "load_data", "load_status", "load")
    _css = style("load")
    shows = frozenset({"load", "model", "model-kept", "job", "ranges"})
    own: ClassVar[dict[str, set[str]]] = {
        "upload": {"role", "name", "size"},
        "piece": {"upload", "at"},
        "drop": {"role"},
        "load": {"choice"},
        "put_away": set(),
    }

    offer = synced()
    standing = synced()
    progress = synced()

    def __init__(self, source: object = None) -> None:
        self._came: Any = ()
        super().__init__(source)

    def update(self, topics: frozenset[str]) -> None:
        state = self.page_state
        if not self.offer:
            self.offer = loading_rows.offer(state.models, state.loading.limits)
        self.standing = loading_rows.standing(state)
        self.progress = loading_rows.progress(state)

    def answer(self, content: object) -> Reply:
        """As every view's; but what its own messages meet stands in the panel, not in the page's banner."""
        if isinstance(content, dict) and content.get("type") in list(self.own):
            return reply_to(content, self.own, self.act)
        return super().answer(content)

    def act(self, kind: str, fields: Fields) -> Reply | None:
        state = self.page_state
        if kind == "upload":
            role, name = text_field(fields, "role", 40), text_field(fields, "name", MAX_NAME)
            return loading.begin(state, role, name, whole_field(fields, "size", 0, LARGEST))
        if kind == "piece":
            number, at = whole_field(fields, "upload", 1, LARGEST), whole_field(fields, "at", 0, LARGEST)
            return loading.take_piece(state, number, at, self._came)
        if kind == "drop":
            loading.drop(state, text_field(fields, "role", 40))
        elif kind == "load":
            loading.ask_to_load(state, fields["choice"])
        else:
            loading.dismiss(state)
        return None

    def _asked(self, view: object, content: object, buffers: object) -> None:
        """A message and its bytes, which belong to it alone."""

        def hear() -> None:
            self._came = buffers or ()
            try:
                super(LoadPanel, self)._asked(view, content, ())
            finally:
                self._came = ()

        self._main.call(hear)
