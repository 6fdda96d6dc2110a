"""Nonsense from a browser: every message is answered, none raises, and what is refused changes nothing."""

from __future__ import annotations

import json
import logging

import pytest

from tests.widgets.fake import FakeSession
from tests.widgets.malformed import malformed
from widgets import messages
from widgets.state import PageState

COUNT = 600
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
