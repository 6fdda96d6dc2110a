"""Choices that another one of the same op beats: no better, using no less, and seen alike by all that is shared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from explorer.search.problem import ROUNDING, Choice, Condition, Problem


@dataclass(frozen=True, order=True)
class _Option:
    """A precision of a group: what it costs and uses up by itself, and its ``role``: the numbers of the conditions that
    it meets, and what it holds at each peak."""

    quality: float
    spent: float
    name: str
    role: tuple[tuple[int, ...], tuple[float, ...]]

    def beats(self, other: _Option) -> bool:
        return self.quality <= other.quality and self.spent <= other.spent and self.role == other.role


def undominated(problem: Problem, most: float = math.inf) -> Problem:
    """Return ``problem`` without choices that cost more than ``most`` by themselves, and without beaten ones.

    One choice beats another of its op where it costs no more quality, uses up no more, and looks the same to all that
    is paid together. Of equal ones the first by name stays.
    """
    kept: dict[str, tuple[str, ...]] = {}
    for index, options in enumerate(_options(problem)):
        front: list[_Option] = []
        for option in sorted(options):
            if option.quality <= most * (1 + ROUNDING) and not any(each.beats(option) for each in front):
                front.append(option)
        kept |= dict.fromkeys(problem.groups[index], tuple(option.name for option in front))
    return replace(problem, quality={op: {name: problem.quality[op][name] for name in kept[op]} for op in problem.ops})


def without_beaten(problem: Problem, kept: Problem, choice: Choice) -> dict[str, str]:
    """Return ``choice`` with what beats it wherever ``kept``, the undominated part of ``problem``, lacks it.

    It costs no more quality op by op and uses up no more.
    """
    found = dict(choice)
    options = _options(problem)
    for index, ops in enumerate(problem.groups):
        if found[ops[0]] in kept.options(index):
            continue
        mine = next(option for option in options[index] if option.name == found[ops[0]])
        better = min(option for option in options[index] if option.beats(mine))
        found |= dict.fromkeys(ops, better.name)
    return found


@lru_cache(maxsize=4)
def _options(problem: Problem) -> tuple[tuple[_Option, ...], ...]:
    """The options of each group; kept, as one problem is solved under many budgets."""
    met, held = _conditions_met(problem), _held(problem)

    def option(index: int, name: str) -> _Option:
        ops = problem.groups[index]
        terms = sorted(number for op in ops for number in met.get((op, name), ()))
        sizes = (size for op in ops for size in held.get((op, name), ()))
        quality, spent = (sum(table[op][name] for op in ops) for table in (problem.quality, problem.spent))
        return _Option(quality, spent, name, (tuple(terms), tuple(sizes)))

    return tuple(tuple(option(index, name) for name in problem.options(index)) for index in range(len(problem.groups)))


def _conditions_met(problem: Problem) -> Mapping[tuple[str, str], list[int]]:
    """(Op, precision) -> numbers of the conditions that it meets."""
    conditions: list[Condition] = []
    for shared in (*problem.shared, *(term for peak in problem.peaks for term in peak.shared)):
        conditions += [each for each in (*shared.readers, shared.maker) if each is not None]
    for joint in problem.joint:
        conditions += joint.conditions
    found: dict[tuple[str, str], list[int]] = {}
    for number, (op, names) in enumerate(dict.fromkeys(conditions)):
        for name in names:
            found.setdefault((op, name), []).append(number)
    return found


def _held(problem: Problem) -> Mapping[tuple[str, str], tuple[float, ...]]:
    """(Op, precision) -> the bytes that it holds at each peak that its choice changes, in order."""
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    for peak in problem.peaks:
        for op, sizes in peak.alone.items():
            for name, size in sizes.items():
                found[op, name] = (*found.get((op, name), ()), size)
    return found
