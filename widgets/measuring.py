"""What runs after a click: open a model, or measure the current recipe, in the worker, streaming to the state."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import explorer as px
from explorer.errors import BundleError
from widgets.analysing import answer, forecast_bands, observe, range_samples
from widgets.answers import Ask
from widgets.jobs import Task
from widgets.predicting import can_predict, first_samples, predict, search, solve, verify
from widgets.searching import asked_now
from widgets.state import PageState, describe
from widgets.taking_away import take_away

LATENCY_SECONDS = (0.5, 1.5)
"""How long the first look takes, which is shown at once, and the longer one where the first leaves something open."""
LATENCY_WITHIN = 0.05
"""An interval of this fraction of the speed-up, either side, is enough for the page."""
PARTS = ("memory", "quality", "latency")
"""The numbers of a recipe; one that failed is tried again after the next change, or when it is asked for."""
Progress = Callable[[int, int, str], None]
NOT_RECORDED = "not measured when this was recorded"
RECORDED = ".pxb"
"""How the file of a recorded exploration ends."""


def open_model(
    state: PageState,
    name: str,
    opener: Callable[..., Any] | None = None,
    ended: Callable[[Exception | None], None] | None = None,
) -> None:
    """Opens a bundled model in the worker; the former model stays until the new one is there.

    ``opener(name, progress=...)`` does it (default ``explorer.open``); a cancelled opening ends at its next step.
    ``ended(error)`` hears of its success or failure, which it shows itself; without it a failure stands in the banner.
    """
    state.opening = name
    state.complain("")

    def work(task: Task) -> None:
        def report(done: int, total: int, text: str) -> None:
            if task.cancel.is_set():
                raise px.Cancelled(f"open {name}")
            task.post(lambda: state.progress(f"Opening {name}: {text}\u2026", done, total))

        try:
            session = (opener or _open)(name, progress=report)
        except Exception as error:
            if ended is None or isinstance(error, px.Cancelled):
                raise
            failure = error
            task.post(lambda: _stay(state, ended, failure))
            return

        def take() -> None:
            state.adopt(session)
            if ended is not None:
                ended(None)
            measure(state)

        task.post(take)

    state.jobs.submit(f"Opening {name}", work)
    state.progress(f"Opening {name}\u2026")
    state.changed("model-kept")


def _stay(state: PageState, ended: Callable[[Exception | None], None], error: Exception) -> None:
    """The model on show goes on as if nothing had been asked."""
    state.opening = ""
    ended(error)
    state.changed("model-kept")
    measure(state)


def _open(name: str, progress: Progress) -> Any:
    """A model by its name, or a recorded exploration by its file; names from a browser are those the page offers."""
    return px.load(name) if name.endswith(RECORDED) else px.open(name, progress=progress)


def measure(state: PageState) -> None:
    """Starts the next thing that is missing for the current recipe, and after it the one after; none stops what runs.

    Waits until a browser shows the page: a server's spare kernels must not disturb the measurements of a visitor.
    """
    if not state.watched or state.opening or state.session is None or state.shown is None:
        return
    step = _next_step(state)
    if step is None:
        state.jobs.cancel()
    elif not state.jobs.busy_with(step.key):
        state.jobs.submit("Measuring", step.work, step.key, then=lambda: measure(state))
        if not step.quiet:
            state.progress("measuring", also=("measured",))


def ask(state: PageState, question: Ask) -> None:
    """Asks the engine a question; the answer is in ``state.answers``, and its topic is told."""
    state.answers.add(question)
    state.changed(question.topic)
    measure(state)


@dataclass(frozen=True)
class Step:
    """One thing that the worker does; equal keys are the same thing. A quiet one is over before it could be read of."""

    key: Hashable
    work: Callable[[Task], None]
    quiet: bool = False


def _next_step(state: PageState) -> Step | None:
    """The slider and what a person asked; ranges and colours at first sight; the recipe's numbers; what follows them.

    A click changes the recipe and with it the numbers that are missing, which then go before all that is long: quality
    and latency move in place while the map is still being refined. Latency is timed alone, for the worker does one
    thing at a time.
    """
    assert state.shown is not None
    session, recipe = state.session, state.shown.recipe
    about = (id(session), recipe.hash)
    if state.search.moved:
        return Step(("solve", id(state.search.frontier)), lambda task: solve(state, task), quiet=True)
    if state.taking.state == "working":
        return Step(("taking", state.taking.what), lambda task: take_away(state, session, task))
    if question := state.answers.next_asked():
        return _answer_step(state, question, about)
    return _first_sight(state) or _numbers(state) or _asked_search(state) or _the_rest(state)


def _first_sight(state: PageState) -> Step | None:
    """A page that has just opened shows ranges and rough colours first; each is tried once before the numbers."""
    session = state.session
    if not state.ranges_whole and not state.range_tried:
        state.range_tried = True
        return _range_step(state, range_samples(session)[0])
    if not state.map_tried and can_predict(session):
        state.map_tried = True
        return _map_step(state, first_samples(session))
    return None


def _numbers(state: PageState) -> Step | None:
    """Memory, quality and latency of the recipe on show."""
    assert state.shown is not None
    session, recipe = state.session, state.shown.recipe
    about = (id(session), recipe.hash)
    whole = state.quality is not None and state.quality.n == state.quality.total
    open_ = state.errors.keys().isdisjoint
    if state.memory is None and open_(["memory"]):
        return Step(("memory", *about), lambda task: _weigh(state, session, recipe, task))
    if not whole and open_(["quality", "memory"]):
        return Step(("quality", *about), lambda task: _evaluate(state, session, recipe, task))
    if (state.latency is None or state.look_again) and open_(PARTS):
        seconds = LATENCY_SECONDS[state.look_again]
        return Step(("latency", *about, seconds), lambda task: _time(state, session, recipe, seconds, task))
    return None


def _asked_search(state: PageState) -> Step | None:
    """The search that a person asked for, or the measurement of what it found."""
    session, found = state.session, state.search
    if found.wanted == "search":
        if not state.map_samples and not state.map_error and can_predict(session):
            return _map_step(state, first_samples(session))  # a search needs every column: so the page shows them too
        asked = asked_now(state)
        return Step(("search", id(session), asked), lambda task: search(state, session, asked, task))
    if found.wanted == "verify" and found.frontier is not None:
        return Step(("verify", id(session)), lambda task: verify(state, session, task))
    return None


def _the_rest(state: PageState) -> Step | None:
    """Ranges to the end, what the recipe's formats do, what views ask for every recipe, and the map to the end."""
    assert state.shown is not None
    session, recipe = state.session, state.shown.recipe
    about = (id(session), recipe.hash)
    if not state.ranges_whole:
        return _range_step(state, range_samples(session)[state.range_set is not None])
    if state.range_set is not None and recipe.hash not in state.banded:
        return Step(("bands", *about), lambda task: forecast_bands(state, session, recipe, task))
    if question := state.answers.next_following():
        return _answer_step(state, question, about)
    if state.map_wanted and can_predict(session):
        return _map_step(state, state.map_wanted)
    return None


