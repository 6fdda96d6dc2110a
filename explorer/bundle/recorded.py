"""A recorded exploration: what a session says, answered from what was saved; nothing runs here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pandas as pd

from explorer.bundle.plans import RecordedPlan
from explorer.compare import Birth
from explorer.diagnosis import Finding
from explorer.errors import BundleError, PrecisionError, RecipeError
from explorer.graph import ModelGraph
from explorer.kernels import Option
from explorer.latency import Latency
from explorer.ledger import Known, Trial
from explorer.measure import Device, Quality
from explorer.observe import RangeSet
from explorer.predict import Band, Measured, PredictedMap, Price, Pricer
from explorer.recipe import History, Past, Recipe, Where, is_exact, select
from explorer.search import Frontier
from explorer.tables import OpStates
from explorer.trials import trials_table

IN_FULL = "explorer.open(...) with the model"
Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class Contents:
    """What a bundle holds, read and checked. ``facts``: names, numbers and words; the rest as the engine's values."""

    facts: Mapping[str, Any]
    device: Device
    graph: ModelGraph
    recipes: Mapping[str, Recipe]
    presets: Mapping[str, Recipe]
    history: History
    plans: Mapping[str, RecordedPlan]
    options: Mapping[str, Mapping[str, Option]]
    trials: Mapping[str, Trial]
    memory: Mapping[str, pd.DataFrame]
    cells: Mapping[tuple[str, str], tuple[float, int]]
    pairs: Mapping[Any, float]
    ranges: RangeSet | None
    map: PredictedMap | None
    frontier: Frontier | None
    answers: Mapping[tuple[str, str], Any]


