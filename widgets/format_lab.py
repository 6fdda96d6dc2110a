"""The format lab: one number through every format, the values of formats on one axis, and sections that fold."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets

from widgets.lab_panels import panels, warm_up
from widgets.lab_state import LabState
from widgets.views.number_bits import NumberBits
from widgets.views.section import Section
from widgets.views.value_grid import ValueGrid


class FormatLab(ipywidgets.VBox):
    """The lab as one widget; ``lab`` is its state, ``warming`` the thread that loads what its sections need.

    ``number``: where it starts, a number or text such as "1/3". ``formats``: names of the scalar formats to show.
    """

    def __init__(self, number: float | str = 0.1, formats: Sequence[str] | None = None) -> None:
        self.lab = LabState(number, formats)
        self.number_bits = NumberBits(self.lab)
        self.value_grid = ValueGrid(self.lab)
        self.sections = [Section(title, make) for title, make in panels()]
        super().__init__([self.number_bits, self.value_grid, *self.sections])
        self.add_class("px-page")
        self.add_class("px-lab")
        self.warming = warm_up()