def _range_step(state: PageState, samples: int) -> Step:
    session = state.session
    return Step(("ranges", id(session), samples), lambda task: observe(state, session, samples, task))


def _map_step(state: PageState, samples: int) -> Step:
    session = state.session
    return Step(("map", id(session), samples), lambda task: predict(state, session, samples, task))


def _answer_step(state: PageState, question: Ask, about: tuple[Hashable, ...]) -> Step:
    assert state.shown is not None
    session, recipe = state.session, state.shown.recipe
    return Step(("answer", id(question), *about), lambda task: answer(state, question, session, recipe, task))


def _reporter(state: PageState, task: Task, phase: str) -> Progress:
    def report(done: int, total: int, text: str) -> None:
        words = text or phase
        task.post_some(phase, lambda: state.progress(words, int(done), int(total)))

    return report


def _weigh(state: PageState, session: Any, recipe: Any, task: Task) -> None:
    memory = _found(state, task, "memory", lambda: session.memory(recipe))
    if memory is None:
        return

    def take() -> None:
        state.memory = memory
        state.remember()
        state.changed("measured")

    task.post(take)


def _evaluate(state: PageState, session: Any, recipe: Any, task: Task) -> None:
    def take(quality: Any) -> None:
        state.quality = quality
        state.remember()
        state.changed("measured")

    def find() -> Any:
        return session.evaluate(
            recipe,
            progress=_reporter(state, task, "quality"),
            cancel=task.cancel,
            partial=lambda quality: task.post_some("partial", lambda: take(quality)),
        )

    quality = _found(state, task, "quality", find)
    if quality is None:
        return
    if state.predicted_map is not None:
        session.price(recipe)  # the measured recipe narrows the band: worked out here, so that a click finds it done

    def whole() -> None:
        state.price_again()
        take(quality)

    task.post(whole)


def _time(state: PageState, session: Any, recipe: Any, seconds: float, task: Task) -> None:
    def take(latency: Any) -> None:
        state.take_latency(latency)
        state.look_again = seconds < LATENCY_SECONDS[-1] and not _enough(latency)
        state.remember()
        state.refresh_costs()
        state.changed("measured", "times")

    def find() -> Any:
        return session.latency(
            recipe,
            seconds=seconds,
            within=LATENCY_WITHIN,
            progress=_reporter(state, task, "latency"),
            cancel=task.cancel,
        )

    task.post(lambda: state.progress("timing: one run at a time on this machine"))
    latency = _found(state, task, "latency", find)
    if latency is not None:
        task.post(lambda: take(latency))


def _found(state: PageState, task: Task, part: str, find: Callable[[], Any]) -> Any:
    """What ``find`` returns; None where a recorded session lacks it. Why there is none stands by the part."""
    try:
        return find()
    except px.Cancelled:
        raise
    except BundleError:
        _mark(state, task, PARTS, NOT_RECORDED)
        return None
    except Exception as error:
        _mark(state, task, [part], describe(error))
        raise


def _enough(latency: Any) -> bool:
    """Whether a longer run would tell the page nothing new; of an emulated recipe no run tells anything.

    New would be a narrower interval, a machine that keeps its pace, or what this device could do at best.
    """
    low, high = latency.interval
    narrow = high - low <= 2 * LATENCY_WITHIN * latency.speedup
    limits = bool(latency.table["of_limit"].notna().any())
    return bool(latency.emulated) or (narrow and latency.steady and limits)


def _mark(state: PageState, task: Task, parts: Iterable[str], words: str) -> None:
    """Says in the place of numbers why there are none; what is known already stays."""
    task.post(lambda: state.errors.update({part: words for part in parts if getattr(state, part) is None}))
