"""The time of a recipe as a sum: what each op takes in each precision, casts that are shared, calls that join.

Read off plans and call times. Where every way in which calls join is in the plans that were seen, the sum is the
table's own; a proposal's plan that joins calls in a new way is added to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from explorer.run import Cast, Plan, Planner, Step, keys_of
from explorer.run.fuse import Fusion, find_fusions, find_inner_casts
from explorer.search.constraints import Options
from explorer.search.costs import CallTimes
from explorer.search.flows import Flows, format_of
from explorer.search.problem import Condition, Joint, Problem, Shared

TimeOf = Callable[[str, float], float]
"""(Key of a call, what to take where nothing like it is known) -> milliseconds."""


@dataclass(frozen=True)
class Pattern:
    """A call that takes in the work of others: the ``conditions`` under which it does, and its key.

    ``apart`` are the keys of the calls that would be made otherwise.
    """

    op: str
    conditions: frozenset[Condition]
    key: str
    apart: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LatencyModel:
    """What a problem's times are read off: the planner, a plan of the baseline, flows, and the patterns that were seen.

    options: every row of the graph -> its precisions, one alone where nothing is to be chosen.
    """

    planner: Planner
    options: Options
    example: Plan
    flows: Flows
    patterns: Mapping[tuple[str, frozenset[Condition]], Pattern]

    @staticmethod
    def of(planner: Planner, options: Options, plans: Sequence[Plan]) -> LatencyModel:
        """Return the model that ``plans`` show, of which every op meets each of its options in one at least."""
        model = LatencyModel(planner, options, plans[0], Flows.of(planner.graph, options, plans), {})
        for plan in plans:
            model = model.with_plan(plan)
        return model

    def with_plan(self, plan: Plan) -> LatencyModel:
        """Return the model with the patterns that ``plan`` shows besides; this very one where there are none."""
        keys, fusions = keys_of(plan), find_fusions(plan)
        casts = find_inner_casts(plan)
        found = [
            self._pattern(plan, plan.steps[at], fusions.get(at), casts.get(at), keys) for at in {**fusions, **casts}
        ]
        new = {(each.op, each.conditions): each for each in found} | dict(self.patterns)
        return self if len(new) == len(self.patterns) else replace(self, patterns=new)

    def problem(self, times: CallTimes, base: Problem) -> Problem:
        """Return ``base`` (its options, quality and ties) with what its choices take, in milliseconds."""

        def time_ms(key: str, otherwise_ms: float = 0.0) -> float:
            return times.time_us(key, otherwise_ms * 1e3) / 1e3

        spent = {op: {name: self._alone(op, name, time_ms) for name in base.quality[op]} for op in base.ops}
        casts, joints = tuple(self._casts(time_ms)), tuple(self._joints(time_ms))
        return replace(base, spent=spent, shared=casts, joint=joints, fixed=self._fixed(time_ms))

    def _alone(self, op: str, name: str, time_ms: TimeOf) -> float:
        """What an op takes by itself; where its kernel never ran so, as in FP32."""
        return time_ms(self._key(op, name), time_ms(self._key(op, "fp32"), 0.0))

    def _key(self, op: str, name: str) -> str:
        step = self.example.step_of[op]
        return Step(step.op, step.site, self.planner.select(op, name), {}, "").key

    def _fixed(self, time_ms: TimeOf) -> float:
        """What views and integer ops take."""
        return sum(time_ms(step.key, 0.0) for step in self.example.steps if step.kernel is None)

    def _casts(self, time_ms: TimeOf) -> Iterator[Shared]:
        """One for each value and carrier that some reader may want and the value may not be in."""
        for cast in self.flows.casts():
            key = f"cast|{format_of(cast.source)}|{cast.carrier}|{prod(self.planner.shapes[cast.value])}"
            yield Shared(time_ms(key, 0.0), tuple(cast.readers.values()), cast.maker)

    # Calls that take in others

    def _joints(self, time_ms: TimeOf) -> Iterable[Joint]:
        """What each pattern saves beyond the patterns that hold whenever it does."""
        by_op: dict[str, list[Pattern]] = {}
        for pattern in self.patterns.values():
            by_op.setdefault(pattern.op, []).append(pattern)
        for patterns in by_op.values():
            saved: dict[Pattern, float] = {}
            for pattern in sorted(patterns, key=lambda each: len(each.apart)):
                apart = sum(time_ms(key, 0.0) for key in pattern.apart)
                inner = sum(more for other, more in saved.items() if _implies(pattern.conditions, other.conditions))
                saved[pattern] = time_ms(pattern.key, apart) - apart - inner
            for pattern, more in saved.items():
                yield Joint(more, tuple(sorted(pattern.conditions, key=lambda each: each[0])))

    def _pattern(
        self, plan: Plan, step: Step, fusion: Fusion | None, cast: Cast | None, keys: Mapping[str, str]
    ) -> Pattern:
        inside = [] if fusion is None else [plan.steps[position] for position in fusion.positions]
        rows = [each for each in (step, *inside) if each.op.has_precision]
        conditions: list[Condition] = [(each.op.id, frozenset((plan.recipe[each.op.id],))) for each in rows]
        apart = [self._key(each.op.id, plan.recipe[each.op.id]) for each in rows]
        apart += [each.key for each in inside if not each.op.has_precision]
        if cast is not None:
            conditions += [(op, frozenset((plan.recipe[op],))) for op in _before(plan, cast.value)]
            apart.append(cast.key)
        if fusion is not None and fusion.codes:
            readers = plan.graph.users.get(fusion.value, ())
            conditions += [self.flows.reading(op.id, fusion.value, fusion.codes) for op in readers]
            apart.append(f"cast|fp32|{fusion.codes}|{prod(plan.shapes[fusion.value])}")
        return Pattern(step.op.id, frozenset(conditions), keys[step.op.id], tuple(apart))


def _before(plan: Plan, value: str) -> Iterator[str]:
    """The ops that could have written a value as codes instead: its maker, and what each alone feeds the next."""
    maker = plan.graph.producer.get(value)
    while maker is not None and maker.role != "integer":
        if maker.has_precision:
            yield maker.id
        fed = [name for name in maker.refs if len(plan.graph.users.get(name, ())) == 1]
        maker = None if maker.role == "compute" or not fed else plan.graph.producer.get(fed[0])


def _implies(outer: frozenset[Condition], inner: frozenset[Condition]) -> bool:
    """Whether ``inner`` holds whenever ``outer`` does."""
    return all(any(op == other and names <= wider for op, names in outer) for other, wider in inner)
