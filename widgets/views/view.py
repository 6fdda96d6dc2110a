"""A view: an anywidget whose traits go down and whose messages come up; reads its JavaScript and CSS from disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import anywidget
import traitlets

from widgets import messages
from widgets.answering import Fields, Reply
from widgets.jobs import MainLoop
from widgets.sharing import state_of
from widgets.state import Listener, PageState

STATIC = Path(__file__).parent.parent / "static"
RELATIVE_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[\w.]+";\n', re.MULTILINE)
FILES = "files"
"""Where a reply has what is sent as bytes beside its words."""
EVERYWHERE = {"shared": ("shared", "session")}
"""What every view begins with, by the one name that stands for it."""
EXPORT = re.compile(r"^export (?=function|const|async|class)", re.MULTILINE)


@cache
def script(*names: str) -> str:
    """One module made of several: anywidget cannot resolve relative imports, so they are joined in this order."""
    files = [file for name in names for file in EVERYWHERE.get(name, (name,))]
    parts = [(STATIC / f"{file}.js").read_text(encoding="utf-8") for file in files]
    return "\n".join(EXPORT.sub("", RELATIVE_IMPORT.sub("", part)) for part in parts)


@cache
def style(*names: str) -> str:
    """The shared style and those named, joined."""
    return "\n".join((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in (*EVERYWHERE["shared"], *names))


class Pane(anywidget.AnyWidget):
    """What every view is: Python alone writes its traits; the browser asks by message and is always answered."""

    def __init__(self, main: MainLoop) -> None:
        self._main = main
        super().__init__()
        self.on_msg(self._asked)

    def answer(self, content: object) -> Reply:
        """The reply to one message from the browser, whatever it holds."""
        raise NotImplementedError

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Ignores the browser's writes: state goes down, intent comes up as checked messages."""

    def _asked(self, _: object, content: object, buffers: object) -> None:
        def reply() -> None:
            words = self.answer(content)
            self.send(words, words.pop(FILES, None))

        self._main.call(reply)


class Told(Protocol):
    """A state that tells its listeners which topics changed."""

    main: MainLoop

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Calls the listener after every change; returns the function that stops it."""
        ...


class StateView(Pane):
    """A view of a state that tells its listeners what changed: it shows the topics that it names."""

    shows: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, state: Told) -> None:
        super().__init__(state.main)
        self._told_by = state
        self.follow()

    def show(self) -> None:
        """Writes every trait from the state."""
        with self.hold_sync():
            self.update(frozenset(self.shows))

    def update(self, topics: frozenset[str]) -> None:
        """Writes the traits that ``topics`` concern; each view says which."""
        raise NotImplementedError

    def follow(self) -> None:
        """Shows the state as it is now, and from now on what changes of it."""
        self.show()
        self._stop = self._told_by.subscribe(self._heard)

    def rest(self) -> None:
        """Lets what changes pass until :meth:`follow`: nobody looks."""
        self._stop()

    def close(self) -> None:
        """Stops listening and takes the view off every page."""
        self._stop()
        super().close()

    def _heard(self, topics: frozenset[str]) -> None:
        if topics & self.shows:
            with self.hold_sync():
                self.update(topics & self.shows)


class View(StateView):
    """One view of a page's state; ``own``: messages, with their fields, that it alone knows and ``act`` carries out."""

    own: ClassVar[Mapping[str, set[str]]] = {}

    def __init__(self, source: object = None) -> None:
        self.page_state: PageState = state_of(source)
        super().__init__(self.page_state)

    def answer(self, content: object) -> Reply:
        return messages.answer(self.page_state, content, self.own, self.act)

    def act(self, kind: str, fields: Fields) -> Reply | None:
        """Carries out one of the view's ``own`` messages."""
        raise NotImplementedError


def synced(**defaults: Any) -> traitlets.Dict[str, Any]:
    """A dict trait that the browser sees."""
    trait: traitlets.Dict[str, Any] = traitlets.Dict(default_value=defaults)
    return trait.tag(sync=True)
