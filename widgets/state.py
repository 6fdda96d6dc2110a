"""The one mutable object of the page: model, recipe on show, measured numbers, selection, job, and who listens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import explorer as px
from explorer import limits
from widgets import timings
from widgets.answers import Answers
from widgets.bands import Band, JudgedTensor
from widgets.jobs import Jobs, MainLoop, Overdue, Task
from widgets.loading_state import Loading
from widgets.map_costs import Cells, CostTable
from widgets.op_times import OpTime, read_op_times
from widgets.searching import Searching, renew
from widgets.shown import Shown, show
from widgets.strips import BandRows
from widgets.taking import Taking

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("widgets")
MAP_SAMPLES = (32, 128)
"""The map is predicted from the first few samples at once, so that it has colours, then from so many: with four probes
each, cells are then told to within some percent. The second part is done when the recipe's numbers are there."""
Listener = Callable[[frozenset[str]], None]


@dataclass(frozen=True)
class Job:
    """What the worker does now: state is idle | running | cancelling; ``total`` 0 means that nobody knows."""

    state: str = "idle"
    text: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True, eq=False)
class CameFrom:
    """The session that was on show before a remedy put another form of the model in its place.

    ``recipe`` is the hash of the recipe that the new one began with; ``words`` say what was done.
    """

    session: Any
    recipe: str
    words: str


