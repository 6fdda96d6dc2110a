"""The frontier: quality cost against latency, memory or bits; a click restores the recipe of a point."""

from __future__ import annotations

from typing import Any, ClassVar

import ipywidgets

from widgets import history_rows
from widgets.answering import BadMessage, Fields, text_field
from widgets.charts.front import AXES, Scene, draw_front, table_of_front
from widgets.front_marks import name_of, read_scene, without_speed
from widgets.measuring import ask, measure
from widgets.views.plot import Plot
from widgets.views.view import View, script, style, synced

MAX_NAME = 20


class FrontierHead(View):
    """The plot's words and the choice of its axis. Follows what the search finds and what is measured."""

    _esm = script("shared", "numbers", "tip", "terms", "words", "panel_words", "undone", "panel", "frontier")
    _css = style("figures", "frontier")
    shows = frozenset({"model", "recipe", "measured", "trials", "map", "search", "frontier"})
    own: ClassVar[dict[str, set[str]]] = {"axis": {"value"}}

    frontier = synced(state="none")

    def __init__(self, source: object = None) -> None:
        self.axis = "latency"
        self.scene: Scene | None = None
        self.plot = Plot("frontier", on_click=self._clicked)
        self.body = ipywidgets.Box()
        self._signature: Any = None
        self._solver: Any = None
        self._amounts: dict[str, dict[str, float]] = {}
        super().__init__(source)
        ask(self.page_state, history_rows.QUESTION)

    def update(self, topics: frozenset[str]) -> None:
        state = self.page_state
        if "frontier" in topics:
            self._turn_to(state.search.frontier)
        self.scene = read_scene(state, self.axis, self._amounts) if state.shown is not None else None
        signature = None if self.scene is None else _signature(self.scene)
        if self.scene is not None and signature != self._signature:
            self.plot.show(draw_front(self.scene), table_of_front(self.scene))
        self._signature = signature
        self.frontier = self._words()
        self.body.children = [self.plot] if self.scene is not None and self.scene.marks else []

    def _turn_to(self, frontier: Any) -> None:
        """What another search found decides the axis; of the same one, verified, what it reckoned stays right."""
        solver = getattr(frontier, "solver", frontier)
        if solver is not self._solver:
            self._solver, self._amounts = solver, {}
            self.axis = "latency" if frontier is None else frontier.objective

    def close(self) -> None:
        """Takes the view and its plot off every page."""
        self.plot.close()
        super().close()

    def act(self, kind: str, fields: Fields) -> None:
        axis = text_field(fields, "value", MAX_NAME)
        if axis not in AXES:
            raise BadMessage(f"axis must be one of {', '.join(AXES)}")
        self.axis = axis
        self.update(frozenset({"recipe"}))

    def _clicked(self, of: str) -> None:
        """Makes the recipe with the hash ``of`` the current one; the history holds the former."""
        state, marks = self.page_state, () if self.scene is None else self.scene.marks
        mark = next((each for each in marks if each.recipe.hash == of), None)
        if mark is None or state.shown is None:
            raise BadMessage(f"no recipe {of[:16]!r} is on show any more; click on a point that is")
        if of != state.shown.recipe.hash:
            state.session.apply(mark.recipe, name_of(mark))
            state.recipe_changed()
            measure(state)

    def _words(self) -> dict[str, Any]:
        state = self.page_state
        if self.scene is None:
            return {"state": "none"}
        marks = self.scene.marks
        return {
            "state": "unsearched" if state.search.frontier is None else "ready",
            "axis": self.axis,
            "axes": [list(each) for each in AXES.items()],
            "proposals": sum(mark.kind == "search" for mark in marks),
            "verified": sum(mark.measured for mark in marks if mark.kind == "search"),
            "trials": len({mark.recipe.hash for mark in marks if mark.measured}),
            "left_out": without_speed(state) if self.axis == "latency" else 0,
        }


class Frontier(ipywidgets.VBox):
    """The frontier of a page, a session or a state: its words over the plot."""

    def __init__(self, source: object = None) -> None:
        self.head = FrontierHead(source)
        self.page_state = self.head.page_state
        super().__init__([self.head, self.head.body])
        self.add_class("px-frontierchart")

    def close(self) -> None:
        """Stops listening and takes the chart off every page."""
        self.head.close()
        super().close()


def _signature(scene: Scene) -> Any:
    """Equal for scenes that look alike, so that what streams in does not redraw the same picture."""
    marks = [(mark.kind, mark.recipe.hash, mark.cost, mark.amount, mark.measured, mark.words) for mark in scene.marks]
    return repr((scene.axis, scene.unit, scene.lines, marks))
