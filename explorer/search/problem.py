"""The problem that is solved: one precision for each op, what each choice costs, and what choices cost together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from explorer.search.spending import Spending

Condition = tuple[str, frozenset[str]]
"""An op in one of some precisions."""
Choice = Mapping[str, str]
"""Op id -> name of its precision; never changed, so that what is known of one can be kept."""
Table = Mapping[str, Mapping[str, float]]
"""Op id -> precision -> a number."""

ROUNDING = 1e-6
"""A budget counts as met up to this fraction of it: what the solver's own tolerance is."""


@dataclass(frozen=True)
class Shared:
    """What is paid once where any of its ``readers`` wants it and its ``maker`` does not give it already: a cast.

    A reader of None always wants it (the model's output, an op without a precision), a maker of None never gives it.
    """

    cost: float
    readers: tuple[Condition | None, ...]
    maker: Condition | None = None

    @property
    def ops(self) -> tuple[str, ...]:
        return _ops_of((*self.readers, self.maker))

    def paid(self, choice: Choice) -> float:
        # Plain loops, here and below: this is asked a hundred thousand times for one budget of a large model.
        if self.maker is not None and choice[self.maker[0]] in self.maker[1]:
            return 0.0
        for reader in self.readers:
            if reader is None or choice[reader[0]] in reader[1]:
                return self.cost
        return 0.0


@dataclass(frozen=True)
class Joint:
    """What is paid (or saved, where negative) when all of its conditions hold: calls that take in each other's work."""

    cost: float
    conditions: tuple[Condition, ...]

    @property
    def ops(self) -> tuple[str, ...]:
        return _ops_of(self.conditions)

    def paid(self, choice: Choice) -> float:
        for op, names in self.conditions:
            if choice[op] not in names:
                return 0.0
        return self.cost


@dataclass(frozen=True, eq=False)
class Peak:
    """What is held at one place: ``fixed``, what each op's choice adds, and casts; of all places the largest counts."""

    fixed: float
    alone: Table
    shared: tuple[Shared, ...] = ()

    def held(self, choice: Choice) -> float:
        alone = sum(sizes[choice[op]] for op, sizes in self.alone.items())
        return self.fixed + alone + sum(term.paid(choice) for term in self.shared)

    def bounds(self) -> tuple[float, float]:
        """The least and the most that any choice holds here."""
        low, high = (sum(of(sizes.values()) for sizes in self.alone.values()) for of in (min, max))
        return self.fixed + low, self.fixed + high + sum(term.cost for term in self.shared)


