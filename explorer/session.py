"""The session: one model, its data, its graph and its current recipe. It joins the parts, computing nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from explorer import bundle
from explorer.choices import Choices
from explorer.diagnosis import Finding, Remedy
from explorer.diagnosis import apply as treat
from explorer.errors import RecipeError
from explorer.evaluate import Evaluator
from explorer.graph import ModelGraph, balance, make_outliers, unflatten_inputs
from explorer.kernels import BEST_FP32, settle
from explorer.latency import LONG_SECONDS, Against, Latency, LatencyTable, Stopwatch
from explorer.ledger import EAGER, OVER_BEST_FP32, Known, Ledger, Trial, conditions_of
from explorer.measure import Device, Effort, Quality, RateStore, Task
from explorer.predict import MapStore
from explorer.progress import Progress, terminal_progress
from explorer.recipe import Recipe
from explorer.run import KernelCache, Plan, Planner, weigh
from explorer.samples import Samples, check_targets
from explorer.search import Meters
from explorer.searches import Searches
from explorer.subject import Subject
from explorer.tables import memory_table
from explorer.trials import TrialStore, trials_table

REPLAY_BUDGET = 512 << 20
PACKED_SHARE, PACKED_LEAST = 4, 256 << 20
"""Packed weights are kept up to so many times the model's own bytes, and so many more."""


