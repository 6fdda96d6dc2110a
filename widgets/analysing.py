"""What the worker does beyond the page's own numbers: ranges, what formats do to them, and what views asked for."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import explorer as px
from widgets.answers import Answer, Ask
from widgets.bands import judge, judged_tensors
from widgets.jobs import Task
from widgets.state import PageState, describe

LOG = logging.getLogger("widgets")
RANGE_SAMPLES = (64, 512)
"""Ranges of the first few samples are shown at once, then those of so many; more would hold up a large model."""


def observe(state: PageState, session: Any, samples: int, task: Task) -> None:
    """Reads the ranges of every tensor in the first ``samples``; where that fails, the map says why."""

    def report(done: int, total: int, text: str) -> None:
        task.post_some("ranges", lambda: state.progress("reading activation ranges", int(done), int(total)))

    task.post(lambda: state.progress("reading activation ranges"))
    # By one of the ways to cut the data that it has, so that a part which is unlike the others shows.
    slices = next(iter(session.slice_names), None)
    found, words = None, ""
    try:
        found = session.range_set(samples, slices, progress=report, cancel=task.cancel)
    except px.Cancelled:
        raise
    except Exception as error:  # the map has strips or says why not; the numbers do not depend on them
        words = _told(error, "ranges")
    whole = bool(words) or samples >= range_samples(session)[-1]
    task.post(partial(state.take_ranges, found, words, whole=whole))


def range_samples(session: Any) -> list[int]:
    """How many samples the first ranges come from, and how many all that the page looks at."""
    return [min(n, int(session.samples)) for n in RANGE_SAMPLES]


def forecast_bands(state: PageState, session: Any, recipe: Any, task: Task) -> None:
    """Forecasts what the recipe's formats do to each op's tensor, as far as that is not known yet."""
    found, words = {}, ""
    for tensor in judged_tensors(session, recipe, state.range_set):
        if task.cancel.is_set():
            raise px.Cancelled("forecast what formats do")
        if tensor in state.bands:
            continue
        try:
            found[tensor] = judge(tensor, state.range_set)
        except Exception as error:  # the strip stays without a band; the numbers do not depend on it
            words = f"{tensor.op} has no forecast: {_told(error, 'a forecast')}"

    def take() -> None:
        state.bands = {**state.bands, **found}
        state.banded.add(recipe.hash)
        state.changed("bands")
        if words:
            state.complain(words)

    task.post(take)


def answer(state: PageState, ask: Ask, session: Any, recipe: Any, task: Task) -> None:
    """Answers one question. A failure is an answer, in words; only a cancelled question has none."""

    def report(done: int, total: int, text: str) -> None:
        words = f"{ask.title}: {text}" if text else ask.title
        task.post_some(ask.topic, lambda: state.progress(words, int(done), int(total)))

    if not ask.follows:
        task.post(lambda: state.progress(ask.title))
    try:
        found = Answer("ready", ask.run(session, recipe, progress=report, cancel=task.cancel))
    except px.Cancelled:
        raise
    except Exception as error:  # shown in the view that asked
        found = Answer("failed", error=_told(error, ask.topic))

    def take() -> None:
        state.answers.take(ask, found)
        state.changed(ask.topic)

    task.post(take)


def _told(error: Exception, what: str) -> str:
    if not isinstance(error, px.ExplorerError):
        LOG.exception("%s failed", what)
    return describe(error)
