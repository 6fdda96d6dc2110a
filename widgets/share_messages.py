"""What a browser may ask of sharing: a file of the exploration, the file once it is made, a link to this view."""

from __future__ import annotations

from typing import Any

from widgets.answering import BadMessage, Fields, Reply, text_field
from widgets.links import Link
from widgets.loading import is_hub, link_of
from widgets.measuring import measure
from widgets.state import PageState
from widgets.taking import KINDS, Taking
from widgets.taking_away import hand_over

FIELDS: dict[str, set[str]] = {"share": {"what"}, "share_file": set(), "share_link": set()}
QUIET = {"share_file", "share_link"}
STRANGE = (
    "The link holds the recipe but not the model, which this page was not given by a name that others can open. "
    "Save the exploration instead."
)

OFFERED = "It opens this model and recipe; numbers not measured there before are measured on that machine."
HUB = "It offers to fetch this model, then shows the recipe; whoever opens it must be allowed to fetch models."


def share(state: PageState, fields: Fields) -> None:
    """Begins to make a file; what the page measures waits meanwhile."""
    what = text_field(fields, "what", 20)
    if what not in KINDS:
        raise BadMessage(f"there is no file {what!r} to share; known: {', '.join(KINDS)}")
    _open(state)
    if state.taking.state != "working":
        state.taking = Taking("working", what)
        state.changed("taking")
        measure(state)


def share_file(state: PageState, fields: Fields) -> Reply:
    """The file that was made."""
    found = hand_over(state)
    if found.state != "ready":
        raise BadMessage("no file is ready; choose it in the menu again")
    return {"name": found.name, "files": [found.content]}


def share_link(state: PageState, fields: Fields) -> Reply:
    """What reproduces this view in an address, and what it takes, in words; without the page's own, secret name."""
    session = _open(state)
    recipe = session.recipe.hash
    if getattr(session, "recorded", False):
        return {"query": Link(recipe=recipe).query, "words": "It opens as long as this recording is served here."}
    model, inputs = link_of(state)
    if not model:
        return {"query": Link(recipe=recipe).query, "words": STRANGE}
    return {"query": Link(model, recipe, inputs=inputs).query, "words": HUB if is_hub(model) else OFFERED}


def _open(state: PageState) -> Any:
    if state.session is None:
        raise BadMessage("no model is open yet; wait until it is")
    return state.session


ACTIONS = {"share": share, "share_file": share_file, "share_link": share_link}
