"""What is chosen in a session: its recipe, the way back to every former one, and the scales of static precisions."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pandas as pd

from explorer.analyses import Analyses
from explorer.errors import PrecisionError, RecipeError
from explorer.kernels import Option
from explorer.latency import LatencyTable
from explorer.precision import find_precision
from explorer.progress import Progress, terminal_progress, with_progress
from explorer.recipe import History, Past, Recipe, Where, build_presets, is_exact, select
from explorer.run import METHOD, Calibration, Plan, calibrate
from explorer.subject import Subject
from explorer.tables import OpStates, cast_rows, casts_table, op_states, ops_table, row_links

COLUMNS = ("fp32", "bf16", "fp16", "fp8", "int8", "int8_static", "w8", "w4")
PLANS_KEPT = 64


class Choices(Past, Analyses):
    """The part of a session that holds its recipe: set, apply, undo, redo, and a tree of all that was chosen."""

    def __init__(self, subject: Subject, times: LatencyTable) -> None:
        super().__init__(subject, times)
        self.precisions: tuple[str, ...] = COLUMNS
        self._history = History.of(subject.baseline.recipe)
        self._plans: dict[str, Plan] = {}
        self._calibration: Calibration | None = None
        self._marked: tuple[Recipe, Calibration, Recipe] | None = None

    @property
    def recipe(self) -> Recipe:
        """The current recipe; one with static precisions knows under which scales, once there are any."""
        current, scales = self._history.current, self._calibration
        if scales is None:
            return current
        # The same object each time: what follows from a recipe, its hash before all, is kept with it.
        marked = self._marked
        if marked is None or marked[0] is not current or marked[1] is not scales:
            self._marked = marked = current, scales, current.with_calibration(scales)
        return marked[2]

    @property
    def plan(self) -> Plan:
        """The plan of the current recipe: kernels, refusals, casts."""
        return self.plan_of(self.recipe)

    def plan_of(self, recipe: Recipe | None) -> Plan:
        """Return the plan of ``recipe`` (default the current one)."""
        recipe = self.recipe if recipe is None else self._own(recipe)
        plan = self._plans.get(recipe.hash)
        if plan is None:
            recent = list(self._plans.items())[-PLANS_KEPT:]
            plan = self.subject.planner.plan(recipe, near=recent[-1][1] if recent else None)
            self._plans = {**dict(recent), recipe.hash: plan}
        # The hash leaves out reasons: an equal recipe chosen for another reason has the same plan.
        return plan if plan.recipe == recipe else replace(plan, recipe=recipe)

    def options(self, op: str) -> dict[str, Option]:
        """Return, for every precision, whether ``op`` can take it here, on which kernel, and why not."""
        (found,) = select(self.subject.graph, [op])
        return {name: self.subject.planner.option(found, name) for name in self.precisions}

    def presets(self) -> dict[str, Recipe]:
        """Return the named recipes: ``fp32``, ``bf16``, ``autocast-bf16``, ``int8-dynamic``, ..."""
        return build_presets(self.subject.graph, self.subject.planner.option)

    # What the current recipe looks like

    @property
    def ops(self) -> pd.DataFrame:
        """One row per op that has a precision, indexed by op id."""
        return ops_table(self.plan)

    @property
    def op_states(self) -> OpStates:
        """The columns of :attr:`ops` that change with the recipe, as lists."""
        return op_states(self.plan)

    def casts(self, recipe: Recipe | None = None) -> pd.DataFrame:
        """Return one row per cast of the recipe's plan; ``time_us`` is NaN until its latency was measured."""
        return casts_table(self.plan_of(recipe), self._latencies.time_us)

    @property
    def cast_rows(self) -> list[tuple[Any, ...]]:
        """The rows of :meth:`casts` under the current recipe, as tuples."""
        return cast_rows(self.plan, self._latencies.time_us)

    @property
    def links(self) -> list[tuple[str, str]]:
        """Edges among the rows of :attr:`ops`, looking through views."""
        return row_links(self.subject.graph)

    @property
    def formats_out(self) -> dict[str, str]:
        """Op id -> the format that flows out of it under the current recipe."""
        return {step.op.id: step.gives for step in self.plan.steps if step.op.has_precision}

    def predicted_latency_ms(self, recipe: Recipe | None = None) -> float | None:
        """Return the sum of the per-op table for ``recipe``, or None while an op or cast of it was never timed."""
        return self._latencies.predict_ms(self.plan_of(recipe))

    # Choosing

    def set(self, where: Where, precision: str, reason: str = "user") -> Recipe:
        """Give the ops that ``where`` means a precision and return the new recipe.

        ``where``: an op id, a fold, a layer, a glob on layers (``"blocks.*.mlp.*"``), ``"kind:linear"``,
        ``"role:compute"``, ``"*"`` or a list of these. A pattern skips ops that cannot take the precision; an op named
        by its id raises :class:`PrecisionError` with the reason, as does a pattern of which no op can take it.
        """
        name, option = find_precision(precision).name, self.subject.planner.option
        ops = select(self.subject.graph, where)
        able = [op for op in ops if option(op, name).possible]
        if len(able) < len(ops) and (not able or is_exact(self.subject.graph, where)):
            refused = next(op for op in ops if op not in able)
            possible = [p for p in self.precisions if option(refused, p).possible]
            raise PrecisionError(
                f"set {refused!r} to {name!r}", option(refused, name).reason, f"one of {', '.join(possible)}"
            )
        return self._move(self._history.push(self.recipe.with_precision(able, name, reason)))

    def apply(self, recipe: Recipe, words: str = "") -> Recipe:
        """Make ``recipe`` the current one. Raises :class:`RecipeError` when it belongs to another model.

        words: how :attr:`history` calls it; empty: what changed. Warns where its numbers were found under other static
        scales than those in use here.
        """
        recipe = self._own(recipe)
        self.plan_of(recipe)
        if misfit := self.misfit(recipe):
            warnings.warn(misfit, stacklevel=2)
        return self._move(self._history.push(recipe, words))

    def reset(self) -> Recipe:
        """Return to FP32 everywhere (can be undone)."""
        return self._move(self._history.push(self.subject.baseline.recipe))

    # The way back

    def take_history(self, history: History) -> Recipe:
        """Go on with a history of before, at its place; raise :class:`RecipeError` where it is another model's."""
        for node in history.nodes:
            self._own(node.recipe)
        return self._move(history)

    # Static scales

    @property
    def is_calibrated(self) -> bool:
        """Whether there are static scales, so that a recipe with static precisions needs no run to find them."""
        return self._calibration is not None

    @property
    def calibration(self) -> Calibration:
        """The static scales in use; found by :meth:`calibrate` with its defaults when a recipe first needs them."""
        return self._calibration or self.calibrate()

    def calibrate(
        self, method: str = METHOD, n: int = 64, *, progress: Progress | None = None, cancel: Any = None
    ) -> Calibration:
        """Find the scales of static precisions from the first ``n`` samples in FP32, and use them from now on.

        method: ``"minmax"``, ``"moving_average"``, ``"percentile"``, ``"mse"`` or ``"entropy"``. Measurements under
        other scales stay in the trial store and are found again when these scales are back. Raises
        :class:`PrecisionError` for an unknown method, and where a value was never finite.
        """
        batches = list(self.subject.samples.first(n))
        with terminal_progress(progress) as report:
            steps = with_progress(batches, report, "calibrating static scales")
            found = calibrate(self.subject.graph, self.subject.planner.static_values, steps, method, cancel)
        self._calibration, self._plans = found, {}
        return found

    # Private

    def _own(self, recipe: Recipe) -> Recipe:
        """Return ``recipe`` if it is for this model, in this graph's order of ops."""
        graph, asked = self.subject.graph, f"apply a recipe for {recipe.model!r}"
        if recipe.fingerprint != graph.fingerprint:
            raise RecipeError(
                asked,
                f"its model has fingerprint {recipe.fingerprint}, {graph.name!r} has {graph.fingerprint}",
                "a recipe made for this model with these weights",
            )
        if odd := sorted(recipe.precisions.keys() ^ graph.row_ids):
            raise RecipeError(asked, f"op {odd[0]!r} is not in both recipe and model", "a recipe that names every op")
        return recipe
