"""Doing what a finding proposes, so that Undo takes it back."""

from __future__ import annotations

from typing import Any

from widgets.jobs import Task
from widgets.measuring import measure
from widgets.state import CameFrom, PageState

OTHER_FORM = {"balance": "channels balanced"}
"""What a remedy made of the model, in few words."""


def apply_remedy(state: PageState, remedy: Any) -> None:
    """Does what ``remedy`` proposes: at once where it chooses precisions, else in the worker, for it runs the model."""
    session = state.session
    if remedy.kind == "precision":
        session.treat(remedy)
        state.recipe_changed()
        measure(state)
        return

    def work(task: Task) -> None:
        found = session.treat(remedy)
        task.post(lambda: _take(state, session, found, OTHER_FORM.get(remedy.kind, remedy.words)))

    state.jobs.submit("Applying a remedy", work)
    state.progress("applying a remedy")


def go_back(state: PageState) -> bool:
    """Returns to the session that a remedy replaced, once every change since is undone; False where there is none."""
    if state.came_from is None or not goes_back_next(state):
        return False
    state.adopt(state.came_from.session)
    return True


def goes_back_next(state: PageState) -> bool:
    """Whether the next Undo returns to the session that a remedy replaced."""
    came_from = state.came_from
    return came_from is not None and not (state.session.can_undo and state.session.recipe.hash != came_from.recipe)


def _take(state: PageState, session: Any, found: Any, words: str) -> None:
    if state.session is not session:
        return
    if found is session:
        state.scales_changed()
    else:
        state.adopt(found, CameFrom(session, found.recipe.hash, words))
    measure(state)
