"""What the worker predicts: the costs of the map's cells, the frontier of a search, and a proposal for the slider."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import explorer as px
from explorer.search.constraints import Constraints
from widgets.jobs import Task
from widgets.map_costs import read_costs
from widgets.searching import MOST_VERIFIED, Asked
from widgets.state import MAP_SAMPLES, PageState, describe

LOG = logging.getLogger("widgets")
FIRST_PRECISIONS = ("int8", "bf16")
"""The columns that are coloured first, from one batch: all of them take several times as long."""


def can_predict(session: Any) -> bool:
    """Whether a session predicts at all: one that was recorded elsewhere has no model to run."""
    return hasattr(session, "predicted_map")


def predict(state: PageState, session: Any, samples: int, task: Task) -> None:
    """Predicts what every cell costs from the first ``samples``, and shows rougher answers on the way.

    A page without colours gets those of two columns first.
    """
    ops, precisions = list(session.ops.index), session.precisions

    def report(done: int, total: int, text: str) -> None:
        task.post_some("map", lambda: state.progress("predicting the map", int(done), int(total)))

    def take(found: Any, whole: int) -> None:
        costs = read_costs(found, ops, precisions)
        session.price(session.recipe)  # what all prices share is worked out here, so that a click finds it done
        task.post(lambda: state.take_map(found, costs, samples=whole))

    task.post(lambda: state.progress("predicting the map"))
    try:
        for names, n in _in_turn(state, session, samples):
            found = session.predicted_map(
                names, n=n, progress=report, cancel=task.cancel, partial=partial(take, whole=0)
            )  # fmt: skip
    except px.Cancelled:
        raise
    except Exception as error:  # the map stays without colours and says why; the measured numbers do not depend on it
        words = _told(error, "the predicted map")
        task.post(lambda: _without_map(state, words))
    else:
        take(found, samples)


def _in_turn(state: PageState, session: Any, samples: int) -> Iterator[tuple[Sequence[str], int]]:
    """Precisions and from how many samples they are predicted, one call of the engine after another."""
    first = [name for name in FIRST_PRECISIONS if name in session.precisions]
    if first and state.predicted_map is None:
        yield first, min(samples, int(session.batch_size))
    yield session.precisions, samples


def first_samples(session: Any) -> int:
    """How many samples the first colours come from."""
    return min(MAP_SAMPLES[0], int(session.samples))


def search(state: PageState, session: Any, asked: Asked, task: Task) -> None:
    """Searches for the best recipe under every budget."""
    title = "searching"

    def report(done: int, total: int, text: str) -> None:
        words = f"{title}: {text}" if text else title
        task.post_some("search", lambda: state.progress(words, int(done), int(total)))

    def find() -> Any:
        constraints = Constraints(locked=dict(asked.held))
        return session.search(
            asked.objective, precisions=asked.precisions, constraints=constraints, progress=report, cancel=task.cancel
        )

    task.post(lambda: state.progress(title))
    _answer(state, find, asked, task)


def verify(state: PageState, session: Any, task: Task) -> None:
    """Measures the proposals of the frontier, and shows it again after each."""
    frontier = state.search.frontier

    def report(done: int, total: int, text: str) -> None:
        task.post_some("verify", lambda: state.progress("verifying the proposals", int(done), int(total)))

    def some(found: Any) -> None:
        task.post(lambda: _take(state, found, None))

    def find() -> Any:
        found = frontier.verify(MOST_VERIFIED, progress=report, cancel=task.cancel, partial=some)
        session.price(session.recipe)  # the band is calibrated by what was just measured
        return found

    task.post(lambda: state.progress("verifying the proposals"))
    _answer(state, find, None, task)


def solve(state: PageState, task: Task) -> None:
    """Finds the proposal for where the slider stands, until it stands still; the last position wins."""
    found = state.search

    def take(budget: float, proposal: Any, error: str) -> None:
        if budget == found.budget:
            found.solved, found.proposal, found.error = budget, proposal, error
            state.changed("search")

    last = None
    while (budget := found.budget) is not None and budget != last and not task.cancel.is_set():
        proposal, words, last = None, "", budget
        try:
            proposal = found.frontier.at(budget)
        except Exception as error:  # shown beside the slider, which may be moved on
            words = _told(error, "a proposal")
        task.post(partial(take, budget, proposal, words))


def _answer(state: PageState, find: Any, asked: Asked | None, task: Task) -> None:
    """Runs ``find`` and shows what it found, or in the panel why it found nothing."""
    try:
        found = find()
    except px.Cancelled:
        raise
    except Exception as error:  # shown in the panel that asked
        words = _told(error, "the search")
        task.post(lambda: _end(state, words))
    else:

        def take() -> None:
            _take(state, found, asked)
            _end(state, "")

        task.post(take)


def _take(state: PageState, frontier: Any, asked: Asked | None) -> None:
    state.search.take(frontier, asked)
    state.changed("frontier", "search")


def _end(state: PageState, words: str) -> None:
    state.search.wanted, state.search.error = "", words
    state.changed("search")


def _without_map(state: PageState, words: str) -> None:
    state.map_error = words
    state.changed("map")


def _told(error: Exception, what: str) -> str:
    if not isinstance(error, px.ExplorerError):
        LOG.exception("%s failed", what)
    return describe(error)
