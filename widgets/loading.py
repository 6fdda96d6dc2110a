"""The load panel's share of the page's state, and what its messages do: files, an opening, what came of it.

(Effects: the page's worker opens; uploaded files lie on disk until then.)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from widgets.bad_message import BadMessage
from widgets.loading_choice import HUB, Choice, check_allowed, choice_of_link, read_choice
from widgets.loading_sources import Files, in_three, open_choice
from widgets.loading_state import Loading, Origin
from widgets.loading_uploads import ROLES
from widgets.measuring import Progress, open_model

if TYPE_CHECKING:
    from widgets.state import PageState

LOG = logging.getLogger("widgets")
NEEDED = {"upload": "weights", "recorded": "recorded"}
"""Which file a source cannot do without."""


def load(state: PageState, choice: Choice) -> None:
    """Opens a choice in the worker; the model on show stays until the new one is there, and if it fails.

    Raises an ``ExplorerError`` where this kernel may not open it, or a file is not there yet.
    """
    loading = state.loading
    check_allowed(choice, state.models, loading.limits)
    files = _files(loading, choice)
    loading.failed, loading.opened, loading.asked, loading.note, loading.offered = None, False, choice, "", None
    label = choice.spec or _label(choice, files)

    def opener(name: str, progress: Progress) -> Any:
        session = open_choice(choice, files, loading.limits, progress)
        # On the worker's thread: it takes effect with the session, whose name it bears, and not before.
        loading.origin = Origin(session.name, choice, tuple(path.name for path in files.paths.values()))
        return session

    open_model(state, label, opener, lambda error: _ended(state, error))
    state.changed("load")


def _label(choice: Choice, files: Files) -> str:
    path = files.get(NEEDED.get(choice.source, ""))
    return path.name if path is not None else choice.name


def _files(loading: Loading, choice: Choice) -> Files:
    """The uploaded files that the choice needs; raises ``DataError`` for one that is not there."""
    wanted = [NEEDED[choice.source]] if choice.source in NEEDED else []
    if choice.source == "upload" and choice.architecture == "config.json":
        wanted.append("config")
    if choice.data == "npz" and choice.source != "recorded":
        wanted.append("data")
    asked = f"open {(choice.spec or choice.name or 'an uploaded file')[:160]!r}"
    return Files({role: loading.uploads.whole(role, asked).path for role in wanted})


def _ended(state: PageState, error: Exception | None) -> None:
    """What the panel says after an opening: nothing failed, or what would work; the former model goes on."""
    loading = state.loading
    if error is None:
        loading.opened, loading.failed = True, None
        loading.uploads.clear()
    else:
        loading.failed = in_three(error)
        if not isinstance(error, ExplorerError):
            LOG.error("opening %r failed", loading.asked, exc_info=error)
    state.changed("load")


# -- what the panel's messages do ------------------------------------------------------------------------------------


def begin(state: PageState, role: str, name: str, size: int) -> dict[str, Any]:
    """Starts an upload; returns its number and how many bytes a piece may have."""
    upload = state.loading.uploads.begin(role, name, size)
    dismiss(state)
    return {"upload": upload.number, "chunk": state.loading.uploads.chunk}


def take_piece(state: PageState, number: int, at: int, pieces: Any) -> dict[str, Any]:
    """Adds a piece; returns how many bytes are there."""
    if len(pieces) != 1:
        raise BadMessage(f"a piece comes as one buffer, not {len(pieces)}")
    upload = state.loading.uploads.add(number, at, pieces[0])
    if upload.whole:
        state.changed("load")
    return {"have": upload.have}


def drop(state: PageState, role: str) -> None:
    """Forgets an uploaded file."""
    if role not in ROLES:
        raise BadMessage(f"unknown role {role[:40]!r}; known: {', '.join(ROLES)}")
    state.loading.uploads.drop(role)
    state.changed("load")


def ask_to_load(state: PageState, said: object) -> None:
    """Opens what a message asks for; an error that a person can act on is shown in the panel, with its three parts."""
    choice = read_choice(said)
    try:
        load(state, choice)
    except ExplorerError as error:
        state.loading.failed, state.loading.opened = in_three(error), False
        state.changed("load")


def dismiss(state: PageState) -> None:
    """Takes the account of the last opening away."""
    loading = state.loading
    loading.failed, loading.opened, loading.asked, loading.note, loading.offered = None, False, None, "", None
    state.changed("load")


# -- pages and addresses ----------------------------------------------------------------------------------------------


def link_of(state: PageState) -> tuple[str, str]:
    """The model and the inputs that an address names for the session on show; empty where it cannot be opened again by
    an address: an uploaded file, a folder of this machine, a recorded exploration."""
    session, origin = state.session, state.loading.origin_of(state.session)
    if session is None:
        return "", ""
    if origin is None:
        return (session.name if session.name in state.models else ""), ""
    choice = origin.choice
    if choice.data == "npz" or choice.source not in ("bundled", "hub"):
        return "", ""
    return choice.spec or choice.name, choice.inputs


def offer_link(state: PageState, model: str, inputs: str) -> str:
    """Goes where an address leads: a bundled model is opened, a hub's is offered in the panel and opened at a person's
    word, for anyone may write an address. Returns what cannot be done, in words."""
    choice = choice_of_link(model, inputs)
    if choice is None:
        return f"the inputs {inputs[:60]!r} in the address are none that are known here"
    try:
        check_allowed(choice, state.models, state.loading.limits)
        if choice.source == "bundled":
            load(state, choice)
            return ""
    except ExplorerError as error:
        return str(error)
    state.loading.offered = choice
    state.loading.note = f"The address asks for {choice.spec}. Nothing is fetched by an address alone: press Open."
    state.changed("load")
    return ""


def reopen(state: PageState, source: Mapping[str, Any]) -> str:
    """Opens again what this page had open before it was loaded anew; returns in words why that cannot be done."""
    files = source.get("files") or []
    try:
        choice = read_choice({name: value for name, value in source.items() if name != "files"})
        if files:
            names = ", ".join(str(name)[:80] for name in files[:4])
            return f"{names} was uploaded and is not kept here: choose it again under Open\u2026"
        load(state, choice)
    except (ExplorerError, BadMessage) as error:
        return str(error)
    return ""


def is_hub(model: str) -> bool:
    """Whether an address's model is one of a hub's."""
    return HUB.fullmatch(model) is not None
