"""Which state a view shows: views made from one page or one session share it. (Effect: hears of cells that ran.)"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence

import explorer as px
from widgets.measuring import measure, open_model
from widgets.state import PageState

_STATES: weakref.WeakSet[PageState] = weakref.WeakSet()
_SHELLS: weakref.WeakSet[object] = weakref.WeakSet()
"""Those that tell when a cell of theirs ran."""
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
            _follow(state)
            return state
    if not hasattr(found, "known") or not hasattr(found, "options"):
        raise TypeError(f"a view shows {SOURCES}; this is {type(found).__name__}")
    state = PageState(tuple(models))
    state.adopt(found)
    _STATES.add(state)
    _hear_cells()
    measure(state)
    return state


def follow_code() -> None:
    """Lets every view show what code set in its session meanwhile; called after each cell of a notebook."""
    for state in tuple(_STATES):
        _follow(state)


def _follow(state: PageState) -> None:
    session, shown = state.session, state.shown
    if session is not None and shown is not None and session.recipe.hash != shown.recipe.hash:
        state.recipe_changed()
        measure(state)


def _hear_cells() -> None:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and shell not in _SHELLS:
        _SHELLS.add(shell)
        shell.events.register("post_run_cell", lambda *_: follow_code())


def _opened(name: str, models: tuple[str, ...]) -> PageState:
    state = PageState(models if name in models else (name, *models))
    _STATES.add(state)
    open_model(state, name)
    return state
