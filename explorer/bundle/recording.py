"""Recording a session: everything that its page shows, for the recipes that can be switched to afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import pandas as pd

from explorer import observe, predict
from explorer.bundle.answers import pack_answers, pack_samples
from explorer.bundle.archive import MANIFEST, MAP, RANGES, SAMPLES, pack_arrays, pack_json
from explorer.bundle.front import pack_front
from explorer.bundle.outline import outline_of
from explorer.bundle.plans import plan_entry
from explorer.kernels import Option
from explorer.latency import FORMAT as LATENCY_FORMAT
from explorer.ledger import EAGER, Trial
from explorer.measure import Device
from explorer.recipe import HistoryNode, Recipe
from explorer.run import Plan
from explorer.search import Frontier
from explorer.subject import Subject
from explorer.version import __version__

SCHEMA = "precision-explorer/bundle/2"
MOST_RECIPES = 120
"""Recipes whose plans are recorded, the newest of each kind; each is some 10 KB of a model of 100 ops."""
MOST_TRIALS = 2000
NUMBERS = (
    "score", "baseline", "difference", "interval", "kl", "agreement", "sqnr_db", "baseline_ms", "candidate_ms",
    "speedup", "emulated",
)  # fmt: skip
PLAIN = ("name", "title", "score_name", "score_unit", "samples", "samples_label", "batch_size")


class Recordable(Protocol):
    """What a session offers to whoever records it."""

    subject: Subject
    device: Device
    precisions: tuple[str, ...]
    answers: dict[tuple[str, str], Any]

    @property
    def recipe(self) -> Recipe: ...
    @property
    def history(self) -> tuple[HistoryNode, ...]: ...
    @property
    def node(self) -> HistoryNode: ...
    @property
    def ops(self) -> pd.DataFrame: ...
    @property
    def links(self) -> list[tuple[str, str]]: ...
    @property
    def ranges_found(self) -> observe.RangeSet | None: ...
    @property
    def map_found(self) -> predict.PredictedMap | None: ...
    @property
    def frontier_found(self) -> Frontier | None: ...
    @property
    def measured_cells(self) -> Mapping[tuple[str, str], tuple[float, int]]: ...
    @property
    def measured_pairs(self) -> Mapping[Any, float]: ...
    @property
    def is_calibrated(self) -> bool: ...
    def plan_of(self, recipe: Recipe | None) -> Plan: ...
    def casts(self, recipe: Recipe | None = None) -> pd.DataFrame: ...
    def memory(self, recipe: Recipe | None = None) -> pd.DataFrame: ...
    def options(self, op: str) -> dict[str, Option]: ...
    def presets(self) -> dict[str, Recipe]: ...
    def predicted_latency_ms(self, recipe: Recipe | None = None) -> float | None: ...
    def comparable_trials(self) -> tuple[Trial, ...]: ...


def record(session: Recordable, rows: Iterable[Mapping[str, Any]]) -> dict[str, bytes]:
    """The parts of a bundle; ``rows``: the session's trials as the store has them, oldest first. Runs no data."""
    rows = list(rows)
    trials = {trial.hash: trial for trial in session.comparable_trials()}
    recipes = choose_recipes(session, trials)
    measured = _measured(session, rows, recipes)
    manifest = {
        "schema": SCHEMA, "saved": time.time(), "version": __version__,
        **{name: getattr(session, name) for name in PLAIN},
        "task": session.subject.task.name, "precisions": list(session.precisions), "device": session.device.facts(),
        "data": session.subject.samples.fingerprint,
        "recipe": session.recipe.to_json(), "history": _history(session), **_model(session),
        "recipes": {name: each.to_json() for name, each in recipes.items()},
        "presets": {name: each.hash for name, each in session.presets().items() if each.hash in recipes},
        "plans": {name: _plan(session, each) for name, each in recipes.items()},
        "memory": {name: _memory(session, recipes[name]) for name in (*measured, session.recipe.hash)},
        "measured": measured, "comparable": [name for name in trials if name in recipes],
        "trials": [_trial(row) for row in rows[-MOST_TRIALS:]],
        "cells": [[*cell, cost, n] for cell, (cost, n) in session.measured_cells.items()],
        "pairs": [[*one, *other, cost] for (one, other), cost in session.measured_pairs.items()],
        "frontier": _front(session, trials), "answers": pack_answers(session.answers),
    }  # fmt: skip
    return {MANIFEST: pack_json(manifest), **_arrays(session)}


