"""The inspector: one tensor of the selected op, spread out against any format; its channels; the op's own error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import ipywidgets

from explorer.compare import OutputHistograms, output_histograms
from widgets.answering import BadMessage, Fields, Reply, text_field
from widgets.answers import Ask
from widgets.charts.channels import draw_channels
from widgets.charts.magnitudes import draw_magnitudes
from widgets.charts.spreads import draw_error, draw_slices
from widgets.inspection import ASSIGNED, Judged, Seen, judge_as, tensors_at
from widgets.inspector_words import choices_of, error_figures, facts_of, figures_of
from widgets.jobs import Jobs, Task
from widgets.measuring import ask, measure
from widgets.plain import text, why_none
from widgets.shown import Shown
from widgets.state import describe
from widgets.views.plot import Plot
from widgets.views.view import View, script, style, synced

TOPIC = "error-histogram"
ERROR_SAMPLES = 128
MAX_NAME = 300


@dataclass(frozen=True)
class Choice:
    """What a person chose to see; kept from op to op, as far as the op has it. ``port`` "": what it is judged by."""

    port: str = ""
    format: str = ASSIGNED
    order: str = "size"


Drawn = tuple[Any, Any]
"""A figure and the table behind it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """All that one choice shows: the words for the browser, and what each plot holds; a plot without it is away."""

    words: dict[str, Any]
    plots: dict[str, Drawn]


def picture(session: Any, shown: Shown, range_set: Any, op: str, choice: Choice) -> Picture:
    """What there is to see of an op: in a fraction of a second, from the ranges alone."""
    facts = facts_of(session, shown, op)
    found = tensors_at(session, shown.recipe, range_set, op)
    if not found:
        return Picture({"state": "nothing", "op": op, "facts": facts}, {})
    seen = next((each for each in found if each.port == choice.port), found[0])
    judged = judge_as(seen, choice.format)
    words = {
        "state": "ready", "op": op, "facts": facts, "figures": figures_of(judged, range_set.samples),
        "choices": choices_of(found, seen),
        "chosen": {"port": seen.port, "format": choice.format, "order": choice.order},
    }  # fmt: skip
    return Picture(words, _draw(seen, judged, choice.order == "size"))


def _draw(seen: Seen, judged: Judged, by_size: bool) -> dict[str, Drawn]:
    channels = seen.range.channel_absmax
    plots = {"magnitudes": draw_magnitudes(seen.range.histogram, judged.held)}
    if channels is not None and len(channels) > 1:
        plots["channels"] = draw_channels(channels, judged.held, by_size)
    if seen.slices:
        plots["slices"] = draw_slices(seen.slices, judged.held)
    return plots