class PageState:
    """Everything that views show and messages change; touched on the main loop only.

    Topics told to listeners: model, model-kept, recipe, measured, times, ranges, bands, map, search, frontier, job,
    load, message, selection, filter, and the topics of questions (see ``answers``).
    """

    def __init__(self, models: tuple[str, ...] = px.MODELS) -> None:
        self.main = MainLoop()
        self.jobs = Jobs(self.main, self._job_ended, limits.of_this_kernel().job_seconds, self._rest)
        self.models = models
        self.session: Any = None
        self.shown: Shown | None = None
        self.presets: dict[str, Any] = {}
        self.quality: Any = None
        self.latency: Any = None
        self.look_again = False
        """Whether the latency on show is a first look that a longer one should follow."""
        self.timed: dict[str, OpTime] = {}
        self.memory: pd.DataFrame | None = None
        self.eager_ms: float | None = None
        self.times: dict[tuple[str, str], OpTime] = {}
        self.errors: dict[str, str] = {}
        self.range_set: Any = None
        self.range_error = ""
        self.range_tried = False
        self.ranges_whole = False
        """Whether the ranges are those of all the samples that the page looks at, or could not be found."""
        self.bands: dict[JudgedTensor, Band] = {}
        self.band_rows = BandRows()
        self.banded: set[str] = set()
        """The recipes (their hashes) whose bands are all known."""
        self.predicted_map: Any = None
        """What every cell costs as far as it is predicted yet; ``costs`` is the same as a table for the page."""
        self.costs: CostTable | None = None
        self.map_samples = 0
        """From how many samples the map was predicted to the end."""
        self.map_tried = False
        self.map_error = ""
        self.price: Any = None
        """The predicted quality cost of the recipe on show, once there is a map."""
        self.price_error = ""
        self.search = Searching()
        self.loading = Loading()
        self.taking = Taking()
        self.answers = Answers()
        self.came_from: CameFrom | None = None
        self.selection: tuple[str, ...] = ()
        self.filter = ""
        self.message = ""
        self.opening = ""
        self.job = Job()
        self.watched = False
        self._seen: dict[str, tuple[Any, Any, pd.DataFrame | None]] = {}
        self._listeners: list[Listener] = []

    # -- listeners --------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Calls ``listener(topics)`` after every change; returns the function that stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def changed(self, *topics: str) -> None:
        """Tells every listener; one that fails is logged and named in the banner, the others still hear."""
        for listener in tuple(self._listeners):
            try:
                listener(frozenset(topics))
            except Exception as error:
                LOG.exception("a view could not show %s", topics)
                if "message" not in topics:
                    self.complain(f"A view could not show a change: {describe(error)}")

    def complain(self, message: str) -> None:
        """Shows ``message`` in the banner; empty takes it away."""
        if message != self.message:
            self.message = message
            self.changed("message")

    # -- model and recipe -------------------------------------------------------------------------------------------

    def adopt(self, session: Any, came_from: CameFrom | None = None) -> None:
        """Makes ``session`` the page's model and shows it."""
        self.came_from = came_from
        shown, presets = show(session), dict(session.presets())
        self.session, self.shown, self.presets = session, shown, presets
        self.opening, self.selection, self.filter, self.message = "", (), "", ""
        self.times, self.errors, self.eager_ms, self._seen = {}, {}, None, {}
        self.range_tried = False
        self._set_ranges(None, "", whole=False)
        self._forget_map()
        if getattr(session, "has_frontier", False):  # a recorded search is shown as it was found
            self.search.wanted = "search"
        self.answers.forget()
        self.answers.turn_to(shown.recipe.hash)
        self._recall()
        if self.loading.limits.served:
            limits.spare_collector()
        everything = "model recipe measured ranges map search frontier selection filter message job"
        self.changed(*everything.split())

    def recipe_changed(self) -> None:
        """Reads the session again after its recipe changed, with what is already known about it."""
        assert self.shown is not None
        self.shown = show(self.session, self.shown.model)
        self.errors = {}
        # What was chosen is measured before what a page that has just opened shows first.
        self.range_tried = self.map_tried = True
        self.answers.turn_to(self.shown.recipe.hash)
        # What one call does for several ops holds for one recipe only; the other times hold for all.
        self.times = {key: time for key, time in self.times.items() if time.alone}
        self._recall()
        self.price_again()
        self.changed("recipe", "measured")

    def scales_changed(self) -> None:
        """Forgets what was measured under other static scales, and reads the session again."""
        self._seen, self.banded, self.band_rows = {}, set(), BandRows()
        self._forget_map()
        self.answers.forget()
        self.recipe_changed()

    def _recall(self) -> None:
        """Takes what this page showed before for the recipe, else what the trial store knows of it."""
        assert self.shown is not None
        quality, latency, self.memory = self._seen.get(self.shown.recipe.hash, (None, None, None))
        if quality is None or latency is None:
            known = self.session.known()
            quality, latency = quality or known.quality, latency or known.latency
        self.quality, self.latency, self.look_again, self.timed = quality, None, False, {}
        if latency is not None:
            self.take_latency(latency)

    def remember(self) -> None:
        """Keeps the numbers on show, so that coming back to this recipe shows exactly these again."""
        assert self.shown is not None
        whole = self.quality is not None and self.quality.n == self.quality.total
        self._seen[self.shown.recipe.hash] = (self.quality if whole else None, self.latency, self.memory)

    def numbers_of(self, recipe: str) -> tuple[Any, Any]:
        """Quality and latency of any recipe, by its hash: what this page showed, else what the trial store held."""
        quality, latency, _ = self._seen.get(recipe, (None, None, None))
        pair, trials = self.answers.latest("pair"), self.answers.latest("trials")
        for stored in (pair and pair.trials.get(recipe), trials and trials.get(recipe)):
            if stored:
                quality, latency = quality or stored.quality, latency or stored.latency
        return quality, latency

    def memory_of(self, recipe: str) -> pd.DataFrame | None:
        """The memory of any recipe, by its hash, where this page has shown it."""
        return self._seen.get(recipe, (None, None, None))[2]

    def take_latency(self, latency: Any) -> None:
        """Keeps a measured latency and the per-op times that came with it."""
        assert self.shown is not None
        self.latency, self.timed = latency, read_op_times(latency.table)
        self.eager_ms = timings.eager_ms(latency)
        place, precisions = self.shown.place, self.shown.states.precision
        self.times |= {(op, precisions[place[op]]): time for op, time in self.timed.items() if op in place}

    def take_ranges(self, found: Any, error: str = "", *, whole: bool = True) -> None:
        """Shows other ranges (or why there are none), whose formats are to be forecast anew."""
        self._set_ranges(found, error, whole)
        self.changed("ranges", "bands")

    def _set_ranges(self, found: Any, error: str, whole: bool) -> None:
        self.range_set, self.range_error, self.ranges_whole = found, error, whole
        self.bands, self.banded, self.band_rows = {}, set(), BandRows()

    def take_map(self, found: Any, costs: CostTable, *, samples: int) -> None:
        """Shows what cells cost; ``samples``: from how many the map is whole now."""
        self.predicted_map, self.costs, self.map_error = found, costs, ""
        if samples > self.map_samples:
            renew(self, self.map_samples)
            self.map_samples = samples
        self.price_again()
        self.changed("map", "search")

    def price_again(self) -> None:
        """Prices the recipe on show, which runs nothing; whatever was measured since has changed the band."""
        self.price, self.price_error = None, ""
        if self.predicted_map is None or self.shown is None:
            return
        try:
            self.price = self.session.price(self.shown.recipe)
        except Exception as error:  # the cards say why they have no prediction; all else goes on
            self.price_error = describe(error)

    @property
    def map_wanted(self) -> int:
        """The samples that the map should come from in the end; 0 where there are no more to add."""
        most = 0 if self.session is None else min(MAP_SAMPLES[-1], self.session.samples)
        return most if self.map_samples < most and not self.map_error else 0

    @property
    def measured_cells(self) -> Cells:
        """Cells whose cost was measured exactly, by a sweep."""
        return getattr(self.session, "measured_cells", None) or {}

    @property
    def frontier(self) -> Any:
        """The recipes that a search found, for every budget; None before one."""
        return self.search.frontier

    @property
    def proposal(self) -> Any:
        """What is proposed for the budget of the slider, or None."""
        return self.search.proposal

    def try_again(self) -> None:
        """Forgets what failed, so that it counts as missing: numbers of the recipe, ranges, the map."""
        self.errors, self.map_error = {}, ""
        if self.range_error:
            self._set_ranges(None, "", whole=False)
        self.changed("ranges", "map")

    def _forget_map(self) -> None:
        self.predicted_map, self.costs, self.price, self.price_error = None, None, None, ""
        self.map_samples, self.map_tried, self.map_error = 0, False, ""
        self.search = Searching()

    def refresh_costs(self) -> None:
        """Reads again what a measurement taught the engine: cast times and predicted latency."""
        assert self.shown is not None
        rows, predicted = self.session.cast_rows, self.session.predicted_latency_ms()
        self.shown = replace(self.shown, cast_rows=rows, predicted_ms=predicted)

    @property
    def missing(self) -> bool:
        """Whether a number of the current recipe was never measured to the end, or the ranges never were."""
        if self.session is None:
            return False
        if not self.ranges_whole:
            return True
        return self._unmeasured

    @property
    def settled(self) -> bool:
        """Whether the numbers on show stay as they are: none is still to come, nor to be made tighter."""
        if self.opening:
            return False
        return self.job.state == "idle" or not (self._unmeasured or self.look_again)

    @property
    def _unmeasured(self) -> bool:
        quality = self.quality
        return quality is None or quality.n < quality.total or self.latency is None or self.memory is None

    # -- jobs -------------------------------------------------------------------------------------------------------

    def progress(self, text: str, done: int = 0, total: int = 0, also: tuple[str, ...] = ()) -> None:
        """Shows how far the running job is, and tells what else has changed with it: each telling draws every view."""
        self.job = Job("running", text, done, total)
        self.changed("job", *also)

    def cancel(self) -> None:
        """Asks the running job to stop, and drops what waits; it says when it has."""
        if dropped := self.answers.drop():
            self.changed(*dropped)
        self.search.wanted = ""
        self.taking = Taking()
        self.changed("search", "taking")
        if self.jobs.cancel():
            self.job = Job("cancelling", f"cancelling: {self.job.text}", self.job.done, self.job.total)
            self.changed("job")

    def _job_ended(self, task: Task, error: Exception | None) -> None:
        stopped = (task.cancel.is_set() or isinstance(error, px.Cancelled)) and not isinstance(error, Overdue)
        if task.then and error is None and not stopped and not self.jobs.superseded(task):
            task.then()
        if self.jobs.superseded(task):
            return
        self.job = Job("idle", "cancelled" if stopped else "failed" if error else "")
        was_opening, self.opening = self.opening, ""
        if error is not None and not stopped:
            verb = f"Opening {was_opening} failed" if was_opening else f"{task.name} failed"
            self.complain(f"{verb}: {describe(error)}")
        self.changed("job", "measured", *(["model-kept"] if was_opening else []))

    def _rest(self) -> None:
        """Gives back what an idle page does not use; a visitor's also what only makes the next click quicker."""
        if (served := self.loading.limits.served) and hasattr(self.session, "rest"):
            self.session.rest()
        limits.give_back_memory(collect=served)

    def wait(self, timeout: float = 60.0) -> bool:
        """Blocks until the worker is idle; for scripts and tests."""
        return self.jobs.wait(timeout)


def describe(error: Exception) -> str:
    """An error in words for the page: the engine's own message, or the kind of an unexpected one."""
    if isinstance(error, (px.ExplorerError, ValueError)) and str(error):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"
