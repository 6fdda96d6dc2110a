"""What a choice uses up, added with arrays: a problem of hundreds of ops is asked that a hundred times a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from explorer.search.problem import Choice, Condition, Problem

Ints = NDArray[np.int64]
NEVER, ALWAYS = 0, 1
"""Conditions of no op, which stand first: with them no row of conditions is empty."""


class Spending:
    """The amounts of a problem as arrays: of each op's options, of what is shared and of what is joint."""

    def __init__(self, problem: Problem) -> None:
        self._ops = problem.ops
        self._numbers = {
            name: place for place, name in enumerate(dict.fromkeys(n for op in problem.ops for n in problem.spent[op]))
        }
        self._alone = np.array(
            [[problem.spent[op].get(name, np.nan) for name in self._numbers] for op in problem.ops], float
        ).reshape(len(problem.ops), len(self._numbers))
        conditions = _Conditions()
        self._makers = np.array([conditions.number(term.maker, NEVER) for term in problem.shared], np.int64)
        readers = [[NEVER, *(conditions.number(each, ALWAYS) for each in term.readers)] for term in problem.shared]
        joint = [[ALWAYS, *(conditions.number(each, ALWAYS) for each in term.conditions)] for term in problem.joint]
        self._readers, self._joint = _Rows(readers), _Rows(joint)
        self._costs = tuple(np.array([term.cost for term in terms]) for terms in (problem.shared, problem.joint))
        self._of_op, self._table = conditions.table({op: at for at, op in enumerate(problem.ops)}, self._numbers)

    def of(self, choice: Choice) -> float:
        """Return what ``choice`` uses up, but for what is fixed and the peaks."""
        codes = np.array([self._numbers[choice[op]] for op in self._ops], np.int64)
        met = np.array([False, True, *self._table[np.arange(len(self._of_op)), codes[self._of_op]]])
        paid = self._readers.reduce(np.logical_or, met) & ~met[self._makers]
        total = self._alone[np.arange(len(codes)), codes].sum()
        return float(total + self._costs[0] @ paid + self._costs[1] @ self._joint.reduce(np.logical_and, met))


class _Conditions:
    """Conditions in the order in which they were first met, each once."""

    def __init__(self) -> None:
        self._number: dict[Condition, int] = {}

    def number(self, condition: Condition | None, none: int) -> int:
        """The number of a condition, or ``none`` for None."""
        return none if condition is None else self._number.setdefault(condition, len(self._number) + 2)

    def table(self, ops: Mapping[str, int], names: Mapping[str, int]) -> tuple[Ints, NDArray[np.bool_]]:
        """The op of each condition, and which precisions meet it [conditions, precisions]."""
        table = np.zeros((len(self._number), len(names)), bool)
        for row, (_, met) in zip(table, self._number, strict=True):
            row[[names[name] for name in met if name in names]] = True
        return np.array([ops[op] for op, _ in self._number], np.int64), table


class _Rows:
    """Rows of numbers, none of them empty, one after the other."""

    def __init__(self, rows: Sequence[Iterable[int]]) -> None:
        lists = [list(row) for row in rows]
        self._numbers = np.array([number for row in lists for number in row], np.int64)
        self._starts = np.cumsum([0, *(len(row) for row in lists)])[:-1].astype(np.int64)

    def reduce(self, how: np.ufunc, met: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """``how`` over what each row's numbers pick of ``met`` [rows]."""
        found: NDArray[np.bool_] = how.reduceat(met[self._numbers], self._starts) if len(self._starts) else met[:0]
        return found
