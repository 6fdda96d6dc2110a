"""A handful of recipes in which every op meets every precision, and neighbours meet in most pairs of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations

from explorer.graph import ModelGraph
from explorer.precision import PRECISIONS
from explorer.recipe import BASELINE, Recipe
from explorer.search.constraints import Options


def contexts(graph: ModelGraph, options: Options, pairs: bool = True) -> Iterator[Recipe]:
    """Yield recipes: each precision everywhere, in products only, and there with a native one between; then pairs.

    In a pair (left out where ``pairs`` is False), products take one precision and the other by turns along the flow of
    data.
    """
    products = [op.id for op in graph.rows if op.role == "compute" and len(options.get(op.id, ())) > 1]
    others = [op.id for op in graph.rows if op.role != "compute" and len(options.get(op.id, ())) > 1]
    names = tuple(dict.fromkeys(name for found in options.values() for name in found))
    native = [name for name in names if PRECISIONS[name].native]
    for name in names:
        yield _recipe(graph, options, dict.fromkeys((*products, *others), name))
    for between in native:
        for name in names:
            yield _recipe(graph, options, {**dict.fromkeys(products, name), **dict.fromkeys(others, between)})
    for first, second in permutations(names, 2) if pairs else ():
        turns = _turns(graph, [op for op in products if {first, second} <= set(options[op])])
        yield _recipe(graph, options, {op: (first, second)[turn % 2] for op, turn in turns.items()})


def _recipe(graph: ModelGraph, options: Options, wanted: Mapping[str, str]) -> Recipe:
    """What is wanted wherever it is an option, elsewhere FP32 or the first option."""
    recipe = Recipe.baseline(graph.name, graph.fingerprint, (op.id for op in graph.rows))
    return with_choice(recipe, {op: _able(found, wanted.get(op, BASELINE)) for op, found in options.items()})


def _able(options: tuple[str, ...], name: str) -> str:
    return name if name in options else BASELINE if BASELINE in options else options[0]


def with_choice(recipe: Recipe, choice: Mapping[str, str], reason: str = "search") -> Recipe:
    """Return ``recipe`` with what ``choice`` says, one reason for all; ops that keep their precision keep theirs."""
    for name in dict.fromkeys(choice.values()):
        ops = [op for op, chosen in choice.items() if chosen == name and recipe[op] != name]
        if ops:
            recipe = recipe.with_precision(ops, name, reason)
    return recipe


def _turns(graph: ModelGraph, ops: Iterable[str]) -> Mapping[str, int]:
    """How many of ``ops`` lie before each of them on the longest way through the graph."""
    chosen, depth, found = set(ops), dict.fromkeys(graph.inputs, 0), {}
    for op in graph.ops:
        before = max((depth.get(name, 0) for name in op.refs), default=0)
        if op.id in chosen:
            found[op.id] = before
        depth[op.name] = before + (op.id in chosen)
    return found
