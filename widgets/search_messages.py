"""What a browser may ask of the search: its goal, locks, to start, the slider, to apply or measure what was found."""

from __future__ import annotations

import math
from dataclasses import replace

from widgets.answering import BadMessage, Fields, text_field
from widgets.front_marks import counts_words
from widgets.measuring import measure
from widgets.searching import OBJECTIVES
from widgets.state import PageState

MAX_NAME = 200
MAX_OPS = 5000
FIELDS: dict[str, set[str]] = {
    "search_for": {"objective", "precisions"},
    "lock": {"ops", "on"},
    "lock_mine": set(),
    "search": set(),
    "budget": {"value"},
    "take_proposal": {"hash"},
    "verify": set(),
}
QUIET = {"budget"}


def search_for(state: PageState, fields: Fields) -> None:
    """Changes what the next search is for; nothing runs."""
    _open(state)
    objective, names = text_field(fields, "objective", MAX_NAME), fields["precisions"]
    if objective not in OBJECTIVES:
        raise BadMessage(f"unknown objective {objective[:40]!r}; known: {', '.join(OBJECTIVES)}")
    if not isinstance(names, list) or not all(name in state.session.precisions for name in names):
        raise BadMessage(f"precisions must be a list of some of {', '.join(state.session.precisions)}")
    state.search.goal = replace(state.search.goal, objective=objective, precisions=tuple(dict.fromkeys(names)))
    state.changed("search")


def lock(state: PageState, fields: Fields) -> None:
    """Locks ops, so that a search leaves them as they are, or sets them free."""
    _open(state)
    assert state.shown is not None
    ops, on = fields["ops"], fields["on"]
    known = state.shown.place
    if not isinstance(ops, list) or len(ops) > MAX_OPS or not all(isinstance(op, str) and op in known for op in ops):
        raise BadMessage("ops must be a list of ids of this model's ops")
    if not isinstance(on, bool):
        raise BadMessage("on must be true or false")
    locked = state.search.locked
    state.search.locked = locked | set(ops) if on else locked - set(ops)
    state.changed("search")


def lock_mine(state: PageState, fields: Fields) -> None:
    """Locks every op whose precision a person chose."""
    _open(state)
    assert state.shown is not None
    ops = state.shown.ops
    state.search.locked |= set(ops.index[ops["reason"] == "user"])
    state.changed("search")


def search(state: PageState, fields: Fields) -> None:
    """Starts the search."""
    _want(state, "search")


def verify(state: PageState, fields: Fields) -> None:
    """Starts measuring what was found."""
    if state.search.frontier is None:
        raise BadMessage("nothing was found yet that could be measured; search first")
    _want(state, "verify")


def budget(state: PageState, fields: Fields) -> None:
    """Moves the slider; the proposal follows."""
    _open(state)
    value = fields["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadMessage("value must be a number")
    if state.search.frontier is None:
        raise BadMessage("there is no frontier yet that a budget could move on; search first")
    state.search.move(float(value))
    state.changed("search")
    measure(state)


def take_proposal(state: PageState, fields: Fields) -> None:
    """Makes the proposal on show the recipe."""
    _open(state)
    proposal = state.search.proposal
    if proposal is None or text_field(fields, "hash", MAX_NAME) != proposal.recipe.hash:
        raise BadMessage("the proposal has changed since that was shown; choose again")
    state.session.apply(proposal.recipe, _name(state))
    state.recipe_changed()
    measure(state)


def _name(state: PageState) -> str:
    """How the history calls the proposal: "search, at most 48.5 ms: 22 fp32, 9 int8"."""
    found = state.search
    assert found.budget is not None
    memory = found.frontier.objective == "memory"
    most = f"{found.budget / 1e6:.3g} MB" if memory else f"{found.budget:.3g} {found.frontier.unit}"
    return f"search, at most {most}: {counts_words(found.proposal.recipe)}"


def _want(state: PageState, what: str) -> None:
    _open(state)
    state.search.wanted, state.search.error = what, ""
    state.changed("search")
    measure(state)


def _open(state: PageState) -> None:
    if state.session is None or state.shown is None:
        raise BadMessage("no model is open yet; wait until it is")


ACTIONS = {
    "search_for": search_for,
    "lock": lock,
    "lock_mine": lock_mine,
    "search": search,
    "budget": budget,
    "take_proposal": take_proposal,
    "verify": verify,
}
