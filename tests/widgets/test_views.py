"""The views as widgets: traits follow the state, messages are answered, the browser writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import widgets
from tests.widgets.conftest import until
from tests.widgets.fake import FakeSession
from widgets import messages
from widgets.views.section import Section
from widgets.views.view import View

QKV = "blocks.0.attn.qkv/linear"


@pytest.fixture
def page(session: FakeSession) -> Iterator[widgets.Page]:
    page = widgets.explore(session)
    assert messages.answer(page.page_state, {"id": 0, "type": "hello"})["ok"]
    assert page.wait(10)
    yield page
    page.page_state.jobs.cancel()
    assert page.wait(10)


def send(view: View, monkeypatch: pytest.MonkeyPatch, **content: Any) -> list[Any]:
    """Delivers a message as the comm would; returns what the view sent back."""
    sent: list[Any] = []
    monkeypatch.setattr(view, "send", lambda reply, buffers=None: sent.append(reply))
    view._handle_custom_msg({"id": "a", **content}, [])
    return sent


def test_views_of_one_page_share_one_state(
    page: widgets.Page, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = widgets.DeltaBar(session)
    assert alone.page_state is page.page_state
    assert widgets.PrecisionMap(page).page_state is page.page_state
    assert send(page.precision_map, monkeypatch, type="set", ops=[QKV], precision="int8") == [
        {"id": "a", "ok": True, "type": "set"}
    ]
    assert page.wait(10)
    assert alone.delta == page.delta_bar.delta
    assert page.recipe_panel.recipe["choices"] == [[QKV, "int8", "user"]]
    assert page.top_bar.top["can_undo"] is True


def test_a_bad_message_is_answered_and_shown(page: widgets.Page, monkeypatch: pytest.MonkeyPatch) -> None:
    (reply,) = send(page.top_bar, monkeypatch, type="exec", code="1")
    assert reply["ok"] is False
    assert page.banner.message == reply["error"]


def test_the_browser_cannot_write_traits(page: widgets.Page) -> None:
    before = page.delta_bar.delta
    page.delta_bar.set_state({"delta": {"quality": "forged"}, "_esm": "alert(1)"})
    assert page.delta_bar.delta == before


def test_a_closed_view_no_longer_listens(page: widgets.Page) -> None:
    view = widgets.DeltaBar(page)
    before = view.delta
    view.close()
    page.page_state.session.set([QKV], "int8")
    page.page_state.recipe_changed()
    assert view.delta == before


def test_the_views_of_a_closed_section_rest(page: widgets.Page, session: FakeSession) -> None:
    panel = widgets.RecipePanel(page)
    section = Section("The recipe", lambda: panel)
    for opened in (True, False):
        section.turn(opened)
    before = panel.recipe["hash"]
    session.set([QKV], "int8")
    page.page_state.recipe_changed()
    assert panel.recipe["hash"] == before
    section.turn(True)
    assert panel.recipe["hash"] == session.recipe.hash
    session.undo()
    page.page_state.recipe_changed()
    assert panel.recipe["hash"] == session.recipe.hash == before


def test_a_page_for_a_name_starts_empty_and_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    import explorer as px

    gate = threading.Event()
    monkeypatch.setattr(px, "open", lambda name, progress: FakeSession(1) if gate.wait(10) else None)
    page = widgets.explore("digits-vit")
    assert page.session is None
    assert page.delta_bar.delta["state"] == "opening"
    assert page.precision_map.opening.startswith("Opening digits-vit")
    assert messages.answer(page.page_state, {"id": 0, "type": "hello"})["ok"]
    gate.set()
    until(lambda: page.session is not None)
    assert page.wait(10)
    assert page.session.name == "digits-vit"
    assert page.precision_map.table["model"] == "digits-vit"
    assert page.delta_bar.delta["quality"]["n"] == 397


def test_refresh_shows_what_another_cell_changed(page: widgets.Page) -> None:
    page.session.set([QKV], "int8")
    page.refresh()
    assert page.wait(10)
    assert page.recipe_panel.recipe["choices"] == [[QKV, "int8", "user"]]
    assert page.delta_bar.delta["baseline"] is False


def test_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="this is int"):
        widgets.explore(3)