@dataclass(frozen=True, eq=False)
class Problem:
    """One precision for each of ``ops``, of those that ``quality`` has for it.

    quality: what each choice costs in quality. spent: what each uses up of the budget (microseconds, bytes, bits), by
    itself; ``shared`` and ``joint`` are what choices use up together, ``fixed`` what is used whatever is chosen.
    tied: groups of ops that take one precision. peaks: the largest of them is used up besides.
    """

    ops: tuple[str, ...]
    quality: Table
    spent: Table
    shared: tuple[Shared, ...] = ()
    joint: tuple[Joint, ...] = ()
    tied: tuple[tuple[str, ...], ...] = ()
    fixed: float = 0.0
    peaks: tuple[Peak, ...] = ()

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The ops that are chosen for together, each op in one group, in order; alone where nothing ties it."""
        parent = {op: op for op in self.ops}

        def root(op: str) -> str:
            while parent[op] != op:
                op = parent[op]
            return op

        for tie in self.tied:
            for op in tie[1:]:
                parent[root(op)] = root(tie[0])
        found: dict[str, list[str]] = {}
        for op in self.ops:
            found.setdefault(root(op), []).append(op)
        return tuple(tuple(group) for group in found.values())

    @cached_property
    def group_of(self) -> Mapping[str, int]:
        return {op: index for index, group in enumerate(self.groups) for op in group}

    def options(self, group: int) -> tuple[str, ...]:
        """The precisions that every op of a group can take."""
        return self._options[group]

    @cached_property
    def _options(self) -> tuple[tuple[str, ...], ...]:
        return tuple(
            tuple(name for name in self.quality[first] if all(name in self.quality[op] for op in others))
            for first, *others in self.groups
        )

    def quality_of(self, choice: Choice) -> float:
        """What ``choice`` costs in quality, op by op: interactions are not in it."""
        return sum(self.quality[op][choice[op]] for op in self.ops)

    def spent_by(self, choice: Choice) -> float:
        """What ``choice`` uses up, all together."""
        return self.fixed + self._spending.of(choice) + self._peak(choice)

    def spent_more(self, choice: Choice, ops: Iterable[str], name: str) -> float:
        """What ``choice`` would use up beyond what it does if ``ops`` took precision ``name``."""
        changed = set(ops)
        after = {**choice, **dict.fromkeys(changed, name)}
        terms = {id(term): term for op in changed for term in self._touching[op]}.values()
        alone = sum(self.spent[op][name] - self.spent[op][choice[op]] for op in changed)
        return (
            alone
            + self._peak_more(choice, after, changed)
            + sum(term.paid(after) - term.paid(choice) for term in terms)
        )

    def around(self, ops: Iterable[str]) -> frozenset[str]:
        """The ops whose change would use up another amount once ``ops`` were changed; these among them.

        Where there are peaks, of which the largest may be elsewhere then, all ops.
        """
        if self.peaks:
            return frozenset(self.ops)
        return frozenset(other for op in ops for term in self._touching[op] for other in term.ops) | frozenset(ops)

    def _peak(self, choice: Choice) -> float:
        return max((peak.held(choice) for peak in self.peaks), default=0.0)

    def _peak_more(self, choice: Choice, after: Choice, changed: set[str]) -> float:
        """How much the peak grows; only places near what changed are looked at again."""
        if not self.peaks:
            return 0.0
        if self._recent[:1] != [id(choice)]:
            self._recent[:] = [id(choice), choice, [peak.held(choice) for peak in self.peaks]]
        before: list[float] = self._recent[2]
        places = {place for op in changed for place in self._places.get(op, ())}
        held = {place: self.peaks[place].held(after) for place in places}
        return max(held.get(place, each) for place, each in enumerate(before)) - max(before)

    @cached_property
    def _recent(self) -> list[Any]:
        """The choice that changes were last asked of (kept, so that its id stays its own) and what its peaks hold."""
        return []

    @cached_property
    def _places(self) -> Mapping[str, tuple[int, ...]]:
        """Op -> the peaks that its choice changes."""
        found: dict[str, set[int]] = {}
        for place, peak in enumerate(self.peaks):
            for op in (*peak.alone, *(op for term in peak.shared for op in term.ops)):
                found.setdefault(op, set()).add(place)
        return {op: tuple(sorted(places)) for op, places in found.items()}

    @cached_property
    def _spending(self) -> Spending:
        return Spending(self)

    @cached_property
    def _terms(self) -> tuple[Shared | Joint, ...]:
        return (*self.shared, *self.joint)

    @cached_property
    def _touching(self) -> Mapping[str, tuple[Shared | Joint, ...]]:
        found: dict[str, list[Shared | Joint]] = {op: [] for op in self.ops}
        for term in self._terms:
            for op in term.ops:
                found[op].append(term)
        return {op: tuple(terms) for op, terms in found.items()}


def meets(spent: float, budget: float) -> bool:
    """Whether ``spent`` is within ``budget``, rounding aside."""
    return spent <= budget + ROUNDING * abs(budget)


def holds(condition: Condition, choice: Choice) -> bool:
    """Whether an op's choice is one of those that a condition names."""
    op, names = condition
    return choice[op] in names


def _ops_of(conditions: Iterable[Condition | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(condition[0] for condition in conditions if condition is not None))
