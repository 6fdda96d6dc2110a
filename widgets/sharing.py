"""Which state a view shows: views made from one page or one session share it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import explorer as px
from widgets.measuring import measure, open_model
from widgets.state import PageState

_STATES: weakref.WeakSet[PageState] = weakref.WeakSet()
SOURCES = "a session from explorer.open(...), a page, a view, or the name of a bundled model"


def state_of(source: object = None, models: Sequence[str] = px.MODELS) -> PageState:
    """The state for a page or view, for a session (one state per session), or for a bundled model's name.

    A name (None: the first of ``models``) is opened in the background. Raises TypeError for anything else.
    """
    found = getattr(source, "page_state", source)
    if isinstance(found, PageState):
        return found
    if found is None or isinstance(found, str):
        return _opened(found if isinstance(found, str) else models[0], tuple(models))
    for state in _STATES:
        if state.session is found:
            return state
    if not hasattr(found, "known") or not hasattr(found, "options"):
        raise TypeError(f"a view shows {SOURCES}; this is {type(found).__name__}")
    state = PageState(tuple(models))
    state.adopt(found)
    _STATES.add(state)
    measure(state)
    return state


def _opened(name: str, models: tuple[str, ...]) -> PageState:
    state = PageState(models if name in models else (name, *models))
    _STATES.add(state)
    open_model(state, name)
    return state
