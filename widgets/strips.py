"""The map's range strips: each op's histogram as a few bytes on one log2 axis, its figures, and its format's band."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.ranges import Histogram
from widgets.bands import Band, JudgedTensor, judged_tensors, tensors_of
from widgets.plain import number, text, why_none

if TYPE_CHECKING:
    from widgets.state import PageState

MAX_OPS = 5000
MOST_OCTAVES = 40
FINE_OCTAVES = 24
"""Up to so many octaves have two columns each, more have one."""
MOST_TENSORS = 0.9
"""Where one axis is too short for all tensors, the largest magnitudes of so many of them are on it: one tensor near
Inf must not take the room of all others."""
TAIL = 1e-4
"""Elements of an op this rare may lie below the axis, in its first column: a tensor's smallest values say little."""
EXPONENT_BIAS = 127
FIGURES = ("min", "max", "p0.1", "p50", "p99.9", "zeros", "nan", "inf")


@dataclass(frozen=True)
class Axis:
    """Columns of magnitude, ``per_octave`` to the octave, from 2**low up; the first holds all that is below as well,
    the last all that is above."""

    low: int
    octaves: int
    per_octave: int

    @property
    def columns(self) -> int:
        return self.octaves * self.per_octave


def find_axis(histograms: Sequence[Histogram]) -> Axis:
    """The axis on which all of them are drawn: to the largest octave, or that of most where these are too far apart,
    from the smallest that holds more than a tail."""
    octaves = np.array([_octave_counts(histogram) for histogram in histograms if histogram.counts.any()])
    if not len(octaves):
        return Axis(-8, 16, 2)
    reached = octaves.cumsum(axis=1) > TAIL * octaves.sum(axis=1, keepdims=True)
    least, tops = int(reached.argmax(axis=1).min()), octaves.shape[1] - 1 - (octaves[:, ::-1] > 0).argmax(axis=1)
    last = int(tops.max())
    if last - least >= MOST_OCTAVES:
        last = max(int(np.quantile(tops, MOST_TENSORS, method="lower")), least)
    first = max(least, last - MOST_OCTAVES + 1)
    count = last - first + 1
    return Axis(first - EXPONENT_BIAS, count, 2 if count <= FINE_OCTAVES else 1)


def columns(histogram: Histogram, axis: Axis) -> NDArray[np.uint8]:
    """[axis.columns] heights from 0, empty, to 255, the fullest column: square roots of counts, so that few show."""
    counts = histogram.coarsen(axis.per_octave - 1).counts.sum(axis=0)
    first = (axis.low + EXPONENT_BIAS) * axis.per_octave
    inside = counts[first : first + axis.columns].astype(np.float64)
    inside[0] += counts[:first].sum()
    inside[-1] += counts[first + axis.columns :].sum()
    heights = np.rint(255 * np.sqrt(inside / max(inside.max(), 1)))
    return np.where(inside > 0, np.maximum(heights, 1), 0).astype(np.uint8)


def shown_tensors(state: PageState) -> dict[str, JudgedTensor]:
    """Op id -> the tensor that its strip shows: what it is judged by first."""
    found: dict[str, JudgedTensor] = {}
    if state.range_set is not None and state.shown is not None:
        for tensor in judged_tensors(state.session, state.shown.recipe, state.range_set):
            found.setdefault(tensor.op, tensor)
    return found


def strips(state: PageState) -> tuple[dict[str, Any], bytes]:
    """What stays while a model is open: the axis, each op's figures, and the columns of all ops, one after another."""
    if state.range_set is None or state.shown is None:
        return {"state": why_none(state.session, state.range_error) or "pending", "error": text(state.range_error)}, b""
    ops = list(state.shown.ops.index[:MAX_OPS])
    shown = shown_tensors(state)
    histograms = {op: state.range_set.values[tensor.value].histogram for op, tensor in shown.items()}
    axis = find_axis(list(histograms.values()))
    empty = np.zeros(axis.columns, np.uint8)
    drawn = [columns(histograms[op], axis) if op in histograms else empty for op in ops]
    return {
        "state": "ready", "low": axis.low, "octaves": axis.octaves, "columns": axis.columns,
        "samples": int(state.range_set.samples),
        "ops": [_figures(shown[op].port, histograms[op]) if op in shown else None for op in ops],
    }, np.concatenate(drawn).tobytes() if drawn else b""  # fmt: skip