class RecordedSubject:
    """What a recorded exploration is about: the graph without weights. Whatever would run it refuses in words."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph

    def __getattr__(self, name: str) -> NoReturn:
        raise BundleError("compute this anew", "a recorded exploration holds no model and no data", IN_FULL)


class Recorded(Past):
    """A saved exploration: what a session showed, on the device and at the time that :attr:`provenance` names.

    It has a session's methods as far as pages use them. Recipes can be switched to where they were recorded, and any
    recipe can be priced where the map was. Whatever was not recorded raises :class:`BundleError`, which says so.
    """

    recorded = True

    def __init__(self, contents: Contents, file: Path | None = None) -> None:
        facts = contents.facts
        self.file = file
        self._contents, self._history = contents, contents.history
        self.name, self.title, self.score_name, self.score_unit = (
            str(facts[name]) for name in ("name", "title", "score_name", "score_unit")
        )
        self.samples, self.batch_size = int(facts["samples"]), int(facts["batch_size"])
        self.samples_label = str(facts["samples_label"])
        self.precisions: tuple[str, ...] = tuple(map(str, facts["precisions"]))
        self.device, self.subject = contents.device, RecordedSubject(contents.graph)
        self.slice_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Recorded {self.name}: {len(self._contents.trials)} measured recipes, {self.marked}>"

    # Where it comes from

    @property
    def provenance(self) -> dict[str, Any]:
        """The device's facts, when it was saved, and the fingerprints of model and data."""
        saved = self._saved.isoformat(timespec="seconds")
        facts = {**self.device.facts(), "label": self._contents.facts["device"]["label"]}
        return {"saved": saved, "model": self.recipe.fingerprint, "data": self._contents.facts["data"], **facts}

    @property
    def marked(self) -> str:
        """ "recorded on <device>, <date>": stands wherever something of it is shown."""
        return f"recorded on {self._contents.facts['device']['label']}, {self._saved:%d %B %Y, %H:%M} UTC"

    @property
    def _saved(self) -> pd.Timestamp:
        return pd.Timestamp(self._contents.facts["saved"], unit="s", tz="UTC")

    # Recipes: those that were recorded

    @property
    def recipe(self) -> Recipe:
        return self._history.current

    def recipes(self) -> dict[str, Recipe]:
        """Return every recorded recipe by its hash."""
        return dict(self._contents.recipes)

    def find_recipe(self, hash_: str) -> Recipe | None:
        """Return the recorded recipe of this hash, or None."""
        return self._contents.recipes.get(hash_)

    def presets(self) -> dict[str, Recipe]:
        return dict(self._contents.presets)

    def rewind(self) -> None:
        """Go back to the recipe and the history that were saved."""
        self._history = self._contents.history

    def set(self, where: Where, precision: str, reason: str = "user") -> Recipe:
        """Give ops a precision, where the recipe that follows was recorded; else :class:`BundleError`."""
        graph = self.subject.graph
        ops = select(graph, where)
        able = [op for op in ops if self.options(op)[precision].possible]
        if len(able) < len(ops) and (not able or is_exact(graph, where)):
            refused = next(op for op in ops if op not in able)
            raise PrecisionError(f"set {refused!r} to {precision!r}", self.options(refused)[precision].reason, "fp32")
        return self.apply(self.recipe.with_precision(able, precision, reason))

    def apply(self, recipe: Recipe, words: str = "") -> Recipe:
        if recipe.fingerprint != self.recipe.fingerprint:
            raise RecipeError("apply a recipe", "it belongs to another model", "a recipe of this exploration")
        self._plan(recipe)
        return self._move(self._history.push(recipe, words))

    def reset(self) -> Recipe:
        """Go to FP32 everywhere."""
        return self.apply(Recipe.baseline(self.name, self.recipe.fingerprint, self.recipe.precisions))

    def misfit(self, recipe: Recipe) -> str:
        return ""

    # What a recipe looks like

    @property
    def ops(self) -> pd.DataFrame:
        """One row per op that has a precision, indexed by op id, under the current recipe."""
        plan = self.plan_of(None)
        steps = [plan.step_of[op] for op in self._ops.index]
        return self._ops.assign(
            precision=[self.recipe[op] for op in self._ops.index],
            reason=[self.recipe.reason(op) for op in self._ops.index],
            kernel=[step.kernel.name for step in steps],
            emulated=[step.emulated for step in steps],
            refusal=[step.refusal for step in steps],
        )

    @property
    def op_states(self) -> OpStates:
        """The columns of :attr:`ops` that change with the recipe, as lists."""
        ops, formats = self.ops, self.formats_out
        return OpStates.of_table(ops, [formats[op] for op in ops.index])

    @property
    def cast_rows(self) -> list[tuple[Any, ...]]:
        """The rows of :meth:`casts` under the current recipe, as tuples."""
        return list(self.casts().itertuples(index=False, name=None))

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(one, other) for one, other in self._contents.facts["links"]]

    @property
    def formats_out(self) -> dict[str, str]:
        return self.plan_of(None).formats_out

    def options(self, op: str) -> Mapping[str, Option]:
        return self._contents.options[op]

    def plan_of(self, recipe: Recipe | None) -> RecordedPlan:
        """Return the plan of ``recipe`` (default the current one) as it was on the device that recorded it."""
        return self._plan(recipe or self.recipe)

    def casts(self, recipe: Recipe | None = None) -> pd.DataFrame:
        return self.plan_of(recipe).casts.copy()

    def predicted_latency_ms(self, recipe: Recipe | None = None) -> float | None:
        plan = self._contents.plans.get((recipe or self.recipe).hash)
        return None if plan is None else plan.predicted_ms

    # What was measured

    def known(self, recipe: Recipe | None = None) -> Known:
        trial = self._contents.trials.get((recipe or self.recipe).hash)
        return Known(None, None) if trial is None else Known(trial.quality, trial.latency)

    def evaluate(self, recipe: Recipe | None = None, n: int | None = None, **_: Any) -> Quality:
        """Return the recorded quality of ``recipe`` (default the current one)."""
        found = self.known(recipe).quality
        return self._refuse("quality", recipe) if found is None else found

    def latency(self, recipe: Recipe | None = None, **_: Any) -> Latency:
        """Return the recorded latency of ``recipe`` (default the current one)."""
        found = self.known(recipe).latency
        return self._refuse("latency", recipe) if found is None else found

    def memory(self, recipe: Recipe | None = None) -> pd.DataFrame:
        """Return the recorded bytes of ``recipe`` (default the current one)."""
        found = self._contents.memory.get((recipe or self.recipe).hash)
        return self._refuse("memory", recipe) if found is None else found

    @property
    def trials(self) -> pd.DataFrame:
        """Everything that was measured of the model, oldest first, with provenance."""
        return trials_table(self._contents.facts["trials"])

    def comparable_trials(self) -> tuple[Trial, ...]:
        trials = self._contents.trials
        return tuple(trials[name] for name in self._contents.facts["comparable"] if name in trials)

    # What was predicted and found

    def range_set(self, n: int | None = None, slices: Any = None, **_: Any) -> RangeSet:
        """Return the recorded ranges, of as many samples as were looked at."""
        return _recorded("read ranges", self._contents.ranges)

    def predicted_map(self, precisions: Any = None, **_: Any) -> PredictedMap:
        """Return the recorded map."""
        return _recorded("predict the map", self._contents.map)

    @property
    def has_frontier(self) -> bool:
        """Whether a search was recorded."""
        return self._contents.frontier is not None

    @property
    def measured_cells(self) -> Mapping[tuple[str, str], tuple[float, int]]:
        return self._contents.cells

    def price(self, recipe: Recipe | None = None) -> Price:
        """Return what ``recipe`` (default the current one) costs by the recorded map, measured or not."""
        asked = recipe or self.recipe
        return self._pricer.price(
            asked, Band.of(pair for name, pair in self._calibrating.items() if name != asked.hash)
        )

    def search(self, objective: Any = None, **_: Any) -> Frontier:
        """Return the recorded frontier, whatever it was searched for."""
        return _recorded("search", self._contents.frontier)

    def boundaries(self, recipe: Recipe | None = None) -> Any:
        return self._answer("boundaries", recipe)

    def errors(self, recipe: Recipe | None = None, *, ops: Sequence[str] | None = None, **_: Any) -> pd.DataFrame:
        found: pd.DataFrame = self._answer("errors", recipe)
        return found if ops is None else found.loc[found.index.isin(list(ops))]

    def compare(self, recipe: Recipe | None = None, view: str = "local", **_: Any) -> pd.DataFrame:
        found: pd.DataFrame = self._answer(f"compare: {view}", recipe)
        return found

    def first_nonfinite(self, recipe: Recipe | None = None, **_: Any) -> Birth | None:
        found: Birth | None = self._answer("first_nonfinite", recipe)
        return found

    def culprits(self, recipe: Recipe | None = None, **_: Any) -> Any:
        return self._answer("culprits", recipe)

    def diagnose(
        self, recipe: Recipe | None = None, *, ops: Sequence[str] | None = None, **_: Any
    ) -> tuple[Finding, ...]:
        found: tuple[Finding, ...] = self._answer("diagnose", recipe)
        return found if ops is None else tuple(each for each in found if each.op in ops)

    def preview(self, *_: Any, **__: Any) -> NoReturn:
        raise BundleError("try a remedy", "a recorded exploration holds no model", IN_FULL)

    treat = calibrate = preview

    # Private

    @cached_property
    def _ops(self) -> pd.DataFrame:
        return pd.DataFrame(self._contents.facts["ops"]).set_index("op")

    @cached_property
    def _pricer(self) -> Pricer:
        cells = {cell: cost for cell, (cost, _) in self._contents.cells.items()}
        return Pricer(_recorded("price a recipe", self._contents.map), Measured(cells, self._contents.pairs))

    @cached_property
    def _calibrating(self) -> Mapping[str, tuple[float, float]]:
        """Hash of each measured recipe -> its predicted and its measured cost."""
        return {each.hash: (self._pricer.price(each).cost, cost) for each, cost in self._measured_recipes()}

    def _measured_recipes(self) -> Iterator[tuple[Recipe, float]]:
        for trial in self.comparable_trials():
            if trial.quality is not None and not trial.recipe.is_baseline:
                yield trial.recipe, trial.quality.cost

    def _move(self, history: History) -> Recipe:
        self._plan(history.current)
        return super()._move(history)

    def _plan(self, recipe: Recipe) -> RecordedPlan:
        found = self._contents.plans.get(recipe.hash)
        if found is None:
            counts = ", ".join(f"{count} {name}" for name, count in recipe.counts.items())
            raise BundleError(
                f"show the recipe {recipe.hash} ({counts})",
                "it was not recorded, and nothing is planned or measured here",
                f"one of the {len(self._contents.plans)} recorded recipes, from presets, frontier or history",
            )
        return found

    def _answer(self, question: str, recipe: Recipe | None) -> Any:
        key = question, (recipe or self.recipe).hash
        if key not in self._contents.answers:
            raise BundleError(question, "not recorded for this recipe", IN_FULL)
        return self._contents.answers[key]

    def _refuse(self, kind: str, recipe: Recipe | None) -> NoReturn:
        measured = sorted(self._contents.trials)
        raise BundleError(
            f"read the {kind} of recipe {(recipe or self.recipe).hash}",
            "not recorded: it was not measured in this exploration",
            f"one of {', '.join(measured[:12]) or 'none'}{' ...' if len(measured) > 12 else ''}",
        )


def _recorded(asked: str, found: Kept | None) -> Kept:
    if found is None:
        raise BundleError(asked, "not recorded: nobody had looked at it when this was saved", IN_FULL)
    return found
