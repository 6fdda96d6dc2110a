"""In which carriers values flow between ops, by precision: what casts there could be, and who shares each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from explorer.graph import ModelGraph, Op
from explorer.kernels import CARRIERS
from explorer.run import Plan
from explorer.search.constraints import Options
from explorer.search.problem import Condition


class PossibleCast(NamedTuple):
    """A value that ``readers`` may want in ``carrier``: op id (or the output) -> when it does; None always.

    maker: when the value is in that carrier already; None never. source: the carrier it is cast from, mostly.
    """

    value: str
    carrier: str
    source: str
    readers: Mapping[str, Condition | None]
    maker: Condition | None


@dataclass(frozen=True, eq=False)
class Flows:
    """In which carrier each op takes each value and gives its own.

    options: every row of the graph -> its precisions. takes: (op, precision) -> value -> carrier. gives: (op,
    precision) -> carrier.
    """

    graph: ModelGraph
    options: Options
    takes: Mapping[tuple[str, str], Mapping[str, str]]
    gives: Mapping[tuple[str, str], str]

    @staticmethod
    def of(graph: ModelGraph, options: Options, plans: Iterable[Plan]) -> Flows:
        """Read flows off ``plans``, of which every op meets each of its options in one at least."""
        steps = {
            (step.op.id, plan.recipe[step.op.id]): step
            for plan in plans
            for step in plan.steps
            if step.op.has_precision
        }
        takes = {cell: step.takes for cell, step in steps.items()}
        return Flows(graph, options, takes, {cell: step.gives for cell, step in steps.items()})

    def reading(self, op: str, value: str, carrier: str) -> Condition:
        """When an op takes a value in a carrier."""
        names = (name for name in self.options[op] if self.takes.get((op, name), {}).get(value) == carrier)
        return op, frozenset(names)

    def making(self, op: str, carrier: str) -> Condition:
        """When an op gives its value in a carrier."""
        return op, frozenset(name for name in self.options[op] if self.gives.get((op, name)) == carrier)

    @cached_property
    def homes(self) -> Mapping[str, str | None]:
        """Floating value -> the op whose precision decides the carrier it flows in (None: FP32 always).

        A value that is joined of several counts as the first of them.
        """
        graph = self.graph
        homes: dict[str, str | None] = dict.fromkeys(name for name in graph.inputs if graph.is_floating(name))
        for op in graph.ops:
            if op.output is None or not op.output.floating:
                continue
            flowing = [name for name in op.refs if name in homes]
            passed = homes[flowing[0]] if flowing and op.role != "integer" else None
            homes[op.name] = op.id if op.has_precision else passed
        return homes

    def casts(self) -> Iterator[PossibleCast]:
        """Yield each cast that some choice would need."""
        for value, maker in self.homes.items():
            wanted: dict[str, dict[str, Condition | None]] = {}
            for reader in self.graph.users.get(value, ()):
                for carrier, condition in self._wanted(reader, value):
                    wanted.setdefault(carrier, {})[reader.id] = condition
            if self.graph.output.name == value:
                wanted.setdefault("fp32", {})["output"] = None
            for carrier, readers in wanted.items():
                made = None if maker is None else self.making(maker, carrier)
                if maker is None and carrier == "fp32":
                    continue
                if made is None or made[1] != set(self.options[made[0]]):
                    yield PossibleCast(value, carrier, self._source(maker, carrier), readers, made)

    def _wanted(self, reader: Op, value: str) -> Iterable[tuple[str, Condition | None]]:
        if reader.has_precision:
            found = (self.takes.get((reader.id, name), {}).get(value, "") for name in self.options[reader.id])
            return [(carrier, self.reading(reader.id, value, carrier)) for carrier in sorted(set(found) - {""})]
        return [("fp32", None)] if reader.role == "integer" else []

    def _source(self, maker: str | None, carrier: str) -> str:
        given = {self.gives.get((maker, name), "") for name in self.options[maker]} if maker else {"fp32"}
        others = sorted(given - {carrier, ""}, key=lambda each: (each != "fp32", each))
        return others[0] if others else "fp32"


def format_of(carrier: str) -> str:
    """The format of a carrier's elements."""
    return CARRIERS[carrier].format
