"""What a choice costs in quality and what each swap changes of it: op by op, or with all interactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from explorer.search.problem import Choice, Condition, Problem, holds

Floats = NDArray[np.float64]
Rows = Mapping[tuple[int, str], int]
SURE = 2.0


@dataclass(frozen=True)
class Swap:
    """A group of tied ops taking another precision."""

    group: int
    name: str


class Prices(Protocol):
    """A price of every choice of a problem."""

    def cost(self, choice: Choice) -> float:
        """The price of ``choice``."""
        ...

    def swaps(self, choice: Choice) -> tuple[list[Swap], Floats, Floats]:
        """Return all single swaps away from ``choice``, how much each changes the price, [swaps], and steps
        [swaps, any]: two swaps together change it by the sum of their changes and twice the product of their steps."""
        ...


@dataclass(frozen=True, eq=False)
class Linear:
    """Prices that are sums over ops: what the integer programme minimises."""

    problem: Problem

    def cost(self, choice: Choice) -> float:
        return self.problem.quality_of(choice)

    def swaps(self, choice: Choice) -> tuple[list[Swap], Floats, Floats]:
        current = np.array(_current(self.problem, self._at, choice), int)
        rows = np.flatnonzero(np.arange(len(self._values)) != current[self._groups])
        swaps = [self._all[row] for row in rows]
        return swaps, self._values[rows] - self._values[current[self._groups[rows]]], np.zeros((len(rows), 0))

    @cached_property
    def _at(self) -> Rows:
        return _number(self.problem)

    @cached_property
    def _all(self) -> list[Swap]:
        return [Swap(*key) for key in self._at]

    @cached_property
    def _groups(self) -> NDArray[np.int64]:
        """The group of each row."""
        return np.array([group for group, _ in self._at], np.int64)

    @cached_property
    def _values(self) -> Floats:
        problem = self.problem
        return np.array([sum(problem.quality[op][name] for op in problem.groups[group]) for group, name in self._at])


@dataclass(frozen=True, eq=False)
class Overlap:
    """What two ops' rows both hold when both conditions do, and which counts once: the rounding of a value that one
    gives and the other takes in the same format. row: [samples * probes]."""

    maker: Condition
    reader: Condition
    row: Floats


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Prices with all interactions: the squared length of the sum of a choice's rows, less what two of them both hold.

    rows: [precisions of all groups, samples * probes], each the sum over its group's ops.
    """

    problem: Problem
    rows: Floats
    overlaps: tuple[Overlap, ...] = ()

    @staticmethod
    def of(problem: Problem, products: Mapping[tuple[str, str], Floats], overlaps: Iterable[Overlap] = ()) -> Quadratic:
        """Return the prices of a problem's choices; what has no product (FP32) costs nothing.

        products: (op, precision) -> [samples * probes], scaled so that squared lengths are costs.
        """
        at = _number(problem)
        rows = np.zeros((len(at), len(next(iter(products.values()), np.zeros(1)))))
        for (group, name), row in at.items():
            for op in problem.groups[group]:
                if (op, name) in products:
                    rows[row] += products[op, name]
        return Quadratic(problem, rows, tuple(overlaps))

    def cost(self, choice: Choice) -> float:
        total = self._total(choice)
        return float(total @ total)

    def swaps(self, choice: Choice) -> tuple[list[Swap], Floats, Floats]:
        current = _current(self.problem, self._at, choice)
        found = [(Swap(*key), row) for key, row in self._at.items() if row != current[key[0]]]
        before = self.rows[[current[swap.group] for swap, _ in found]]
        steps = self.rows[[row for _, row in found]] - before
        swaps = [swap for swap, _ in found]
        self._count_once(steps, swaps, choice)
        changes = steps @ (2 * self._total(choice)) + np.einsum("ij,ij->i", steps, steps)
        return swaps, changes, steps

    def surely_less(self, one: Choice, other: Choice) -> bool:
        """Whether ``one`` costs less by more than :data:`SURE` standard errors of the difference.

        Of many choices some look cheaper by chance, as interactions are known from a sample only.
        """
        less = np.square(self._total(one)) - np.square(self._total(other))
        return bool(less.sum() < -SURE * less.std() * len(less) ** 0.5)

    def _total(self, choice: Choice) -> Floats:
        total: Floats = self.rows[_current(self.problem, self._at, choice)].sum(axis=0)
        for overlap in self.overlaps:
            if holds(overlap.maker, choice) and holds(overlap.reader, choice):
                total = total - overlap.row
        return total

    def _count_once(self, steps: Floats, swaps: list[Swap], choice: Choice) -> None:
        """Take into ``steps`` which overlaps each swap begins and ends."""
        places: dict[int, list[int]] = {}
        for place, swap in enumerate(swaps):
            places.setdefault(swap.group, []).append(place)
        group_of, groups = self.problem.group_of, self.problem.groups
        for overlap in self.overlaps:
            ends = (overlap.maker, overlap.reader)
            before = all(holds(end, choice) for end in ends)
            for group in {group_of[op] for op, _ in ends}:
                for place in places.get(group, ()):
                    name = swaps[place].name
                    after = all(name in names if op in groups[group] else choice[op] in names for op, names in ends)
                    if after != before:
                        steps[place] += overlap.row if before else -overlap.row

    @cached_property
    def _at(self) -> Rows:
        return _number(self.problem)


def _number(problem: Problem) -> Rows:
    """(Group, precision) -> its row."""
    keys = [(group, name) for group in range(len(problem.groups)) for name in problem.options(group)]
    return {key: row for row, key in enumerate(keys)}


def _current(problem: Problem, at: Rows, choice: Choice) -> list[int]:
    """The row of each group's choice."""
    return [at[group, choice[ops[0]]] for group, ops in enumerate(problem.groups)]
