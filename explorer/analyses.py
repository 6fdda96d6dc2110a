"""What a session says about the numbers in a model: each method hands its subject to the one that computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pandas as pd

from explorer import boundaries, compare, diagnosis, observe
from explorer.compare import Birth, Culprits, View
from explorer.latency import LatencyTable
from explorer.progress import Progress, terminal_progress
from explorer.ranges import Histogram
from explorer.recipe import Recipe, explains_misfit
from explorer.subject import Subject

ANSWERS_KEPT = 256
Found = TypeVar("Found")


class Analyses:
    """The part of a session that looks at numbers; what depends on model and data alone is computed once and kept.

    Where a method takes a recipe, it is by default the current one; ``n`` is how many samples are looked at, the first
    ones. ``progress(done, total, text)`` is told how far it is; once ``cancel`` (an Event) is set, :class:`Cancelled`
    is raised.
    """

    def __init__(self, subject: Subject, times: LatencyTable) -> None:
        self.subject = subject
        self._latencies = times
        self._ranges: dict[tuple[int, str | None] | None, observe.RangeSet] = {}
        self.answers: dict[tuple[str, str], Any] = {}
        """(question, recipe hash) -> what was last found out: what a saved exploration tells besides numbers."""

    @property
    def recipe(self) -> Recipe:
        """The current recipe."""
        raise NotImplementedError

    # Ranges

    @property
    def slice_names(self) -> tuple[str, ...]:
        """By which of the built-in ways, ``"phase"`` and ``"length"``, this data can be cut into slices."""
        return observe.built_in_slices(self.subject.samples)

    def range_set(
        self,
        n: int | None = None,
        slices: observe.Slices | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> observe.RangeSet:
        """Return the ranges of every tensor in FP32 over ``n`` samples (default all), from one pass.

        slices: labels, one per sample or per token, or ``"phase"`` or ``"length"`` for language models: the ranges of
        each part of the data are found too. Raises :class:`DataError` for slices that the data cannot be cut into.
        """
        total = len(self.subject.samples)
        key = (min(n or total, total), slices) if slices is None or isinstance(slices, str) else None
        known = self._known_ranges(key)
        if known is not None:
            return known
        with terminal_progress(progress) as report:
            found = observe.observe(self.subject, n, slices, report, cancel, self._first_ranges(key))
        if key is not None:
            self._ranges[key] = found
        return found

    def ranges(
        self,
        n: int | None = None,
        slices: observe.Slices | None = None,
        formats: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> pd.DataFrame:
        """Return one row per tensor at each op (output, inputs, weights): extremes, moments, percentiles, NaN, Inf.

        For each of ``formats``, the shares that it would saturate, flush to zero and make subnormal, and the SQNR to
        expect. With ``slices`` (see :meth:`range_set`) one row more for each part of the data.
        """
        found = self.range_set(n, slices, progress=progress, cancel=cancel)
        return observe.range_table(self.subject.graph, found, formats)

    def drift(self, new_data: Any, *, progress: Progress | None = None, cancel: Any = None) -> pd.DataFrame:
        """Return how far the tensors of ``new_data`` have moved from those of this session's data, the furthest first.

        new_data: what ``explorer.open`` takes as data; targets are not needed. Under a static recipe, also the share of
        elements that the scales in use cannot reach, before and now. Raises :class:`DataError` for data that do not
        fit the model.
        """
        scales = self.subject.calibration().scales if self.recipe.is_static else None
        with terminal_progress(progress) as report:
            before = self.range_set(progress=report, cancel=cancel)
            return observe.observe_drift(self.subject, new_data, before, scales, report, cancel)

    def misfit(self, recipe: Recipe) -> str:
        """Return why numbers stored with ``recipe`` will not be found again here, in a sentence; empty where they will.

        A recipe with static precisions is stored with the fingerprint of its scales; other ones may be in use here.
        """
        return explains_misfit(recipe, self.subject.calibration()) if recipe.calibration is not None else ""

    # Casts

    def boundaries(self, recipe: Recipe | None = None) -> boundaries.Boundaries:
        """Return where formats meet: coherent regions, casts made for nothing, what would remove most, layout changes.

        Times are those of calls that :meth:`latency` has measured; others are NaN.
        """
        found = boundaries.boundaries(self.subject.plan(self._asked(recipe)), self._latencies)
        return self._keep("boundaries", recipe, found)

    # Errors

    def compare(
        self,
        recipe: Recipe | None = None,
        view: View = "local",
        n: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> pd.DataFrame:
        """Return the error of each op against FP32.

        view: ``"local"``, each op alone on clean inputs; ``"isolated"``, only this op changed, seen at the model's
        output (128 samples by default); ``"cumulative"``, the whole recipe, seen at every op. For the columns see
        :func:`explorer.compare.compare`.
        """
        with terminal_progress(progress) as report:
            found = compare.compare(self.subject, self._asked(recipe), view, n, report, cancel)
        return self._keep(f"compare: {view}", recipe, found)

    def errors(
        self,
        recipe: Recipe | None = None,
        n: int | None = None,
        *,
        ops: Sequence[str] | None = None,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> pd.DataFrame:
        """Return the three errors of each op side by side (on 128 samples by default), and what becomes of its own.

        behaviour: ``"heals"`` where what follows takes the error away, ``"amplifies"`` where it makes it larger. With
        ``ops`` only these are looked at, which is quick; their behaviour is not told, for it takes all ops to judge.
        """
        with terminal_progress(progress) as report:
            found = compare.errors(self.subject, self._asked(recipe), n, report, cancel, ops)
        return found if ops is not None else self._keep("errors", recipe, found)

    def first_nonfinite(
        self,
        recipe: Recipe | None = None,
        n: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> Birth | None:
        """Return where the first NaN or Inf of a run is born, with its line of source; None where all is finite."""
        with terminal_progress(progress) as report:
            found = compare.first_nonfinite(self.subject, self._asked(recipe), n, report, cancel)
        return self._keep("first_nonfinite", recipe, found)

    def gaps(
        self,
        recipe: Recipe | None = None,
        n: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> pd.DataFrame:
        """Return how far each real kernel is from its emulated twin; 0 where exactness is possible."""
        with terminal_progress(progress) as report:
            return compare.gaps(self.subject, self._asked(recipe), n, report, cancel)

    def error_histogram(
        self,
        op: str,
        recipe: Recipe | None = None,
        n: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> Histogram:
        """Return how the error of one op on clean inputs is spread over its elements."""
        with terminal_progress(progress) as report:
            return compare.error_histogram(self.subject, self._asked(recipe), op, n, report, cancel)

    def culprits(
        self,
        recipe: Recipe | None = None,
        k: int = 8,
        n: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> Culprits:
        """Return the ``k`` samples (or tokens) whose output moves most, with the op where each leaves FP32's way."""
        with terminal_progress(progress) as report:
            found = compare.culprits(self.subject, self._asked(recipe), k, n, report, cancel)
        return self._keep("culprits", recipe, found)

    # Diagnosis

    def diagnose(
        self,
        recipe: Recipe | None = None,
        *,
        ops: Sequence[str] | None = None,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> tuple[diagnosis.Finding, ...]:
        """Return what goes wrong, the worst first: the op, a cause with its evidence, and remedies; empty if nothing.

        Costs are measured on 64 samples spread over the data; with ``ops`` only theirs, which is quick.
        """
        with terminal_progress(progress) as report:
            ranges = self.range_set(progress=report, cancel=cancel)
            extent = compare.Extent(diagnosis.SAMPLES, report, cancel)
            found = diagnosis.judge(diagnosis.gather(self.subject, self._asked(recipe), ranges, extent, ops))
        return found if ops is not None else self._keep("diagnose", recipe, found)

    def preview(
        self,
        remedy: diagnosis.Finding | diagnosis.Remedy,
        recipe: Recipe | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> diagnosis.Preview:
        """Return what a remedy (of a finding, its first) brings, measured on 64 samples; nothing changes.

        :meth:`treat` does it. Raises :class:`RecipeError` where only the model's author can.
        """
        with terminal_progress(progress) as report:
            return diagnosis.preview(self.subject, self._asked(recipe), remedy, progress=report, cancel=cancel)

    @property
    def ranges_found(self) -> observe.RangeSet | None:
        """The ranges of the most samples that were looked at so far; None before any were."""
        return max(self._ranges.values(), key=lambda found: (found.samples, len(found.slices)), default=None)

    # Private

    def _known_ranges(self, key: tuple[int, str | None] | None) -> observe.RangeSet | None:
        """The ranges that were found before: also those without slices, where there are ones with."""
        if key is None or key in self._ranges:
            return self._ranges.get(key)
        n, slices = key
        if slices is not None:
            return None
        cut = (found for known, found in self._ranges.items() if known is not None and known[0] == n)
        return next((replace(found, slices={}) for found in cut), None)

    def _first_ranges(self, key: tuple[int, str | None] | None) -> observe.RangeSet | None:
        """Those of fewer samples, the most there are, which a pass may continue."""
        if key is None:
            return None
        first = (found for known, found in self._ranges.items() if known is not None and known[1] == key[1])
        return max((found for found in first if found.samples < key[0]), key=lambda found: found.samples, default=None)

    def _keep(self, question: str, recipe: Recipe | None, found: Found) -> Found:
        key = question, self._asked(recipe).hash
        kept = [known for known in self.answers if known != key][1 - ANSWERS_KEPT :]
        self.answers = {**{known: self.answers[known] for known in kept}, key: found}
        return found

    def _asked(self, recipe: Recipe | None) -> Recipe:
        return self.recipe if recipe is None else recipe
