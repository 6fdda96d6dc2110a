"""What a browser may ask: each message is checked, carried out on the state and answered; nothing else is obeyed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import explorer as px
from widgets import boundary_rows, culprit_rows, finding_rows, search_messages, share_messages
from widgets.answering import Act, BadMessage, Fields, Reply, reply_to, text_field, whole_field
from widgets.measuring import ask, measure, open_model
from widgets.plain import text
from widgets.remedies import apply_remedy, go_back
from widgets.state import PageState

QUESTIONS = {question.topic: question for question in (culprit_rows.QUESTION, finding_rows.QUESTION)}
"""What a browser may ask the engine beyond the page's own numbers."""
MAX_ROW = 10_000
MAX_NODE = 1_000_000
MAX_OPS = 5000
MAX_NAME = 200
MAX_FILTER = 200
MAX_RECIPE = 2_000_000


def answer(
    state: PageState, content: object, own: Mapping[str, set[str]] | None = None, carry: Act | None = None
) -> Reply:
    """Carries out one message and returns its reply: ``{id, ok: True, ...}`` or ``{id, ok: False, error}``.

    own: messages, with their fields, that one view knows besides; ``carry(kind, fields)`` carries those out.
    """
    own = own or {}

    def act(kind: str, fields: Fields) -> Reply | None:
        state.watched = state.watched or kind != "hello"
        return carry(kind, fields) if carry is not None and kind in own else ACTIONS[kind](state, fields)

    reply = reply_to(content, {**FIELDS, **own}, act)
    if not reply["ok"]:
        state.complain(str(reply["error"]))
    elif reply["type"] not in QUIET:
        state.complain("")
    return reply


def _session(state: PageState) -> Any:
    if state.session is None:
        raise BadMessage("no model is open yet; wait until it is")
    return state.session


def _ops(state: PageState, fields: Fields) -> list[str]:
    ops = fields["ops"]
    if not isinstance(ops, list) or len(ops) > MAX_OPS or not all(isinstance(op, str) for op in ops):
        raise BadMessage(f"ops must be a list of at most {MAX_OPS} op ids")
    _session(state)
    assert state.shown is not None
    known = state.shown.place
    for op in ops:
        if op not in known:
            raise BadMessage(f"this model has no op {op[:80]!r}")
    return list(dict.fromkeys(ops))


def _after(state: PageState) -> None:
    state.recipe_changed()
    measure(state)


def _set(state: PageState, fields: Fields) -> None:
    ops, precision = _ops(state, fields), text_field(fields, "precision", MAX_NAME)
    session = _session(state)
    if precision not in session.precisions:
        raise BadMessage(f"unknown precision {precision[:40]!r}; this page offers {', '.join(session.precisions)}")
    if not ops:
        raise BadMessage("ops is empty: there is nothing to set")
    session.set(ops, precision, reason="user")
    _after(state)


def _preset(state: PageState, fields: Fields) -> None:
    name, session = text_field(fields, "name", MAX_NAME), _session(state)
    if name not in state.presets:
        raise BadMessage(f"unknown preset {name[:40]!r}; known: {', '.join(state.presets)}")
    session.apply(state.presets[name])
    _after(state)


def _apply(state: PageState, fields: Fields) -> Reply:
    words, session = text_field(fields, "json", MAX_RECIPE), _session(state)
    if not words.strip():
        raise BadMessage("there is no recipe: paste its JSON or choose a file")
    session.apply(px.Recipe.from_json(words))
    _after(state)
    return {"warning": text(session.misfit(session.recipe))}


def _undo(state: PageState, fields: Fields) -> None:
    _session(state)
    if go_back(state):
        measure(state)
    elif state.session.can_undo:
        state.session.undo()
        _after(state)


def _redo(state: PageState, fields: Fields) -> None:
    if _session(state).can_redo:
        state.session.redo()
        _after(state)


def _reset(state: PageState, fields: Fields) -> None:
    _session(state).reset()
    _after(state)


def _go_to(state: PageState, fields: Fields) -> None:
    session = _session(state)
    session.go_to(whole_field(fields, "node", 0, MAX_NODE))
    _after(state)


def _open_model(state: PageState, fields: Fields) -> None:
    name = text_field(fields, "model", MAX_NAME)
    if name not in state.models:
        raise BadMessage(f"unknown model {name[:40]!r}; this page offers {', '.join(state.models)}")
    if state.opening != name:
        open_model(state, name)


