"""A problem as an integer programme: columns with what they cost and use up, rows that say what goes together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.search.problem import Condition, Joint, Problem, Shared

Floats = NDArray[np.float64]


@dataclass
class Programme:
    """Columns and rows as they are written: ``quality`` and ``spent`` of each column, and the ``entries`` of the rows
    that are not 0: row, column and value of each.

    ``column``: (group, precision) -> the column that says whether it is chosen. Those after them follow from these;
    all are shares from 0 to 1, and whole numbers but for the ``continuous`` ones. ``meeting``: condition -> the columns
    of which one is chosen exactly when it holds.
    """

    column: dict[tuple[int, str], int] = field(default_factory=dict)
    quality: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    entries: tuple[list[int], list[int], list[float]] = field(default_factory=lambda: ([], [], []))
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    continuous: set[int] = field(default_factory=set)
    meeting: dict[Condition, list[int]] = field(default_factory=dict)

    def add_column(self, quality: float, spent: float) -> int:
        self.quality.append(quality)
        self.spent.append(spent)
        return len(self.quality) - 1

    def add_row(self, entries: Iterable[tuple[int, float]], lower: float, upper: float) -> None:
        rows, columns, values = self.entries
        for column, value in entries:
            rows.append(len(self.lower))
            columns.append(column)
            values.append(value)
        self.lower.append(lower)
        self.upper.append(upper)

    def limit(self, weights: Floats, most: float) -> None:
        """Add the row that what is chosen weighs at most so much, scaled to numbers near 1."""
        scale = 1.0 / max(float(np.abs(weights).max(initial=0.0)), abs(most), 1e-300)
        places = np.flatnonzero(weights)
        self.add_row(zip(places.tolist(), (weights[places] * scale).tolist(), strict=True), -math.inf, most * scale)

    @property
    def matrix(self) -> Any:
        """The rows as a sparse array [rows, columns]."""
        from scipy.sparse import csr_array

        rows, columns, values = self.entries
        return csr_array((values, (rows, columns)), shape=(len(self.lower), len(self.quality)))


def write(problem: Problem) -> Programme:
    """Return the programme of a problem: one column per choice of a group, those of what is shared, joint and held."""
    programme = Programme()
    for index, group in enumerate(problem.groups):
        for name in problem.options(index):
            quality = sum(problem.quality[op][name] for op in group)
            programme.column[index, name] = programme.add_column(quality, sum(problem.spent[op][name] for op in group))
    for index in range(len(problem.groups)):
        programme.add_row([(programme.column[index, name], 1.0) for name in problem.options(index)], 1.0, 1.0)
    for shared in problem.shared:
        _write_shared(programme, problem, shared)
    for joint in problem.joint:
        _write_joint(programme, problem, joint)
    _write_peaks(programme, problem)
    return programme


def _columns(programme: Programme, problem: Problem, condition: Condition) -> list[int]:
    """The columns of which one is chosen exactly when a condition holds."""
    if condition not in programme.meeting:
        op, names = condition
        group = problem.group_of[op]
        found = [programme.column[group, name] for name in problem.options(group) if name in names]
        programme.meeting[condition] = found
    return programme.meeting[condition]


def _write_shared(programme: Programme, problem: Problem, shared: Shared) -> None:
    if shared.cost > 0:
        _add_shared(programme, problem, shared, shared.cost)


def _add_shared(programme: Programme, problem: Problem, shared: Shared, spent: float) -> int | None:
    """Add a column y >= (reader wants it) - (maker gives it) for every reader; what it costs keeps it no larger.

    Returns the column, None where nothing ever wants it.
    """
    given = [] if shared.maker is None else _columns(programme, problem, shared.maker)
    readers = [[] if reader is None else _columns(programme, problem, reader) for reader in shared.readers]
    always = None in shared.readers
    wanted = [columns for columns in readers if columns]
    if not (always or wanted):
        return None
    paid = programme.add_column(0.0, spent)
    for columns in [[]] if always else wanted:
        # Tied ops may stand on both sides of the row, where they cancel.
        weights: dict[int, float] = {paid: 1.0}
        for column in columns:
            weights[column] = weights.get(column, 0.0) - 1.0
        for column in given:
            weights[column] = weights.get(column, 0.0) + 1.0
        programme.add_row(weights.items(), 1.0 if always else 0.0, math.inf)
    return paid


def _write_peaks(programme: Programme, problem: Problem) -> None:
    """One column, the largest of the peaks as a share of the most that can be held, and a row for each of them."""
    most = max((peak.bounds()[1] for peak in problem.peaks), default=0.0)
    if not most:
        return
    largest = programme.add_column(0.0, most)
    programme.continuous.add(largest)
    casts: dict[Shared, int | None] = {}
    for peak in problem.peaks:
        weights: dict[int, float] = {largest: 1.0}
        for op, sizes in peak.alone.items():
            group = problem.group_of[op]
            for name in problem.options(group):
                column = programme.column[group, name]
                weights[column] = weights.get(column, 0.0) - sizes[name] / most
        for shared in peak.shared:
            if shared not in casts:
                casts[shared] = _add_shared(programme, problem, shared, 0.0)
            if (held := casts[shared]) is not None:
                weights[held] = weights.get(held, 0.0) - shared.cost / most
        programme.add_row(weights.items(), peak.fixed / most, math.inf)


def _write_joint(programme: Programme, problem: Problem, joint: Joint) -> None:
    """One column: at most what each condition allows where it saves, at least what all force where it costs."""
    conditions = [_columns(programme, problem, condition) for condition in joint.conditions]
    if joint.cost == 0 or not all(conditions):
        return
    both = programme.add_column(0.0, joint.cost)
    if joint.cost < 0:
        for columns in conditions:
            programme.add_row([(both, 1.0), *((column, -1.0) for column in columns)], -math.inf, 0.0)
        return
    weights: dict[int, float] = {both: 1.0}
    for column in (column for columns in conditions for column in columns):
        weights[column] = weights.get(column, 0.0) - 1.0
    programme.add_row(weights.items(), 1.0 - len(conditions), math.inf)
