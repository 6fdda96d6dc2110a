"""Nonsense from a browser: every message is answered, none raises, and what is refused changes nothing."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest
import traitlets

import widgets
from explorer.errors import DataError
from tests.widgets.fake import FakeSession
from tests.widgets.malformed import any_value, known_to, malformed, panes_of, pieces
from widgets import messages
from widgets.serve.kernel import WRITABLE, reason_against
from widgets.state import PageState
from widgets.views.view import Pane

COUNT = 600
EACH = 25
"""Messages to each view of a page: of its own types some tens, of the page's some."""
MOST_REPLY = 20_000
"""Characters; an error names at most what it was about, and never returns what was sent."""


def test_nonsense_is_answered_and_changes_nothing(
    state: PageState, session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="widgets")
    obeyed = 0
    for content in malformed(7, COUNT, messages.FIELDS, list(session.ids)):
        before = (session.recipe, state.selection, state.filter, state.opening, state.session)
        reply = messages.answer(state, content)
        assert len(json.dumps(reply)) < MOST_REPLY
        if reply["ok"]:
            obeyed += 1
        else:
            assert (session.recipe, state.selection, state.filter, state.opening, state.session) == before, content
    # By chance some are what a page may say; were most of them, this would test nothing.
    assert 0 < obeyed < COUNT / 4
    assert [record.getMessage()[:300] for record in caplog.records] == []
    assert state.wait(10)


@pytest.fixture
def panes(small: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Pane]]:
    """Every view of a page whose sections are all open, and of the format lab; no model that they ask for opens."""

    def refuse(*_: Any, **__: Any) -> None:
        raise DataError("open it", "this is a test", "nothing")

    monkeypatch.setattr("widgets.loading.open_choice", refuse)
    monkeypatch.setattr("widgets.measuring._open", refuse)
    small.reset()
    page = widgets.explore(small)
    for section in (page.search_section, *page.sections):
        assert section.head.answer({"id": 1, "type": "turn", "open": True})["ok"]
    yield [*panes_of(page), *panes_of(widgets.FormatLab(formats=["fp16"]))]
    page.page_state.cancel()
    assert page.wait(20)


def test_every_view_answers_nonsense(
    panes: list[Pane], small: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="widgets")
    kinds = {kind for pane in panes for kind in known_to(pane)}
    assert {"upload", "piece", "load", "detail", "look", "share", "share_file", "choose", "compare", "axis"} <= kinds
    came = pieces(3)
    for at, pane in enumerate(panes):
        replies: list[Any] = []
        monkeypatch.setattr(pane, "send", lambda reply, buffers=None, kept=replies: kept.append(reply))
        for number, content in enumerate(malformed(at, EACH, known_to(pane), list(small.ops.index))):
            pane._handle_custom_msg(content, next(came))
            answers = [reply for reply in replies if isinstance(reply, dict) and "ok" in reply]
            assert len(answers) == 1, (type(pane).__name__, number, str(content)[:300])
            assert answers[0]["ok"] or len(json.dumps(answers)) < MOST_REPLY
            replies.clear()
    assert [record.getMessage()[:300] for record in caplog.records] == []


def test_a_control_takes_only_what_a_person_sets() -> None:
    """A question's controls as a visitor's kernel guards them, whatever comes over their comms."""
    question = widgets.Question("Which?", ["a", "b"], "a")
    radio, box = question.children[1], question.children[2]
    controls = {str(at): widget for at, widget in enumerate((radio, box, box.children[0], ipywidgets.Checkbox()))}
    comms = {name: SimpleNamespace(_msg_callback=widget._handle_msg) for name, widget in controls.items()}
    before = {name: widget.get_state() for name, widget in controls.items()}
    rng, let_in = random.Random(5), 0
    for _ in range(2000):
        name = rng.choice([*controls, "nobody"])
        state = {key: any_value(rng) for key in rng.sample(("value", "index", "children", "layout", "_esm"), 1)}
        data = rng.choice((any_value(rng), {"method": rng.choice(("update", "custom", "x", 3)), "state": state}))
        message = {"content": {"comm_id": name, "data": data}}
        if reason_against("comm_msg", message, comms):
            continue
        let_in += 1
        with suppress(traitlets.TraitError, TypeError):  # what the kernel logs, and keeps from the page
            controls[name]._handle_msg(message)
    assert 0 < let_in < 1000
    assert radio.value in (None, "a", "b")
    for name, widget in controls.items():
        now = widget.get_state()
        assert {key for key in now if now[key] != before[name][key]} <= WRITABLE