class InspectorHead(View):
    """The inspector's words and choices. ``plots``: its plots by name; ``body``: those that hold something.

    What is seen of a tensor is worked out in a worker of the inspector's own; the latest choice wins. The op's error is
    measured in the page's worker, when someone asks for it.
    """

    _esm = script("shared", "tip", "terms", "words", "undone", "panel", "panel_words", "inspector")
    _css = style("figures", "inspector")
    shows = frozenset({"model", "recipe", "selection", "ranges", TOPIC})
    own: ClassVar[dict[str, set[str]]] = {"choose": {"what", "value"}, "error": set()}

    inspected = synced(state="none")
    error = synced(state="idle")

    def __init__(self, source: object = None) -> None:
        self.choice = Choice()
        self.plots = {name: Plot(f"inspector-{name}") for name in ("magnitudes", "channels", "slices", "error")}
        self.body = ipywidgets.Box()
        self.body.add_class("px-inspector-plots")
        self._shown: frozenset[str] = frozenset()
        self._jobs: Jobs | None = None
        super().__init__(source)

    def update(self, topics: frozenset[str]) -> None:
        self._show_error()
        if topics != {TOPIC}:
            self._refresh()

    def wait(self, timeout: float = 60.0) -> bool:
        """Blocks until the latest choice is shown; for scripts and tests without a running event loop."""
        return self._jobs is None or self._jobs.wait(timeout)

    def close(self) -> None:
        """Stops the work and takes the view and its plots off every page."""
        self._drop()
        for plot in self.plots.values():
            plot.close()
        super().close()

    @property
    def op(self) -> str:
        """The selected op, the first of several; empty where there is none."""
        return self.page_state.selection[0] if self.page_state.selection else ""

    # -- messages ----------------------------------------------------------------------------------------------------

    def act(self, kind: str, fields: Fields) -> Reply | None:
        if kind == "choose":
            self._choose(text_field(fields, "what", MAX_NAME), text_field(fields, "value", MAX_NAME))
        elif kind == "error":
            if not self.op:
                raise BadMessage("no op is selected: click one in the map")
            run = partial(_measure_error, op=self.op)
            ask(self.page_state, Ask(TOPIC, f"measuring the error of {self.op}", run, about=self.op))
        return None

    def _choose(self, what: str, value: str) -> None:
        offered = self.inspected.get("choices", {}).get(what, [])
        if value not in [name for name, _ in offered]:
            raise BadMessage(f"{what[:40]!r} has no {value[:40]!r} to choose here")
        self.choice = replace(self.choice, **{what: value})
        self._refresh()

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        state, op = self.page_state, self.op
        self._drop()
        if not op or state.shown is None:
            self._take(Picture({"state": "none"}, {}))
        elif state.range_set is None:
            why = why_none(state.session, state.range_error) or "pending"
            self._take(Picture({"state": why, "op": op, "error": text(state.range_error)}, {}))
            self._want_ranges()
        else:
            asked = (state.session, state.shown, state.range_set, op, self.choice)

            def work(task: Task) -> None:
                found = picture(*asked)
                task.post(lambda: self._take(found))

            self._jobs = self._jobs or Jobs(self._main, self._ended)
            self._jobs.submit("inspect", work)

    def _drop(self) -> None:
        """Stops what is worked out for a former choice, which must not be shown over a later one."""
        if self._jobs is not None:
            self._jobs.cancel()

    def _want_ranges(self) -> None:
        """Has the ranges read next, where a click interrupted that: someone looks at them now."""
        if not self.page_state.range_error:
            self.page_state.range_tried = False
            measure(self.page_state)

    def _take(self, found: Picture) -> None:
        for name, (figure, data) in found.plots.items():
            self.plots[name].show(figure, data)
        self.inspected = found.words
        self._place(frozenset(found.plots), keep="error")

    def _ended(self, task: Task, error: Exception | None) -> None:
        if error is not None and not task.cancel.is_set():
            self._take(Picture({"state": "failed", "op": self.op, "error": text(describe(error))}, {}))

    def _show_error(self) -> None:
        found = self.page_state.answers.read(TOPIC, self.op)
        if found.state != "ready":
            self.error = {"state": found.state, "error": text(found.error)}
            self._place(self._shown - {"error"})
            return
        self.plots["error"].show(*draw_error(found.value))
        emulated = self.page_state.shown is not None and bool(self.page_state.shown.ops.loc[self.op, "emulated"])
        self.error = {"state": "ready", "figures": error_figures(found.value, emulated, ERROR_SAMPLES)}
        self._place(self._shown | {"error"})

    def _place(self, names: frozenset[str], keep: str = "") -> None:
        """Puts the plots that hold something on the page, in their order."""
        names = names | ({keep} & self._shown)
        if names != self._shown:
            self._shown = names
            self.body.children = [plot for name, plot in self.plots.items() if name in names]


class Inspector(ipywidgets.VBox):
    """The inspector of a page, a session or a state: words and choices over the plots."""

    def __init__(self, source: object = None) -> None:
        self.head = InspectorHead(source)
        self.page_state = self.head.page_state
        super().__init__([self.head, self.head.body])
        self.add_class("px-inspector")

    def close(self) -> None:
        """Stops listening and takes the inspector off every page."""
        self.head.close()
        super().close()


def _measure_error(session: Any, recipe: Any, op: str, progress: Any, cancel: Any) -> OutputHistograms:
    return output_histograms(session.subject, recipe, op, ERROR_SAMPLES, progress, cancel)