def choose_recipes(session: Recordable, trials: Mapping[str, Trial]) -> dict[str, Recipe]:
    """The recipes that can be switched to, by hash: the current one, presets, the history's, proposed and measured.

    Recipes with static precisions are among them once the session has static scales: finding those takes a run.
    """
    frontier = session.frontier_found
    proposed = () if frontier is None else (*frontier.proposals, *frontier.baselines)
    wanted = [
        session.recipe,
        *session.presets().values(),
        *(each.recipe for each in proposed),
        *(node.recipe for node in reversed(session.history)),
        *(trial.recipe for trial in reversed(list(trials.values()))),
    ]
    able = {each.hash: each for each in wanted if session.is_calibrated or not each.is_static}
    needed = {session.recipe.hash: session.recipe} | {each.recipe.hash: each.recipe for each in proposed}
    return {**needed, **dict(list(able.items())[:MOST_RECIPES])}


def _model(session: Recordable) -> dict[str, Any]:
    """What all recipes share: the graph without weights, shapes, the ops' table, what each op could run in."""
    plan = session.subject.baseline
    kinds: dict[tuple[Any, ...], int] = {}
    options = {}
    for op in session.ops.index:
        found = session.options(op)
        options[op] = [kinds.setdefault(_option(found[name]), len(kinds)) for name in session.precisions]
    return {
        "graph": outline_of(session.subject.graph),
        "shapes": {name: list(shape) for name, shape in plan.shapes.items()},
        "operands": {step.op.id: list(step.site.operands) for step in plan.steps if step.op.role == "compute"},
        "ops": session.ops.reset_index().to_dict("records"),
        "links": [list(link) for link in session.links],
        "option_kinds": [list(kind) for kind in kinds],
        "options": options,
    }


def _option(option: Option) -> tuple[Any, ...]:
    return option.possible, option.emulated, option.kernel, option.reason


def _plan(session: Recordable, recipe: Recipe) -> dict[str, Any]:
    return plan_entry(session.plan_of(recipe), session.casts(recipe), session.predicted_latency_ms(recipe))


def _memory(session: Recordable, recipe: Recipe) -> list[dict[str, Any]]:
    return [{str(name): each for name, each in row.items()} for row in _rows(session.memory(recipe))]


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.reset_index().to_dict("records")


def _history(session: Recordable) -> dict[str, Any]:
    nodes = [[node.parent, node.recipe.to_json(), node.words] for node in session.history]
    return {"nodes": nodes, "at": session.node.id}


def _measured(
    session: Recordable, rows: list[Mapping[str, Any]], recipes: Mapping[str, Recipe]
) -> dict[str, dict[str, Any]]:
    """Recipe hash -> its quality of the most samples and its newest latency, on this data and device."""
    found: dict[str, dict[str, Any]] = {}
    data, device = session.subject.samples.fingerprint, session.device.key
    for row in rows:
        if row["recipe"] not in recipes or (row["data"], row["device"]) != (data, device):
            continue
        if row["kind"] == "latency" and not _is_read(row):
            continue
        before = found.setdefault(row["recipe"], {}).get(row["kind"])
        if before is None or row["kind"] != "quality" or row["result"]["n"] >= before["n"]:
            found[row["recipe"]][row["kind"]] = row["result"]
    for trial in session.comparable_trials():
        if trial.hash in recipes:
            found.setdefault(trial.hash, {}).update(trial.found)
    return found


def _is_read(row: Mapping[str, Any]) -> bool:
    """Whether a latency is over the eager baseline, and of this version."""
    return bool(row["conditions"].startswith(EAGER) and row["result"].get("format") == LATENCY_FORMAT)


def _trial(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the trial store without what only the whole result holds."""
    facts = {name: row["facts"].get(name) for name in ("torch_version", "label")}
    result = {name: row["result"][name] for name in NUMBERS if name in row["result"]}
    return {name: row[name] for name in ("created", "kind", "recipe", "n", "conditions", "device")} | {
        "facts": facts,
        "result": result,
    }


def _front(session: Recordable, trials: Mapping[str, Trial]) -> dict[str, Any] | None:
    """The last search's frontier, with what was measured of its proposals since."""
    frontier = session.frontier_found
    if frontier is None:
        return None

    def told(group: Any) -> tuple[Any, ...]:
        return tuple(
            replace(each, quality=trials[each.recipe.hash].quality, latency=trials[each.recipe.hash].latency)
            if each.recipe.hash in trials else each
            for each in group
        )  # fmt: skip

    return pack_front(replace(frontier, proposals=told(frontier.proposals), baselines=told(frontier.baselines)))


def _arrays(session: Recordable) -> dict[str, bytes]:
    found: dict[str, Any] = {SAMPLES: pack_samples(session.answers)}
    if session.ranges_found is not None:
        found[RANGES] = observe.pack(session.ranges_found)
    if session.map_found is not None:
        found[MAP] = predict.pack(session.map_found)
    return {name: pack_arrays(arrays) for name, arrays in found.items() if arrays}
