"""The whole page: the views in their places, sharing one state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets

import explorer as px
from widgets.measuring import measure
from widgets.sharing import state_of
from widgets.state import PageState
from widgets.views.address import Address
from widgets.views.casts_panel import CastsPanel
from widgets.views.compare_recipes import CompareRecipes
from widgets.views.culprits_panel import CulpritsPanel
from widgets.views.delta_bar import DeltaBar
from widgets.views.errors_chart import ErrorsChart
from widgets.views.findings_panel import FindingsPanel
from widgets.views.frontier import Frontier
from widgets.views.history_panel import HistoryPanel
from widgets.views.inspector import Inspector
from widgets.views.load_panel import LoadPanel
from widgets.views.message_banner import MessageBanner
from widgets.views.precision_map import PrecisionMap
from widgets.views.recipe_panel import RecipePanel
from widgets.views.recorded_mark import RecordedMark
from widgets.views.search_panel import SearchPanel
from widgets.views.section import Section
from widgets.views.time_table import TimeTable
from widgets.views.top_bar import TopBar
from widgets.views.tour import Tour

SECTIONS: tuple[tuple[str, Callable[[Any], ipywidgets.Widget]], ...] = (
    ("Findings: what goes wrong, why, and what to do", FindingsPanel),
    ("Inspector: one op's tensors against any number format", Inspector),
    ("Casts: where tensors change their format", CastsPanel),
    ("Errors: where error is made and what becomes of it, op by op", ErrorsChart),
    ("Culprits: the samples that moved most", CulpritsPanel),
    ("Frontier: quality cost against what a recipe takes", Frontier),
    ("History: every recipe that you chose", HistoryPanel),
    ("Compare: two recipes side by side", CompareRecipes),
)
"""Below the map, each made when it is first opened."""


class Page(ipywidgets.VBox):
    """The page as one widget; ``page.session`` is the open session, None while it opens."""

    def __init__(self, source: object = None, models: Sequence[str] = px.MODELS) -> None:
        self.page_state: PageState = state_of(source, models)
        self.top_bar = TopBar(self)
        self.recorded_mark = RecordedMark(self)
        self.banner = MessageBanner(self)
        self.load_panel = LoadPanel(self)
        self.tour = Tour(self)
        # Views hear of a change in this order: the numbers first, then the map, which has marked a click already and
        # has thousands of rows to look through.
        self.delta_bar = DeltaBar(self)
        self.recipe_panel = RecipePanel(self)
        self.precision_map = PrecisionMap(self)
        self.time_table = TimeTable(self)
        # Beside the map, so that one sees the proposal move under the slider.
        self.search_section = Section("Search: the best recipe under a budget", partial(SearchPanel, self))
        beside = ipywidgets.VBox([self.search_section, self.recipe_panel, self.time_table])
        beside.add_class("px-beside")
        self.sections = [Section(title, partial(make, self)) for title, make in SECTIONS]
        below = ipywidgets.VBox(self.sections)
        below.add_class("px-below-map")
        # What floats at the side stands before what flows around it; in a narrow page the style puts the map first.
        main = ipywidgets.Box([beside, self.precision_map, below])
        main.add_class("px-main")
        self.address = Address(self, (self.search_section, *self.sections))
        above = [
            self.address,
            self.top_bar,
            self.recorded_mark,
            self.banner,
            self.load_panel,
            self.tour,
            self.delta_bar,
        ]
        super().__init__([*above, main])
        self.add_class("px-page")

    @property
    def session(self) -> Any:
        return self.page_state.session

    def refresh(self) -> None:
        """Shows what changed behind the page's back: after ``session.set(...)`` in another cell."""
        self.page_state.recipe_changed()
        measure(self.page_state)

    def wait(self, timeout: float = 60.0) -> bool:
        """Blocks until nothing runs; for scripts and tests without a running event loop."""
        return self.page_state.wait(timeout)


def explore(session_or_name: object = None, *, models: Sequence[str] = px.MODELS) -> Page:
    """Returns the whole page for a session, or for a bundled model's name, which is opened in the background.

    ``models`` are the names that the page's chooser offers.
    """
    return Page(session_or_name, models)
