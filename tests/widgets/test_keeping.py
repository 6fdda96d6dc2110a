"""A page is kept as it is used, found again by its name, and goes where an address leads; addresses are not trusted."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.recipe import History
from tests.widgets.small import ACT, FIRST
from widgets import keeping
from widgets.app import Page
from widgets.links import Link, new_page_name, read_link
from widgets.sharing import state_of

MODELS = ("digits-vit", "adder-gpt")


@pytest.mark.parametrize(
    ("said", "link", "wrong"),
    [
        ({"model": "digits-vit", "recipe": "0" * 16}, Link("digits-vit", "0" * 16), ""),
        ({}, Link(), ""),
        ({"model": "../../etc/passwd"}, Link(), "no model '../../etc/passwd'"),
        ({"recipe": "x' or 1=1"}, Link(), "no hash"),
        ({"page": "../x"}, Link(), ""),
        ({"model": 3, "recipe": ["a"], "page": "a" * 500}, Link(), ""),
    ],
)
def test_an_address_is_read_strictly(said: dict[str, object], link: Link, wrong: str) -> None:
    found, words = read_link(said, MODELS)
    assert found == link
    assert wrong in words
    assert bool(words) == bool(wrong)


def test_a_link_names_what_reproduces_the_view() -> None:
    link = Link("digits-vit", "0" * 16, new_page_name())
    said = dict(part.split("=") for part in link.query.split("&"))
    assert read_link(said, MODELS) == (link, "")


def arrive(page: Page, /, **said: str) -> dict[str, Any]:
    fields = {"model": "", "recipe": "", "page": "", "inputs": "", **said}
    return page.address.answer({"id": 0, "type": "arrive", **fields})


@pytest.fixture
def start(small: Any) -> History:
    """The small session as it was opened."""
    small.reset()
    state_of(small).complain("")
    return History.of(small.recipe)


def test_a_page_is_found_again_as_it_was_left(small: Any, start: History) -> None:
    small.take_history(start)
    page = Page(small)
    assert arrive(page)["ok"]
    state = page.page_state
    small.set(FIRST, "int8")
    small.undo()
    small.set(ACT, "bf16")
    state.recipe_changed()
    state.filter, state.selection = "act", (ACT,)
    state.changed("filter", "selection")
    page.sections[0].head.answer({"id": 0, "type": "turn", "open": True})
    name, history, recipe = page.address.keeper.name, small.history, small.recipe
    assert page.address.query == Link("", recipe.hash, name).query
    assert page.address.keeper.flush()
    page.address.close()
    small.take_history(start)
    state.recipe_changed()
    state.filter, state.selection = "", ()
    again = Page(page)
    assert arrive(again, page=name)["ok"]
    assert (small.history, small.recipe) == (history, recipe)
    assert (state.filter, state.selection) == ("act", (ACT,))
    assert again.sections[0].head.opened
    assert not again.sections[1].head.opened
    small.undo()
    assert small.recipe == start.current


def test_a_recipe_is_shown_by_its_hash(small: Any, start: History) -> None:
    small.take_history(start)
    page = Page(small)
    wanted = small.presets()["bf16"]
    assert arrive(page, recipe=wanted.hash)["ok"]
    assert small.recipe.hash == wanted.hash
    assert page.page_state.message == ""
    arrive(page, recipe="f" * 16)
    assert small.recipe.hash == wanted.hash
    assert "nothing is known here of a recipe ffffffffffffffff" in page.page_state.message


def test_another_models_page_is_left_alone(small: Any, start: History) -> None:
    small.take_history(start)
    name = new_page_name()
    small.store.keep_page(name, "other", {"version": 1, "model": "other"}, {})
    page = Page(small)
    arrive(page, page=name)
    assert small.recipe == start.current
    assert page.page_state.message == ""


def test_arriving_takes_no_message_away(small: Any, start: History) -> None:
    page = Page(small)
    page.page_state.complain("its model could not be opened")
    assert arrive(page)["ok"]
    assert page.page_state.message == "its model could not be opened"


def test_a_model_that_the_panel_opened_is_opened_again(
    small: Any, start: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it cannot be (an upload is not kept), what was kept waits for it under its name."""
    small.take_history(start)
    name, asked = new_page_name(), []
    small.store.keep_page(name, "other", {"version": 1, "model": "other", "source": {"source": "hub"}}, {})
    monkeypatch.setattr(keeping, "reopen", lambda state, source: asked.append(source) or "choose the file again")
    page = Page(small)
    reply = arrive(page, page=name)
    assert asked == [{"source": "hub"}] and "choose the file again" in reply["error"]
    assert page.address.keeper.name != name
    small.set(FIRST, "int8")
    page.page_state.recipe_changed()
    assert page.address.keeper.flush()
    assert small.store.kept_page(name)[0]["model"] == "other"


def test_an_address_alone_fetches_nothing(small: Any, start: History, monkeypatch: pytest.MonkeyPatch) -> None:
    small.take_history(start)
    offered = []
    monkeypatch.setattr(keeping, "offer_link", lambda state, model, inputs: offered.append((model, inputs)) or "")
    page = Page(small)
    arrive(page, model="hf:gpt2", inputs="made64_seed0")
    assert offered == [("hf:gpt2", "made64_seed0")] and not page.page_state.opening