def _hello(state: PageState, fields: Fields) -> None:
    if not state.watched:
        state.watched = True
        measure(state)


def _measure(state: PageState, fields: Fields) -> None:
    _session(state)
    state.try_again()
    measure(state)


def _cancel(state: PageState, fields: Fields) -> None:
    state.cancel()


def _select(state: PageState, fields: Fields) -> None:
    state.selection = tuple(_ops(state, fields))
    state.changed("selection")


def _filter(state: PageState, fields: Fields) -> None:
    state.filter = text_field(fields, "text", MAX_FILTER)
    state.changed("filter")


def _dismiss(state: PageState, fields: Fields) -> None:
    state.complain("")


def _recipe_json(state: PageState, fields: Fields) -> Reply:
    session = _session(state)
    return {"json": session.recipe.to_json(), "name": f"{session.name}-{session.recipe.hash[:8]}.recipe.json"}


def _analyse(state: PageState, fields: Fields) -> None:
    topic = text_field(fields, "topic", MAX_NAME)
    _session(state)
    if topic not in QUESTIONS:
        raise BadMessage(f"nobody answers {topic[:40]!r}; known: {', '.join(QUESTIONS)}")
    ask(state, replace(QUESTIONS[topic], follows=False))


def _on_show(state: PageState, fields: Fields) -> None:
    """Raises ``BadMessage`` unless the message is about the recipe on show: rows of a former one are others."""
    _session(state)
    assert state.shown is not None
    if text_field(fields, "hash", MAX_NAME) != state.shown.recipe.hash:
        raise BadMessage("the recipe has changed since that was shown; choose again")


def _fewer_casts(state: PageState, fields: Fields) -> None:
    _on_show(state, fields)
    kind = text_field(fields, "kind", MAX_NAME)
    toggles = boundary_rows.toggles_of(state, kind, whole_field(fields, "row", 0, MAX_ROW))
    if kind not in ("removals", "redundant") or not toggles:
        raise BadMessage(f"there is no such change among the {kind[:40]!r} on show")
    recipe = state.session.recipe
    for precision in dict.fromkeys(precision for _, precision in toggles):
        recipe = recipe.with_precision([op for op, asked in toggles if asked == precision], precision, "fewer casts")
    state.session.apply(recipe)
    _after(state)


def _remedy(state: PageState, fields: Fields) -> tuple[int, int, Any]:
    _on_show(state, fields)
    finding, remedy = (whole_field(fields, name, 0, MAX_ROW) for name in ("finding", "remedy"))
    found = finding_rows.found(state, finding, remedy)
    if found is None or not found.can_be_tried:
        raise BadMessage("there is no such remedy on show that can be tried")
    return finding, remedy, found


def _preview(state: PageState, fields: Fields) -> None:
    ask(state, finding_rows.preview_of(*_remedy(state, fields)))


def _apply_remedy(state: PageState, fields: Fields) -> None:
    apply_remedy(state, _remedy(state, fields)[2])


ACTIONS: dict[str, Callable[[PageState, Fields], Reply | None]] = {
    "hello": _hello,
    "set": _set,
    "preset": _preset,
    "apply": _apply,
    "undo": _undo,
    "redo": _redo,
    "reset": _reset,
    "go_to": _go_to,
    "open": _open_model,
    "measure": _measure,
    "cancel": _cancel,
    "select": _select,
    "filter": _filter,
    "dismiss": _dismiss,
    "recipe_json": _recipe_json,
    "analyse": _analyse,
    "fewer_casts": _fewer_casts,
    "preview": _preview,
    "remedy": _apply_remedy,
    **search_messages.ACTIONS,
    **share_messages.ACTIONS,
}
FIELDS: dict[str, set[str]] = {name: set() for name in ACTIONS} | {
    "set": {"ops", "precision"},
    "preset": {"name"},
    "go_to": {"node"},
    "apply": {"json"},
    "open": {"model"},
    "select": {"ops"},
    "filter": {"text"},
    "analyse": {"topic"},
    "fewer_casts": {"kind", "row", "hash"},
    "preview": {"finding", "remedy", "hash"},
    "remedy": {"finding", "remedy", "hash"},
    **search_messages.FIELDS,
    **share_messages.FIELDS,
}
QUIET = {"hello", "arrive", "cancel", "select", "filter", "recipe_json"} | search_messages.QUIET | share_messages.QUIET
