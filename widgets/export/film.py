"""A film of a page: its layout, and for every recipe what each view shows; each value is kept once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import ipywidgets

from widgets.views.section import Section
from widgets.views.view import Pane

Patch = dict[str, dict[str, int]]
"""Node -> trait -> the number of its value."""
LEFT_OUT = frozenset({"layout", "tabbable", "tooltip", "comm", "keys", "log", "box_style"})


class Film:
    """What a page showed, ready to be written down: ``nodes`` of the layout, ``values``, and frames of them.

    A node is a view, a box of other nodes, or a section with a head and a body. Every box's children and every view's
    traits are numbers of ``values``.
    """

    def __init__(self, page: ipywidgets.Widget) -> None:
        self.page = page
        self.values: list[Any] = []
        self.nodes: dict[str, dict[str, Any]] = {}
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._numbers: dict[str, int] = {}

    def shot(self, root: ipywidgets.Widget | None = None) -> Patch:
        """What everything below ``root`` (default the page) shows now."""
        return {self.name(each): self._traits(each) for each in _walk(root or self.page)}

    def keep(self, value: Any) -> int:
        """The number of a value; equal values have one."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            value = {"bytes": base64.b64encode(bytes(value)).decode()}
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        if text not in self._numbers:
            self._numbers[text] = len(self.values)
            self.values.append(value)
        return self._numbers[text]

    def name(self, widget: ipywidgets.Widget) -> str:
        """The node of a widget, made when it is first seen."""
        found = str(widget.model_id)
        if found not in self.nodes:
            self.nodes[found] = self._node(widget)
        return found

    def _node(self, widget: ipywidgets.Widget) -> dict[str, Any]:
        classes = list(getattr(widget, "_dom_classes", ()))
        if isinstance(widget, Pane):
            script, style = _place(self.scripts, widget._esm), _place(self.styles, widget._css)
            return {"kind": "view", "type": type(widget).__name__, "script": script, "style": style}
        if isinstance(widget, Section):
            return {"kind": "section", "classes": classes, "head": self.name(widget.head)}
        return {"kind": "box", "type": type(widget).__name__, "classes": classes}

    def _traits(self, widget: ipywidgets.Widget) -> dict[str, int]:
        if isinstance(widget, Pane):
            state = widget.get_state()
            shown = {name: value for name, value in state.items() if not name.startswith("_") and name not in LEFT_OUT}
            return {name: self.keep(value) for name, value in shown.items()}
        return {"children": self.keep([self.name(child) for child in widget.children])}


def _walk(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    yield widget
    if not isinstance(widget, Pane):
        for child in widget.children:
            yield from _walk(child)


def _place(texts: list[str], text: Any) -> int:
    text = str(text)
    if text not in texts:
        texts.append(text)
    return texts.index(text)
