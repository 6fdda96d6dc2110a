"""What a session says about the numbers in a model: each method hands its subject to the one that computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from explorer.observe import RangeSet, Slices, observe, range_table
from explorer.progress import Progress, terminal_progress
from explorer.recipe import Recipe
from explorer.subject import Subject


class Analyses:
    """The part of a session that looks at numbers; what depends on model and data alone is computed once and kept."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._ranges: dict[tuple[int, str], RangeSet] = {}

    @property
    def recipe(self) -> Recipe:
        """The recipe that an analysis is about where none is given."""
        raise NotImplementedError

    def range_set(
        self,
        n: int | None = None,
        slices: Slices | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> RangeSet:
        """Return the ranges of every tensor in FP32 over the first ``n`` samples (default all), from one pass.

        slices: labels, one per sample or per token, or ``"phase"`` or ``"length"`` for language models: the ranges of
        each part of the data are found too. Raises :class:`DataError` for slices that the data cannot be cut into.
        """
        total = len(self.subject.samples)
        key = (min(n or total, total), slices if isinstance(slices, str) else "")
        if key in self._ranges and (slices is None or isinstance(slices, str)):
            return self._ranges[key]
        with terminal_progress(progress) as report:
            found = observe(self.subject, n, slices, report, cancel)
        if slices is None or isinstance(slices, str):
            self._ranges[key] = found
        return found

    def ranges(
        self,
        n: int | None = None,
        slices: Slices | None = None,
        formats: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> pd.DataFrame:
        """Return one row per tensor at each op (output, inputs, weights): extremes, moments, percentiles, NaN, Inf.

        For each of ``formats``, the shares that it would saturate, flush to zero and make subnormal, and the SQNR to
        expect. With ``slices`` (see :meth:`range_set`) one row more for each part of the data.
        """
        return range_table(self.subject.graph, self.range_set(n, slices, progress=progress, cancel=cancel), formats)
