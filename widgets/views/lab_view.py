"""What the format lab's two views share: one number in one state, alone or with each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import traitlets

from widgets import lab_state
from widgets.answering import Reply
from widgets.lab_state import LabState
from widgets.views.view import StateView, synced


class LabView(StateView):
    """A view of a lab's number, with a row for each of its formats.

    ``lab``: the state to show; left out, the view has its own, which starts with ``number`` and ``formats``.
    """

    shows = frozenset({"number", "formats"})

    number = synced()
    rows: Any = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(
        self, lab: LabState | None = None, *, number: float | str = 0.1, formats: Sequence[str] | None = None
    ) -> None:
        self.lab = lab or LabState(number, formats)
        super().__init__(self.lab)

    def answer(self, content: object) -> Reply:
        return lab_state.answer(self.lab, content)
