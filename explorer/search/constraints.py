"""What a search must respect: ops that are locked, precisions that are allowed, ops that go together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from explorer.errors import RecipeError
from explorer.formats import Scheme, find_format
from explorer.graph import ModelGraph, Op
from explorer.precision import Precision, find_precision, names_of
from explorer.recipe import Where, select

BY_INPUT = "by input"
Options = Mapping[str, tuple[str, ...]]
"""Op id -> the precisions that it may take."""


@dataclass(frozen=True)
class Constraints:
    """What every proposal keeps to. Where a field names ops, it does so as ``session.set`` does (id, glob, role, list).

    locked: ops -> the precision that they keep. allowed: ops -> the only precisions that they may take.
    at_least: ops -> a precision below which they never go: neither weights nor activations get fewer bits than in it.
    tied: groups of ops that take one precision, or :data:`BY_INPUT`: products of one kind that read the same tensor
    (q, k and v; gate and up). uniform: ``"within"``: all products of one numbered layer (``blocks.3``) take one
    precision; ``"across"``: ops at the same place of every numbered layer do.
    """

    locked: Mapping[str, str] = field(default_factory=dict)
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    at_least: Mapping[str, str] = field(default_factory=dict)
    tied: tuple[Where, ...] | str = ()
    uniform: Literal["", "within", "across"] = ""

    def __post_init__(self) -> None:
        """Refuse what has another shape, before it is looked into."""
        for name in ("locked", "allowed", "at_least"):
            _refuse_misfits(name, getattr(self, name))
        if not isinstance(self.tied, Iterable):
            found = f"it is a {type(self.tied).__name__}"
            raise RecipeError(f"search with tied={self.tied!r}", found, f"{BY_INPUT!r}, or groups of ops")


def _refuse_misfits(name: str, given: Any) -> None:
    kind, example = (Iterable, ("int8", "bf16")) if name == "allowed" else (str, "int8")
    misfits = [each for each in given.values() if not isinstance(each, kind)] if isinstance(given, Mapping) else [given]
    if misfits:
        found = f"{misfits[0]!r} is a {type(misfits[0]).__name__}"
        raise RecipeError(f"search with {name}={given!r}", found, f"a dict: {name}={{'kind:linear': {example!r}}}")


def restrict(graph: ModelGraph, options: Options, constraints: Constraints) -> Options:
    """Return ``options`` as far as constraints allow them, tied ops left with what all of them may take.

    Raises :class:`RecipeError` that names the op where nothing is left, and :class:`SelectionError` or
    :class:`PrecisionError` for what names no op or no precision.
    """
    for where, names in constraints.allowed.items():
        names = names_of(names)
        allowed = {find_precision(name).name for name in names}
        options = _keep(graph, options, where, allowed.__contains__, f"allow only {', '.join(names)}")
    for where, name in constraints.at_least.items():
        floor = _bits(find_precision(name))
        options = _keep(graph, options, where, lambda each, floor=floor: _reaches(each, floor), f"keep at least {name}")  # type: ignore[misc]
    for where, name in constraints.locked.items():
        options = _keep(graph, options, where, find_precision(name).name.__eq__, f"lock to {name}")
    return options


def find_ties(graph: ModelGraph, constraints: Constraints, options: Options) -> tuple[tuple[str, ...], ...]:
    """Return the groups of ops that constraints tie together, those of one op left out.

    Raises :class:`RecipeError` where a group has no precision that all of its ops may take.
    """
    tied = constraints.tied
    if isinstance(tied, str) and tied != BY_INPUT:
        raise RecipeError(f"tie ops {tied!r}", "that is no way to find groups", f"{BY_INPUT!r}, or groups of ops")
    given = ties_by_input(graph) if isinstance(tied, str) else tuple(_given(graph, where) for where in tied)
    groups = [*given, *_uniform(graph, constraints.uniform)]
    found = tuple(group for group in (tuple(op for op in each if op in options) for each in groups) if len(group) > 1)
    for group in found:
        if not set.intersection(*(set(options[op]) for op in group)):
            words = "; ".join(f"{op!r} may take {', '.join(options[op])}" for op in group[:3])
            raise RecipeError(f"tie {len(group)} ops together", f"they have no precision in common: {words}", LOOSEN)
    return found


def _given(graph: ModelGraph, where: Where) -> tuple[str, ...]:
    """The ops of a group that was named; one alone is a group whose brackets were forgotten."""
    ops = tuple(select(graph, where))
    if len(ops) < 2:
        raise RecipeError(f"tie {where!r}", "a group of one op ties nothing", "groups of ops: tied=((one, other),)")
    return ops


LOOSEN = "loosening one of the constraints on them"


def ties_by_input(graph: ModelGraph) -> tuple[tuple[str, ...], ...]:
    """Return the groups of products with weights that are of one kind and read one tensor, views looked through."""
    found: dict[tuple[str, str], list[str]] = {}
    for op in graph.rows:
        if op.role == "compute" and graph.weights_of(op):
            source = _source(graph, op)
            if source:
                found.setdefault((source, op.kind), []).append(op.id)
    return tuple(tuple(ops) for ops in found.values() if len(ops) > 1)


def _source(graph: ModelGraph, op: Op) -> str:
    """The value that a product reads, before views."""
    name = next((name for name in op.refs if name not in graph.constants), "")
    while (maker := graph.producer.get(name)) is not None and maker.role == "view" and len(maker.refs) == 1:
        name = maker.refs[0]
    return name


def _uniform(graph: ModelGraph, how: str) -> Iterable[tuple[str, ...]]:
    """Groups of ops of numbered layers: the products of each, or what stands at one place of all."""
    if how not in ("", "within", "across"):
        raise RecipeError(f"search with uniform={how!r}", "that is no way to group layers", "'within' or 'across'")
    found: dict[str, list[str]] = {}
    for op in graph.rows:
        numbered = re.match(r"(.*?(?:^|\.)\d+)(?=\.|$)", op.layer)
        if not how or numbered is None or (how == "within" and op.role != "compute"):
            continue
        block = numbered.group(1)
        rest = op.id.removeprefix(block)
        key = block if how == "within" else f"{block.rpartition('.')[0]}|{rest}|{op.kind}"
        found.setdefault(key, []).append(op.id)
    return tuple(tuple(ops) for ops in found.values())


def _keep(graph: ModelGraph, options: Options, where: str, fits: Callable[[str], bool], words: str) -> Options:
    """``options`` with, of the ops that ``where`` means, the precisions that fit."""
    left = dict(options)
    for op in select(graph, where):
        if op not in options:
            continue
        left[op] = tuple(name for name in options[op] if fits(name))
        if not left[op]:
            exact = where == op or words.startswith("lock")
            found = f"{op!r} may take {', '.join(options[op])} here"
            raise RecipeError(f"{words} for {where!r}", found, LOOSEN if exact else f"a narrower pattern, or {LOOSEN}")
    return left


def _reaches(name: str, floor: tuple[int, int]) -> bool:
    weight, activation = _bits(find_precision(name))
    return weight >= floor[0] and activation >= floor[1]


def _bits(precision: Precision) -> tuple[int, int]:
    """Bits of a weight and of an activation, scales not counted."""
    return _bits_of(precision.weight, precision), _bits_of(precision.activation, precision)


def _bits_of(scheme: Scheme | None, precision: Precision) -> int:
    return find_format(precision.compute if scheme is None else scheme.format).storage_bits
