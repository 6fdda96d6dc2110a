"""Reading a bundle: every part is checked before anything of it is used, and what is wrong is said in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from explorer import observe, predict
from explorer.bundle.answers import unpack_answers
from explorer.bundle.archive import MANIFEST, MAP, ORIGIN, RANGES, SAMPLES, read_arrays, read_parts
from explorer.bundle.front import unpack_front
from explorer.bundle.outline import graph_of
from explorer.bundle.plans import RecordedPlan, plan_from
from explorer.bundle.recorded import Contents, Recorded
from explorer.bundle.recording import SCHEMA
from explorer.errors import BundleError, ExplorerError
from explorer.graph import ModelGraph
from explorer.kernels import Option
from explorer.ledger import Trial
from explorer.measure import Device
from explorer.recipe import History, HistoryNode, Recipe

DAMAGE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError)
"""What damaged content makes of code that reads it."""


def load(path: str | Path) -> Recorded:
    """Return the exploration saved at ``path``; its recipe is the one that was current.

    Raises :class:`BundleError` where there is no such file, where it is no bundle, another version's or damaged, and
    where it is too large: at most 256 MiB, each part at most 512 MiB unpacked. Nothing in it is run: no pickle.
    """
    asked = f"open {str(path)!r}"
    parts = read_parts(path)
    if MANIFEST not in parts:
        raise BundleError(asked, f"it is no bundle (there is no {MANIFEST} in it)", ORIGIN)
    try:
        facts = json.loads(parts[MANIFEST])
    except (ValueError, RecursionError) as error:
        raise BundleError(asked, f"it is no bundle ({error})", ORIGIN) from error
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        found = facts.get("schema") if isinstance(facts, dict) else type(facts).__name__
        raise BundleError(asked, f"its schema is {found!r}", f"a bundle of schema {SCHEMA!r}, saved by this version")
    arrays = {name: read_arrays(parts[name], name, asked) for name in (RANGES, MAP, SAMPLES) if name in parts}
    try:
        recorded = Recorded(_contents(facts, arrays, asked), Path(path).absolute())
        _ = (
            recorded.ops,
            recorded.marked,
            recorded.trials,
            [recorded.known(each) for each in recorded.recipes().values()],
        )
    except (*DAMAGE, ExplorerError) as error:
        raise BundleError(asked, f"it is damaged ({type(error).__name__}: {error})", ORIGIN) from error
    return recorded


def _contents(facts: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]], asked: str) -> Contents:
    graph = graph_of(facts["graph"])
    recipes = {name: Recipe.from_json(text) for name, text in facts["recipes"].items()}
    return Contents(
        facts=facts,
        device=_device(facts["device"]),
        graph=graph,
        recipes=recipes,
        presets={name: recipes[hash_] for name, hash_ in facts["presets"].items()},
        history=_history(facts["history"]),
        plans=_plans(facts, graph, recipes),
        options=_options(facts),
        trials={name: Trial(name, facts["recipes"][name], found) for name, found in facts["measured"].items()},
        memory={name: pd.DataFrame(rows).set_index("class") for name, rows in facts["memory"].items()},
        cells={(op, name): (float(cost), int(n)) for op, name, cost, n in facts["cells"]},
        pairs={((a, b), (c, d)): float(cost) for a, b, c, d, cost in facts["pairs"]},
        ranges=observe.unpack(arrays[RANGES], asked) if RANGES in arrays else None,
        map=predict.unpack(arrays[MAP]) if MAP in arrays else None,
        frontier=None if facts["frontier"] is None else unpack_front(facts["frontier"]),
        answers=unpack_answers(facts["answers"], arrays.get(SAMPLES, {})),
    )


def _device(facts: Mapping[str, Any]) -> Device:
    said: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in facts.items()}
    said.pop("label")
    return Device(**said)


def _plans(facts: Mapping[str, Any], graph: ModelGraph, recipes: Mapping[str, Recipe]) -> dict[str, RecordedPlan]:
    shapes = {name: tuple(shape) for name, shape in facts["shapes"].items()}
    return {
        name: plan_from(entry, recipes[name], graph, shapes, facts["operands"])
        for name, entry in facts["plans"].items()
    }


def _options(facts: Mapping[str, Any]) -> dict[str, dict[str, Option]]:
    kinds, precisions = facts["option_kinds"], facts["precisions"]
    return {
        op: {name: Option(name, *kinds[at]) for name, at in zip(precisions, row, strict=True)}
        for op, row in facts["options"].items()
    }


def _history(entry: Mapping[str, Any]) -> History:
    """The tree of choices; where one went on from each node is forgotten."""
    nodes = tuple(
        HistoryNode(at, parent, Recipe.from_json(text), words)
        for at, (parent, text, words) in enumerate(entry["nodes"])
    )
    if not 0 <= entry["at"] < len(nodes) or any(node.parent is not None and node.parent >= node.id for node in nodes):
        raise ValueError("its history is no tree")
    return History(nodes, (None,) * len(nodes), entry["at"])
