"""An experiment: controls over words and a picture. It computes in a worker, and says in its place what went wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Generic, TypeVar

import anywidget
import ipywidgets
import traitlets

import explorer as px
from widgets.jobs import Jobs, MainLoop, Task
from widgets.state import describe
from widgets.views.view import script, style

LOG = logging.getLogger("widgets")
Settings = TypeVar("Settings")
Result = TypeVar("Result")


class Experiment(ipywidgets.VBox, Generic[Settings, Result]):
    """A panel that computes anew when one of its controls changes; the latest settings win.

    A panel says what its controls hold (``settings``), computes from that alone in the worker (``compute``), and shows
    the result on the main loop (``show``). An exception in any of the three is shown in the panel and, unless it is one
    that a user can act on, logged.
    """

    def __init__(self, about: str, controls: Mapping[str, Any], body: Sequence[ipywidgets.Widget]) -> None:
        """``about``: text; ``controls``: widgets with a ``value``, by their labels; ``body``: what shows the result."""
        self._main = MainLoop()
        self._jobs = Jobs(self._main, self._ended)
        self.message = ipywidgets.HTML()
        bar = ipywidgets.Box([_labelled(control, label) for label, control in controls.items()])
        bar.add_class("px-knobs")
        super().__init__([About(about), bar, self.message, *body])
        for name in ("px", "px-experiment"):
            self.add_class(name)
        for control in controls.values():
            control.observe(self._turned, "value")
        # At once: what a worker sends while a browser still loads the page never reaches it.
        self._guarded(lambda: self._show(self.compute(self.settings())))

    def settings(self) -> Settings:
        """What the controls hold, as a value; raises ``explorer.ExplorerError`` where they make no experiment."""
        raise NotImplementedError

    def compute(self, settings: Settings) -> Result:
        """The result; touches no widget, for all but the first one are computed in the worker."""
        raise NotImplementedError

    def show(self, result: Result) -> None:
        """Writes the result into the panel's widgets."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Computes with the present settings and shows the result soon."""
        self._guarded(self._submit)

    def wait(self, timeout: float = 60.0) -> bool:
        """Blocks until nothing runs; for scripts and tests without a running event loop."""
        return self._jobs.wait(timeout)

    def close(self) -> None:
        """Stops the work and takes the panel off every page."""
        self._jobs.cancel()
        super().close()

    def _turned(self, _: object) -> None:
        self._main.call(self.refresh)

    def _submit(self) -> None:
        settings = self.settings()
        self.add_class("px-computing")

        def work(task: Task) -> None:
            result = self.compute(settings)
            task.post(lambda: self._guarded(lambda: self._show(result)))

        self._jobs.submit(type(self).__name__, work)

    def _show(self, result: Result) -> None:
        self.show(result)
        self.message.value = ""

    def _ended(self, task: Task, error: Exception | None) -> None:
        if self._jobs.superseded(task):
            return
        self.remove_class("px-computing")
        if error is not None and not task.cancel.is_set():
            self._complain(error)

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:  # a callback's failure shows nowhere else on a served page
            if not isinstance(error, px.ExplorerError):
                LOG.exception("%s failed", type(self).__name__)
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self._jobs.cancel()
        self.remove_class("px-computing")
        self.message.value = f"<div class='px-strip' role='alert' data-testid='message'>{escape(describe(error))}</div>"


class About(anywidget.AnyWidget):
    """What an experiment is about; brings the panel's style."""

    _esm = script("about")
    _css = style("experiment")

    about = traitlets.Unicode().tag(sync=True)

    def __init__(self, about: str) -> None:
        super().__init__(about=about)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Ignores the browser's writes."""


class FormatChoice(ipywidgets.Box):
    """A button per format, any number of them pressed; ``value`` are the names of the pressed ones, in order."""

    value: Any = traitlets.Tuple()

    def __init__(self, formats: Sequence[str], pressed: Sequence[str]) -> None:
        buttons = {
            name: ipywidgets.ToggleButton(name in pressed, description=px.FORMATS[name].label) for name in formats
        }
        super().__init__(list(buttons.values()))
        self.buttons = buttons
        self.add_class("px-choice")
        for button in buttons.values():
            button.observe(self._read, "value")
        self._read(None)

    def _read(self, _: object) -> None:
        self.value = tuple(name for name, button in self.buttons.items() if button.value)


def _labelled(control: Any, label: str) -> ipywidgets.VBox:
    """The control below its label, which is also its name for screen readers where the control can have one."""
    if isinstance(control, ipywidgets.Dropdown | ipywidgets.Text):
        control.description = label
        box = ipywidgets.VBox([control])
    else:
        box = ipywidgets.VBox([ipywidgets.HTML(f"<span class='px-label'>{escape(label)}</span>"), control])
    box.add_class("px-field")
    return box


def chip(format: str) -> str:
    """A format's name in its family's colour, as HTML."""
    return f"<b class='px-format px-fam-{format.split('_')[0]}'>{px.FORMATS[format].label}</b>"


def number(value: float, digits: int = 6) -> str:
    """A number as HTML for a sentence: NaN and Inf by name, thousands apart, powers of ten raised, true minus signs."""
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "Inf" if value > 0 else "\N{MINUS SIGN}Inf"
    if 10.0**digits <= abs(value) < 1e7:
        text = f"{value:,.0f}"
    else:
        mantissa, _, power = f"{value:,.{digits}g}".partition("e")
        text = f"{mantissa}×10<sup>{int(power)}</sup>" if power else mantissa
    return text.replace("-", "\N{MINUS SIGN}")


def percent(part: float) -> str:
    """A part of one as a percentage without its sign."""
    return f"{number(abs(part) * 100, 4 if abs(part) > 0.99 else 3)} %" if part else "nothing"


def listing(sentences: Iterable[str], testid: str) -> str:
    """Sentences as an HTML list."""
    return f"<ul class='px-words' data-testid='{testid}'>{''.join(f'<li>{each}</li>' for each in sentences)}</ul>"