class Session(Choices, Searches):
    """An open model. Made by :func:`explorer.open`; see there for the arguments.

    Thread-safe enough for one worker that measures recipes given explicitly while another thread sets and asks.
    """

    def __init__(
        self,
        graph: ModelGraph,
        module: nn.Module,
        example: tuple[tuple[Any, ...], Mapping[str, Any]],
        samples: Samples,
        task: Task,
        device: Device,
        store: TrialStore,
        title: str = "",
        noun: str = "samples",
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.graph, self.task, self.device, self.title = graph, task, device, title or graph.name
        self.warnings = warnings
        self._module, self._example, self._samples, self._noun = module, example, samples, noun
        self._ledger = Ledger(
            store, graph.fingerprint, samples, task.name, device, lambda: self.calibration.fingerprint
        )
        self._versions = _versions(module)
        self._kernels = KernelCache(PACKED_SHARE * sum(t.nbytes for t in graph.constants.values()) + PACKED_LEAST)
        self._evaluator = Evaluator(graph, samples, task, REPLAY_BUDGET)
        self._planner = Planner(graph, device, self._evaluator.shapes, lambda: self.calibration.scales)
        self._baseline = self._planner.plan(
            Recipe.baseline(graph.name, graph.fingerprint, (op.id for op in graph.rows))
        )
        super().__init__(
            Subject(
                graph,
                samples,
                task,
                self._kernels,
                self._baseline,
                self._planner,
                self._evaluator,
                self.plan_of,
                lambda: self.calibration,
            ),
            LatencyTable(),
        )
        self.meters = Meters(
            lambda recipe, progress, cancel: self.evaluate(recipe, progress=progress, cancel=cancel),
            lambda recipe, progress, cancel: self.latency(recipe, progress=progress, cancel=cancel),
        )
        self.map_store = MapStore(store.path.parent / "maps", device.key)
        self._stopwatch = Stopwatch(
            device,
            self._kernels,
            samples.batch(0),
            samples.batch_size,
            self._eager(samples.batch(0)),
            lambda: self._planner.plan(self._baseline.recipe, fp32=BEST_FP32),
            self._latencies,
            RateStore(store.path.parent),
        )
        first = self._evaluator.output_of_first_batch(self._baseline, self._kernels)
        check_targets(samples, first, task.name)

    # What the session is about

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def batch_size(self) -> int:
        return self._samples.batch_size

    @property
    def samples(self) -> int:
        """How many samples the data has."""
        return len(self._samples)

    @property
    def samples_label(self) -> str:
        return f"{len(self._samples)} {self._noun}"

    @property
    def store(self) -> TrialStore:
        """Where this session's measurements are kept."""
        return self._ledger.store

    @property
    def score_name(self) -> str:
        return self.task.score_name

    @property
    def score_unit(self) -> str:
        """``"%"`` when scores are fractions of right answers, else nothing."""
        return "%" if self.task.fraction else ""

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.recipe.counts.items())
        return (
            f"<Session {self.name}: {len(self.graph.rows)} ops ({counts}) on {self.device.label}, {self.samples_label}>"
        )

    # The same function with other weights

    def balance(self, alpha: float = 0.5, n: int = 512, *, powers_of_two: bool = False) -> Session:
        """Return a session on this model with activation channels balanced against weight columns (SmoothQuant).

        Between a norm (or linear) and the linears that follow, channels are divided and columns multiplied so that
        activations are easier to quantise; FP32 outputs stay within FP32 rounding, with ``powers_of_two`` bit for bit.
        alpha: 0 evens out the weights, 1 the activations. n: how many samples the activations' ranges are read from.
        This session stays as it is; the other one starts with its recipe, and has its own trials. Raises
        :class:`PrecisionError` where no ops can be balanced, with the reason.
        """
        batches = (self._samples.batch(index) for index in range(-(-min(n, self.samples) // self.batch_size)))
        return self.rewritten(balance(self.graph, batches, alpha, powers_of_two).graph, "balanced")

    def with_outliers(self, strength: float, channels: int = 4, seed: int = 0) -> Session:
        """Return a session on this model with outlier channels: the function unchanged, quantising it harder.

        strength: how many times as large ``channels`` channels (drawn with ``seed``) become, of every activation that
        can be balanced; a power of two leaves FP32 outputs bit for bit. See :meth:`balance` for what is shared.
        """
        return self.rewritten(make_outliers(self.graph, strength, channels, seed).graph, f"outliers x {strength:g}")

    def rewritten(self, graph: ModelGraph, note: str) -> Session:
        """Return a session on ``graph``, another form of this one's: same ops, model, data, device and trial store.

        The latency baseline remains the user's module. The current recipe is carried over, and can be undone to FP32.
        """
        other = Session(
            graph,
            self._module,
            self._example,
            self._samples,
            self.task,
            self.device,
            self._ledger.store,
            f"{self.title}, {note}",
            self._noun,
            self.warnings,
        )
        if not self.recipe.is_baseline:
            other.apply(replace(self.recipe, fingerprint=graph.fingerprint, calibration=None))
        return other

    def treat(self, remedy: Finding | Remedy) -> Session:
        """Do what a remedy (of a finding, its first) proposes and return the session to go on with.

        The same one with its recipe or its static scales changed, which :meth:`undo` and :meth:`calibrate` take back;
        for balancing another one. Raises :class:`RecipeError` where only the model's author can.
        """
        return treat(remedy.remedies[0] if isinstance(remedy, Finding) else remedy, self)

    # Measuring

    def evaluate(
        self,
        recipe: Recipe | None = None,
        n: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
        partial: Callable[[Quality], None] | None = None,
    ) -> Quality:
        """Return the quality of ``recipe`` (default the current one) on the first ``n`` samples (default all).

        A recipe already measured on this data and device is answered from the trial store. ``partial`` gets the quality
        of the first slice and then as it tightens. Raises :class:`Cancelled` when ``cancel`` (an Event) is set.
        """
        plan = self.plan_of(recipe)
        asked = n or self.samples
        if (known := self._ledger.quality(plan.recipe, asked)) is not None:
            return known
        self._require_unchanged()
        with terminal_progress(progress) as report:
            quality = self._evaluator.evaluate(plan, self._baseline, self._kernels, n, report, cancel, partial)
        self._ledger.add_quality(plan.recipe, asked, quality)
        self._forget_trials()
        return quality

    def latency(
        self,
        recipe: Recipe | None = None,
        against: str | Recipe = "eager",
        seconds: float = 2.0,
        engine: str = "eager",
        *,
        within: float = 0.01,
        cold: bool = False,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> Latency:
        """Time ``recipe`` (default the current one) and both baselines, interleaved, and fill the per-op table.

        ``against``: what ``speedup`` is over: ``"eager"`` (the module as the user runs it, FP32), ``"fp32"`` (best
        FP32: the fastest FP32 kernels here, lowered) or a recipe. ``engine``: how the recipe runs: ``"eager"`` (plain
        calls of its kernels), ``"compile"`` (torch.compile between them) or ``"cudagraph"``. Stops after ``seconds``,
        or earlier once the 95 % interval is ``within`` this fraction of the speed-up; ``cold`` empties the caches
        before every call. From one second on, what is measured once is measured too: which of rival kernels is
        fastest here, and what the device could do (some seconds, the first times).

        Always measures; the last result is kept in the trial store. Raises :class:`Cancelled` when ``cancel`` (an
        Event) is set, :class:`RunError` that names the op where a kernel fails or memory runs out.
        """
        plan = self.plan_of(recipe)
        self._require_unchanged()
        baseline = self._against(against)
        with terminal_progress(progress) as report:
            if seconds >= LONG_SECONDS:
                self.choose_kernels([plan], report, cancel)
                plan = self.plan_of(plan.recipe)
            effort = Effort(seconds, within, cold, report, cancel)
            found = self._stopwatch.measure(plan, baseline, engine, effort)
        self._ledger.add_latency(plan.recipe, conditions_of(baseline.label, engine, cold), found)
        return found

    def memory(self, recipe: Recipe | None = None) -> pd.DataFrame:
        """Return bytes of weights, scales and activations (peak) of ``recipe`` beside FP32's."""
        plan = self.plan_of(recipe)
        return memory_table(weigh(self._baseline, self._kernels), weigh(plan, self._kernels), bool(plan.emulated))

    def known(self, recipe: Recipe | None = None) -> Known:
        """Return what was measured before for ``recipe`` on this data and device, at once."""
        recipe = self.plan_of(recipe).recipe
        return Known(self._ledger.quality(recipe, self.samples), self._ledger.latency(recipe))

    @property
    def trials(self) -> pd.DataFrame:
        """Everything measured of this model, oldest first, with provenance."""
        return trials_table(self._ledger.rows())

    def comparable_trials(self) -> tuple[Trial, ...]:
        """Return every recipe that was measured on this data and device as it would be now, with its newest numbers."""
        return self._ledger.comparable(self._calibration.fingerprint if self._calibration is not None else None)

    def measured_recipes(self) -> Iterator[tuple[Recipe, float]]:
        """Yield each recipe whose cost was measured on all samples under the conditions in use, with that cost."""
        for trial in self.comparable_trials():
            if trial.quality is not None and not trial.recipe.is_baseline:
                yield trial.recipe, trial.quality.cost

    def find_recipe(self, hash_: str) -> Recipe | None:
        """Return the recipe of this hash: a preset, one of the history, or one that was measured or chosen before."""
        known = (*(node.recipe for node in self.history), *self.presets().values())
        if (found := next((each for each in known if each.hash == hash_), None)) is not None:
            return found
        text = self._ledger.store.recipe(self.recipe.fingerprint, hash_)
        return None if text is None else Recipe.from_json(text)

    def save(self, path: str | Path) -> Path:
        """Write a bundle: all that a page shows, for every recipe at hand. ``explorer.load`` opens it anywhere.

        With the graph (no weights), ranges, map, frontier and what was found out so far; of the data, only the inputs
        of culprits that were looked for. Runs no data; counts the bytes of recipes that were measured.
        """
        return bundle.save(Path(path), self, self._ledger.rows())

    def choose_kernels(self, plans: Iterable[Plan], progress: Progress | None = None, cancel: Any = None) -> None:
        """Measure which of rival kernels are fastest for the ops of ``plans`` and for best FP32, where that is unknown.

        Plans made before may then be of slower kernels: they are made anew.
        """
        choices = [choice for plan in plans for choice in self._planner.choices(plan)]
        if settle(choices, self.device, progress=progress, cancel=cancel):
            self._planner.forget_choices()
            self._plans = {}

    def rest(self) -> None:
        """Let go of what only makes the next measurement quicker; every number stays as it is."""
        self._evaluator.forget()

    # Private

    def _against(self, against: str | Recipe) -> Against:
        if isinstance(against, Recipe):
            return Against(f"over recipe {against.hash}", "recipe", self.plan_of(against))
        if against not in ("eager", "fp32"):
            raise RecipeError(f"time against {against!r}", "it is no baseline", "'eager', 'fp32' or a recipe")
        return Against(EAGER if against == "eager" else OVER_BEST_FP32, against)

    def _eager(self, inputs: tuple[Any, ...]) -> Callable[[], Any]:
        args, kwargs = unflatten_inputs(inputs, *self._example)

        def run() -> Any:
            with torch.no_grad():
                return self._module(*args, **kwargs)

        return run

    def _require_unchanged(self) -> None:
        if _versions(self._module) != self._versions:
            raise RecipeError(
                f"measure {self.name!r}", "its weights were changed in place since it was opened", "explorer.open again"
            )


def _versions(module: nn.Module) -> int:
    """Return a number that grows whenever a weight is written in place."""
    return sum(tensor._version for tensor in (*module.parameters(), *module.buffers()))
