"""Ten thousand messages that no page sends, to every view of a real page on a trained model.

Counts what raised, what failed in a way that nobody foresaw, what was not answered, and what changed although it was
refused; at the end the page must still do what it does. Effects: a session, its worker.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from typing import Any

import widgets
from benchmarks.children import own_store
from benchmarks.record import tell
from explorer.limits import VARIABLE, VISITOR
from tests.widgets.malformed import known_to, malformed, panes_of, pieces
from widgets import messages
from widgets.views.view import Pane

COUNT = 10_000
MODEL = "digits-vit"
MOST_REPLY = 20_000
LARGEST_MS = 1000.0
PATIENCE = 120


class Unforeseen(logging.Handler):
    """Counts failures that are no refusal: those are logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage()[:300])


def main() -> None:
    """Send them, and tell what came of it."""
    unforeseen = Unforeseen()
    logging.getLogger("widgets").addHandler(unforeseen)
    os.environ[VARIABLE] = VISITOR.as_text()  # a stranger's kernel, which fetches nothing and reads no file
    with own_store():
        page = widgets.explore(MODEL)
        assert page.wait(PATIENCE)
        for section in (page.search_section, *page.sections):
            assert section.head.answer({"id": 1, "type": "turn", "open": True})["ok"]
        found, took = _send_all(page)
        page.page_state.cancel()
        assert page.wait(PATIENCE)
        works = _still_works(page)
    ok = not (found["raised"] or found["unanswered"] or found["corrupted"] or unforeseen.seen) and all(works.values())
    tell("malformed: messages that raised, failed or changed anything", _bad(found, unforeseen), "messages",
         f"0 of {COUNT}, and the page still works", ok, works=works, unforeseen=unforeseen.seen[:5],
         **found)  # fmt: skip
    tell("malformed: the slowest answer", 1000 * took, "ms", f"<= {LARGEST_MS:g}", 1000 * took <= LARGEST_MS)


def _bad(found: Counter[str], unforeseen: Unforeseen) -> int:
    return found["raised"] + found["unanswered"] + found["corrupted"] + len(unforeseen.seen)


def _send_all(page: Any) -> tuple[Counter[str], float]:
    """Each view in turn gets a message, as ipywidgets hands one over; returns counts and the slowest answer in s."""
    panes, came = panes_of(page), pieces(1)
    ops = list(page.session.ops.index)
    sources = [iter(malformed(at, COUNT // len(panes) + 1, known_to(pane), ops)) for at, pane in enumerate(panes)]
    counts: Counter[str] = Counter(sent=COUNT, views=len(panes))
    slowest = 0.0
    for number in range(COUNT):
        at = number % len(panes)
        outcome, seconds = _send(page, panes[at], next(sources[at]), next(came))
        counts[outcome] += 1
        slowest = max(slowest, seconds)
    return counts, slowest


def _send(page: Any, pane: Pane, content: Any, buffers: list[memoryview]) -> tuple[str, float]:
    replies: list[Any] = []
    pane.send = lambda reply, buffers=None: replies.append(reply)
    before, start = _facts(page), time.perf_counter()
    try:
        pane._handle_custom_msg(content, buffers)
    except Exception:
        return "raised", time.perf_counter() - start
    seconds = time.perf_counter() - start
    answers = [reply for reply in replies if isinstance(reply, dict) and "ok" in reply]
    if len(answers) != 1 or (len(json.dumps(answers)) > MOST_REPLY and not answers[0]["ok"]):
        return "unanswered", seconds
    if answers[0]["ok"]:
        if page.page_state.opening:  # by chance a model was asked for: it is there before the next message
            assert page.wait(PATIENCE)
        return "obeyed", seconds
    return "refused" if _facts(page) == before else "corrupted", seconds


def _facts(page: Any) -> tuple[Any, ...]:
    state = page.page_state
    return page.session.recipe.hash, state.selection, state.filter, state.opening, id(state.session)


def _still_works(page: Any) -> dict[str, bool]:
    """Whether the page still opens a model, takes a choice, measures it, and comes back from it, each by name."""
    state = page.page_state
    opens = messages.answer(state, {"id": 0, "type": "open", "model": MODEL})["ok"] and page.wait(PATIENCE)
    session = page.session
    op = next(op for op in session.ops.index if op.endswith("mlp.fc1/linear"))
    messages.answer(state, {"id": 1, "type": "reset"})
    there = messages.answer(state, {"id": 2, "type": "set", "ops": [op], "precision": "int8"})
    works = {
        "open": opens and session.name == MODEL,
        "set": there["ok"],
        "chosen": session.recipe[op] == "int8",
        "idle again": page.wait(PATIENCE),
    }
    works["measured"] = state.quality is not None and state.quality.n == state.quality.total
    works["undo"] = messages.answer(state, {"id": 3, "type": "undo"})["ok"]
    return works | {"back": session.recipe[op] == "fp32"}


if __name__ == "__main__":
    main()