def bands(state: PageState) -> dict[str, Any]:
    """What changes with the recipe: each op's [low, high, saturated, flushed, sqnr_db, words, output saturated].

    Ends are powers of two, None where the format goes on. None for an op that is not forecast yet.
    """
    if state.range_set is None or state.shown is None:
        return {"ops": [], "words": []}
    rows, words = state.band_rows.read(state.session.plan_of(state.shown.recipe), state.range_set, state.bands)
    return {"ops": rows[:MAX_OPS], "words": [text(each, 80) for each in words]}


class BandRows:
    """The rows of :func:`bands`: after a click only those are written anew whose op has another step in the plan.

    Made anew itself where ranges or static scales are others. A word keeps its number when more are found.
    """

    def __init__(self) -> None:
        self._steps: Sequence[Any] = ()
        self._bands: Mapping[JudgedTensor, Band] = {}
        self._rows: list[Any] = []
        self._open: set[int] = set()

    def read(self, plan: Any, range_set: Any, known: Mapping[JudgedTensor, Band]) -> tuple[list[Any], Sequence[str]]:
        """A row for each op of the plan with a kernel, as far as its bands are ``known``, and the words they number."""
        words = {each: at for at, each in enumerate(dict.fromkeys(band.words for band in known.values()))}
        for at in self._stale(plan.steps, known):
            tensors = list(tensors_of(plan, plan.steps[at], range_set))
            found = [known[tensor] for tensor in tensors if tensor in known]
            self._rows[at] = _band(found, words) if found else None
            (self._open.discard if len(found) == len(tensors) else self._open.add)(at)
        self._steps, self._bands = plan.steps, known
        rows = [row for row, step in zip(self._rows, plan.steps, strict=True) if step.kernel is not None]
        return rows, list(words)

    def _stale(self, steps: Sequence[Any], known: Mapping[JudgedTensor, Band]) -> Collection[int]:
        if len(steps) != len(self._steps):
            self._rows = [None] * len(steps)
            return range(len(steps))
        changed = {at for at, (now, then) in enumerate(zip(steps, self._steps, strict=True)) if now is not then}
        return changed if known is self._bands else changed | self._open


def _band(each: list[Band], words: Mapping[str, int]) -> list[Any]:
    first = each[0]
    sqnr = None if math.isnan(first.sqnr_db) else "exact" if first.sqnr_db == math.inf else number(first.sqnr_db)
    sqnr = "overflow" if first.sqnr_db == -math.inf else sqnr
    output = _short(each[1].saturated) if len(each) > 1 else None
    ends = [_short(end) for end in (first.low, first.high)]
    return [*ends, _short(first.saturated), _short(first.flushed), _short(sqnr), words[first.words], output]


def _figures(port: str, histogram: Histogram) -> list[Any]:
    """The port, then ``FIGURES``: extremes and percentiles of the finite elements, and counts as shares of all."""
    whole = max(histogram.count, 1)
    if not histogram.finite:
        values: list[Any] = [None] * 5
    else:
        values = [histogram.min, histogram.max, *(histogram.quantile(q) for q in (0.001, 0.5, 0.999))]
    return [port, *map(_short, (*values, histogram.zeros / whole, histogram.nan / whole, histogram.inf / whole))]


def _short(value: Any) -> Any:
    """Four significant digits: what a hover shows, in half the bytes."""
    found = value if isinstance(value, str) else number(value)
    return found if found is None or isinstance(found, str) else float(f"{found:.4g}")


def _octave_counts(histogram: Histogram) -> NDArray[np.int64]:
    return np.asarray(histogram.coarsen(0).counts.sum(axis=0))
