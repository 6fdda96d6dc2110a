"""What leaves the page: a bundle that opens again, a link that reproduces the view, and words where there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import explorer as px
from explorer.errors import BundleError
from tests.widgets.conftest import until
from tests.widgets.small import FIRST, state_on
from widgets import messages, taking_away
from widgets.links import read_link
from widgets.state import PageState

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def state(small: Any) -> Iterator[PageState]:
    found = state_on(small)
    yield found
    found.jobs.cancel()
    assert found.wait()


@pytest.fixture
def ask(state: PageState) -> Ask:
    def asked(kind: str, **fields: object) -> dict[str, Any]:
        return messages.answer(state, {"id": 1, "type": kind, **fields})

    return asked


def test_an_exploration_leaves_as_a_file_once(small: Any, state: PageState, ask: Ask, tmp_path: Path) -> None:
    small.set(FIRST, "int8")
    assert ask("share", what="bundle")["ok"]
    state.cancel()
    assert not ask("share_file")["ok"], "what was cancelled leaves nothing"
    assert state.wait()
    assert ask("share", what="bundle")["ok"]
    until(lambda: state.taking.state == "ready", 60)
    state.jobs.cancel()
    reply = ask("share_file")
    path = tmp_path / reply["name"]
    path.write_bytes(reply["files"][0])
    recorded = px.load(path)
    assert recorded.recipe == small.recipe
    assert path.name == f"{small.name}-{small.recipe.hash[:8]}.pxb"
    assert not ask("share_file")["ok"], "it is kept no longer"
    assert taking_away.make(recorded, "bundle", print, threading.Event()) == path.read_bytes()
    path.unlink()
    with pytest.raises(BundleError, match="the file that it was opened from is gone"):
        taking_away.make(recorded, "bundle", print, threading.Event())


def test_what_is_too_large_is_refused_in_words(state: PageState, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_away, "LARGEST_BYTES", 1000)
    assert ask("share", what="bundle")["ok"]
    until(lambda: state.taking.state == "failed", 60)
    assert "are the most that a page hands over" in state.taking.error


def test_an_export_that_is_cancelled_ends_its_process(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[Any] = []
    start = taking_away.subprocess.Popen
    monkeypatch.setattr(
        taking_away.subprocess, "Popen", lambda *given, **named: children.append(start(*given, **named)) or children[-1]
    )
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(px.Cancelled):
        taking_away.make(small, "page", print, cancel)
    assert children[0].returncode


@pytest.mark.parametrize("what", ["../etc", "", 3, None])
def test_only_known_files_are_made(ask: Ask, state: PageState, what: object) -> None:
    assert not ask("share", what=what)["ok"]
    assert state.taking.state == "idle"


def test_a_link_says_what_it_reproduces(
    small: Any, state: PageState, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = ask("share_link")
    assert reply["query"] == f"recipe={small.recipe.hash}" and "not the model" in reply["words"]
    monkeypatch.setattr(state, "models", (small.name, "digits-cnn"))
    reply = ask("share_link")
    said = dict(part.split("=") for part in reply["query"].split("&"))
    link, wrong = read_link(said, state.models)
    assert (link.model, link.recipe, link.page, wrong) == (small.name, small.recipe.hash, "", "")
