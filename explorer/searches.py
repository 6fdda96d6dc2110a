"""What a session predicts and proposes: the map, prices of recipes, exact sweeps; each method hands on its subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import pandas as pd

from explorer import predict
from explorer.analyses import Analyses
from explorer.compare.runs import Extent
from explorer.errors import SelectionError
from explorer.latency import Latency, LatencyTable
from explorer.ledger import Trial
from explorer.measure import Quality
from explorer.precision import names_of
from explorer.predict import PROBES, Band, MapStore, Measured, PredictedMap, Price, Pricer
from explorer.progress import Progress, terminal_progress
from explorer.recipe import Recipe, Where, build_presets
from explorer.run import Plan
from explorer.search import Constraints, Frontier, Goal, Known, Meters, Objective
from explorer.search import search as find_frontier
from explorer.subject import Subject
from explorer.sweep import Cell, SweepResult, choose_cells, choose_ops
from explorer.sweep import interactions as measure_pairs
from explorer.sweep import sweep as measure_cells


class Searches(Analyses):
    """The part of a session that predicts what recipes cost and proposes better ones; what it has learnt is kept.

    The map is one: more samples, other precisions and interrupted runs add to it. ``progress`` and ``cancel`` as in
    :class:`Analyses`.
    """

    precisions: tuple[str, ...]
    meters: Meters
    """What measures proposals."""
    map_store: MapStore
    """Where maps are kept between sessions."""

    def __init__(self, subject: Subject, times: LatencyTable) -> None:
        super().__init__(subject, times)
        self._map: PredictedMap | None = None
        self._swept: SweepResult | None = None
        self._pairs: dict[tuple[Cell, Cell], float] = {}
        self._pricer: Pricer | None = None
        self._trials: dict[str, tuple[float, float]] | None = None
        self._frontier: Frontier | None = None

    def measured_recipes(self) -> Iterable[tuple[Recipe, float]]:
        """Yield each recipe whose cost was measured on all samples under the conditions in use, with that cost."""
        raise NotImplementedError

    def comparable_trials(self) -> tuple[Trial, ...]:
        """Return every recipe that was measured on this data and device as it would be now."""
        raise NotImplementedError

    def choose_kernels(self, plans: Iterable[Plan], progress: Progress | None, cancel: Any) -> None:
        """Find by measuring which of rival kernels are the fastest for the ops of some plans, where that is unknown."""
        raise NotImplementedError

    # Found so far

    @property
    def map_found(self) -> PredictedMap | None:
        """The map as far as it was predicted; None before it was."""
        return self._map

    @property
    def frontier_found(self) -> Frontier | None:
        """What the last search found; None before one."""
        return self._frontier

    @property
    def measured_pairs(self) -> Mapping[tuple[Cell, Cell], float]:
        """Two cells -> what both cost together beyond the sum of what each costs alone, as measured."""
        return self._pairs

    # Predicted

    def predicted_map(
        self,
        precisions: Iterable[str] | None = None,
        probes: int = PROBES,
        n: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
        partial: Callable[[PredictedMap], None] | None = None,
    ) -> PredictedMap:
        """Return the predicted cost of every op in each of ``precisions`` (default the session's columns).

        From one run, ``probes`` walks back and each op once more per precision over the first ``n`` samples (default
        512). ``partial`` gets the map as it grows, a rough one first. Only what is not known yet is run: a call with
        another precision runs that one, a call after :class:`Cancelled` goes on where the other stopped, and what was
        found in an earlier session is read from disk.
        """
        names = names_of(precisions or self.precisions)

        def keep(found: PredictedMap) -> None:
            self._map = found
            self._forget_prices()
            if partial is not None:
                partial(found)

        known = self._map if self._map is not None and self._map.probes == probes else None
        with terminal_progress(progress) as report:
            ask, extent = predict.Ask(names, probes), Extent(n, report, cancel)
            keep(predict.predict_map(self.subject, ask, extent, known, keep, self.map_store))
        assert self._map is not None
        return self._map

    def map(
        self,
        precisions: Iterable[str] | None = None,
        probes: int = PROBES,
        n: int | None = None,
        of: Literal["ops", "kv"] = "ops",
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> pd.DataFrame:
        """Return the predicted cost of each op in each precision, all other ops in FP32: op x precision.

        In nats of KL divergence per sample or token, or as squared error where outputs are no logits; 0 in FP32, NaN
        where a precision is not possible. See :meth:`predicted_map`, which also holds errors and interactions.

        ``of="kv"``: of keeping the keys or the values of each attention in a format instead, with one scale per token
        as a cache of them has, all emulated: ``<attention op>:k`` and ``:v`` x format. Empty without attention ops.
        """
        if of not in ("ops", "kv"):
            raise SelectionError(f"map of={of!r}", "there is no such map", "of='ops' or of='kv'")
        if of == "kv":
            formats = predict.KV_FORMATS if precisions is None else names_of(precisions)
            with terminal_progress(progress) as report:
                like = predict.Ask((), probes)
                return predict.predict_kv(self.subject, formats, Extent(n, report, cancel), like).table()
        names = names_of(precisions or self.precisions)
        return self.predicted_map(names, probes, n, progress=progress, cancel=cancel).only(names).table()

    def price(self, recipe: Recipe | None = None) -> Price | None:
        """Return what ``recipe`` (default the current one) is predicted to cost, with its band; runs nothing.

        None before there is a map. What was swept takes the place of what was predicted. The recipes measured on this
        data calibrate the band, but no recipe its own: whether it came out inside says something.
        """
        if self._map is None:
            return None
        recipe = self._asked(recipe)
        others = (pair for hash_, pair in self._calibrating().items() if hash_ != recipe.hash)
        return self._prices().price(recipe, Band.of(others))

    # Measured

    @property
    def measured_cells(self) -> Mapping[Cell, tuple[float, int]]:
        """(op, precision) -> what it costs alone as measured by :meth:`sweep`, and on how many samples."""
        cells = {} if self._swept is None else self._swept.cells
        return {cell: (found.cost, found.n) for cell, found in cells.items() if not found.failure}

    def sweep(
        self,
        ops: Where | None = None,
        precisions: Iterable[str] | None = None,
        executor: Any = None,
        n: int | None = None,
        only: Literal["ambiguous"] | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
        partial: Callable[[pd.DataFrame], None] | None = None,
    ) -> pd.DataFrame:
        """Return the measured cost of each op in each precision, all other ops in FP32: op x precision, as :meth:`map`.

        A row for each op asked for (default all) and a column for each precision; 0 in FP32, NaN where a precision is
        not possible or its kernel failed. Over the first ``n`` samples (default 128). ``only="ambiguous"`` measures
        only cells whose prediction cannot be trusted (needs a map) and leaves the others NaN. executor: None for this
        process, any executor of ``concurrent.futures`` (processes spawned, not forked), or a ``dask.distributed``
        Client. ``partial`` gets the table so far. What was measured is used by :meth:`price` from now on. Raises
        :class:`explorer.sweep.SweepLost`, with what was measured, where workers are gone.
        """
        names = names_of(precisions or self.precisions)
        rows = choose_ops(self.subject, ops)
        cells = choose_cells(self.subject, names, rows)
        if only is not None:
            ambiguous = self._ambiguous(only)
            cells = [cell for cell in cells if cell in ambiguous]

        def keep(found: SweepResult) -> None:
            self._swept = found if self._swept is None else self._swept.merge(found)
            self._forget_prices()
            if partial is not None:
                partial(found.over(rows, names).table())

        with terminal_progress(progress) as report:
            found = measure_cells(self.subject, cells, n, executor, report, cancel, keep)
        keep(found)
        return found.over(rows, names).table()

    def interactions(
        self,
        k: int = 8,
        n: int | None = None,
        recipe: Recipe | None = None,
        executor: Any = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> pd.DataFrame:
        """Return the ``k`` pairs of ops of a recipe whose errors are predicted to reinforce or cancel each other most.

        With what each costs alone and both together, measured on ``n`` samples (default 128), and the interaction as
        predicted and as measured. :meth:`price` uses what was measured from now on. Needs a map. Raises
        :class:`SelectionError` where fewer than two ops of the recipe are out of FP32 and have a prediction.
        """
        found = self._require_map("look for interactions")
        pairs = predict.strongest_pairs(found, self._asked(recipe), k)
        with terminal_progress(progress) as report:
            table = measure_pairs(self.subject, pairs, n, executor, report, cancel)
        self._pairs |= dict(zip(pairs, table["interaction"], strict=True))
        self._forget_prices()
        return table.assign(predicted=list(pairs.values()))

    # Proposed

    def search(
        self,
        objective: Objective = "latency",
        budget: float | None = None,
        max_cost: float | None = None,
        precisions: Iterable[str] | None = None,
        constraints: Constraints | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> Frontier:
        """Return the best recipes: the least predicted cost for what they use, beside what simpler searches find.

        objective: what is scarce: ``"latency"`` (ms of a batch, measured per call, casts included), ``"memory"``
        (bytes of weights, scales and activations at their peak) or ``"bits"`` (per weight). With ``budget`` the one
        best recipe within it, with ``max_cost`` the one that uses least at that cost, with neither the whole front; its
        ``at`` solves for another budget without a new pass, its ``verify`` measures. precisions: what ops may take
        (default the session's columns); those that the map lacks are predicted first. Raises :class:`RecipeError`
        where constraints contradict each other or nothing is possible within the limit, with the least that is.
        """
        names = names_of(precisions or self.precisions)
        goal = Goal(objective, budget, max_cost, names, constraints or Constraints())
        with terminal_progress(progress) as report:
            if self._map is None or not set(names) <= set(self._map.precisions):
                n = None if self._map is None else self._map.samples
                self.predicted_map(names, n=n, progress=report, cancel=cancel)
            if objective == "latency":
                presets = build_presets(self.subject.graph, self.subject.planner.option).values()
                self.choose_kernels((self.subject.plan(each) for each in presets), report, cancel)
            pricer = replace(self._prices(), band=Band.of(self._calibrating().values()))
            known = Known(pricer, self._latencies, replace(self.meters, trials=self._trials_found, price=self.price))
            self._frontier = find_frontier(self.subject, known, goal, progress=report, cancel=cancel)
        return self._frontier

    # Private

    def _trials_found(self) -> Iterator[tuple[Recipe, Quality, Latency | None]]:
        """What was measured so far of each recipe that could be proposed."""
        for trial in self.comparable_trials():
            if trial.quality is not None:
                yield trial.recipe, trial.quality, trial.latency

    def _prices(self) -> Pricer:
        """What prices recipes with all that is known of single ops and pairs."""
        if self._pricer is None:
            assert self._map is not None
            cells = {cell: cost for cell, (cost, _) in self.measured_cells.items()}
            self._pricer = Pricer(self._map, Measured(cells, self._pairs))
        return self._pricer

    def _calibrating(self) -> Mapping[str, tuple[float, float]]:
        """Hash of each measured recipe -> its predicted and its measured cost."""
        if self._trials is None:
            price = self._prices().price
            self._trials = {each.hash: (price(each).cost, cost) for each, cost in self.measured_recipes()}
        return self._trials

    def _forget_prices(self) -> None:
        """Something was learnt of ops: the next price is found anew."""
        self._pricer = None
        self._forget_trials()

    def _forget_trials(self) -> None:
        """A recipe was measured: the next band is found anew."""
        self._trials = None

    def _ambiguous(self, only: str) -> frozenset[Cell]:
        if only != "ambiguous":
            raise SelectionError(f"sweep only {only!r}", "there is no such choice of cells", "'ambiguous', or None")
        return predict.ambiguous_cells(self._require_map("choose ambiguous cells"))

    def _require_map(self, asked: str) -> PredictedMap:
        if self._map is None:
            raise SelectionError(asked, "there is no predicted map yet", "session.map() first")
        return self._map
