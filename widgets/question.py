"""A question for a reader: answered by choosing, checked in the kernel, so that the answer holds on this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from html import escape
from typing import Any

import ipywidgets

from widgets.state import describe

Right = str | Collection[str]
MOST_BUTTONS = 8
"""From more choices than these one picks in a list."""
RIGHT, WRONG, NONE_CHOSEN = "Right.", "Not so. Look again, or choose another.", "Choose first."


class Question(ipywidgets.VBox):
    """A question with its choices, a button that checks what was chosen, and one that gives the answer away.

    right: the right choice, or several, all of which are to be ticked; or a function that finds them, called when it is
    first needed, for what takes a while. because: said with the answer, plain text. Raises ``ValueError`` where a right
    choice that is given is none of the choices.
    """

    def __init__(
        self,
        asked: str,
        choices: Sequence[str],
        right: Right | Callable[[], Right],
        because: str = "",
        many: bool = False,
    ) -> None:
        self._choices, self._because, self._many = tuple(choices), because, many
        self._find = right if callable(right) else lambda: right
        if not callable(right):
            self._check_known(self._right())
        self._controls = self._make_controls()
        self._said = ipywidgets.HTML()
        self._said.add_class("px-question-said")
        check = ipywidgets.Button(description="Check", button_style="primary")
        show = ipywidgets.Button(description="Show the answer")
        check.on_click(lambda _: self._answer(self.check))
        show.on_click(lambda _: self._answer(self.tell))
        words = ipywidgets.HTML(f"<p style='max-width: 46rem; line-height: 1.5'>{escape(asked)}</p>")
        super().__init__([words, *self._controls, ipywidgets.HBox([check, show]), self._said])
        self.add_class("px-question")

    @property
    def chosen(self) -> frozenset[str]:
        """What the reader has chosen."""
        if self._many:
            return frozenset(name for name, box in zip(self._choices, self._controls, strict=True) if box.value)
        (control,) = self._controls
        return frozenset([control.value] if control.value is not None else [])

    @property
    def said(self) -> str:
        """What the question last said, as HTML."""
        return str(self._said.value)

    def check(self) -> str:
        """Return whether the chosen is right, in words."""
        if not self.chosen and not self._many:
            return NONE_CHOSEN
        return f"{RIGHT} {self._because}" if self.chosen == self._right() else WRONG

    def tell(self) -> str:
        """Return the answer, in words."""
        right = self._right()
        names = ", ".join(name for name in self._choices if name in right) or "none of them"
        return f"{names}. {self._because}"

    def _answer(self, find: Callable[[], str]) -> None:
        """Show what ``find`` returns, or why it failed: a view shows its own failures."""
        try:
            words, role = find(), "status"
        except Exception as error:
            words, role = describe(error), "alert"
        self._said.value = f"<div role='{role}'>{escape(words)}</div>"

    def _right(self) -> frozenset[str]:
        found = self._find()
        right = frozenset([found] if isinstance(found, str) else found)
        self._check_known(right)
        return right

    def _check_known(self, right: frozenset[str]) -> None:
        if unknown := sorted(right - frozenset(self._choices)):
            raise ValueError(f"{unknown[0]!r} is none of the choices")

    def _make_controls(self) -> tuple[ipywidgets.Widget, ...]:
        if self._many:
            return tuple(ipywidgets.Checkbox(description=name, indent=False) for name in self._choices)
        looks: dict[str, Any] = {"value": None, "layout": {"width": "max-content", "max_width": "100%"}}
        if len(self._choices) <= MOST_BUTTONS:
            return (ipywidgets.RadioButtons(options=self._choices, **looks),)
        named = {"description": "your answer", "style": {"description_width": "initial"}}
        return (ipywidgets.Dropdown(options=self._choices, **looks, **named),)
