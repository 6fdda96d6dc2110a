"""Drift: how far the ranges of new data have moved from those that a calibration saw. (Effect: runs the model.)"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from explorer.errors import DataError
from explorer.graph import ModelGraph, interpret
from explorer.kernels import CARRIERS, StaticScale
from explorer.observe.observe import observe
from explorer.observe.range_set import OUTPUT, RangeSet
from explorer.progress import Progress
from explorer.ranges import Histogram, TensorRange, forecast
from explorer.ranges.bins import Floats
from explorer.samples import Samples, gather_samples
from explorer.subject import Subject

LEAST_SHARE = 0.01
"""Octaves are pooled with their neighbours until a bin holds this share of the elements, of both data sets on average:
a sparse tail would add noise and no knowledge."""
SMOOTHING = 0.5
"""Elements added to each bin of each data set, so that an empty one is unlikely and not impossible (Jeffreys)."""
SOME, MUCH = 0.1, 0.25
"""The customary readings of a population-stability index (Siddiqi, Credit Risk Scorecards, 2006)."""
NOT_FINITE = "not finite"
COLUMNS = [
    "op",
    "port",
    "value",
    "layer",
    "drift",
    "psi",
    "kl",
    "absmax_before",
    "absmax_now",
    "saturated_before",
    "saturated_now",
    "new_saturated",
    "nan_before",
    "nan_now",
    "inf_before",
    "inf_now",
]


@dataclass(frozen=True)
class Shift:
    """How far one distribution is from another, over the same bins.

    ``psi``: the population-stability index, the sum over bins of (q - p) ln(q / p), where p and q are the shares before
    and now; symmetric. ``kl``: the divergence of now from before, the sum of q ln(q / p), in nats. NaN where one of
    them has no elements.
    """

    psi: float
    kl: float


def shift_between(before: Histogram, now: Histogram) -> Shift:
    """Return how far ``now`` is from ``before``.

    Bins are octaves of magnitude, either sign apart, zeros, and what is not finite; neighbours are pooled
    (:data:`LEAST_SHARE`) and counts smoothed (:data:`SMOOTHING`). Two samples of one distribution with n and m elements
    and k bins have an index of about (k - 1)(1/n + 1/m) where elements are independent.
    """
    if not before.count or not now.count:
        return Shift(math.nan, math.nan)
    counts = _pool(np.stack([_line_up(before), _line_up(now)]))
    lost = np.array([[before.nan + before.inf], [now.nan + now.inf]], dtype=np.float64)
    if lost.any():
        counts = np.concatenate([counts, lost], axis=1)
    smoothed = counts + SMOOTHING
    p, q = smoothed / smoothed.sum(axis=1, keepdims=True)
    ratio = np.log(q / p)
    return Shift(float(((q - p) * ratio).sum()), float((q * ratio).sum()))


def _line_up(histogram: Histogram) -> Floats:
    """[511] finite elements by octave, from the most negative through zeros to the most positive."""
    counts = histogram.coarsen(0).counts
    return np.concatenate([counts[1, ::-1], [histogram.zeros], counts[0]]).astype(np.float64)


def _pool(counts: Floats) -> Floats:
    """[2, k] ``counts`` [2, bins] with neighbours added up until each bin holds its least share; at least one bin."""
    share = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).mean(axis=0)
    starts, held = [0], 0.0
    for place, each in enumerate(share):
        if held >= LEAST_SHARE:
            starts.append(place)
            held = 0.0
        held += each
    if held < LEAST_SHARE and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(counts, starts, axis=1)


def drift(
    graph: ModelGraph, before: RangeSet, now: RangeSet, scales: Mapping[str, StaticScale] | None = None
) -> pd.DataFrame:
    """Return one row per tensor that data can change: first those of new NaN and Inf in execution order, so where
    they are born; then the furthest moved first, by ``psi``.

    ``op`` and ``port``: who makes it (``"output"``), or the name of an input (``"input"``). ``psi``, ``kl``: see
    :class:`Shift`; ``drift`` reads the index: ``"none"``, ``"some"`` (from 0.1), ``"much"`` (from 0.25), or
    ``"not finite"`` where the share of NaN or Inf has grown. ``saturated_before`` and ``saturated_now``: shares of
    the elements that its static scale, of ``scales`` by value name, cannot reach; NaN where it has none.
    ``nan_...``, ``inf_...``: elements. Elements of one sample resemble each other, so that of a few samples (below a
    hundred or so) the index tells of the choice of samples too. Raises :class:`DataError` where the two are not of this
    model.
    """
    for name, ranges in (("before", before), ("now", now)):
        if ranges.fingerprint.rpartition(":")[0] != graph.fingerprint:
            found = f"the ranges {name!r} are of model {ranges.fingerprint}, this one is {graph.fingerprint}"
            raise DataError("find the drift", found, "ranges of this very model")
    rows = [_row(graph, names, old, new, scales or {}) for names, old, new in _tensors(graph, before, now)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    lost = table["drift"] == NOT_FINITE
    return pd.concat([table[lost], table[~lost].sort_values("psi", ascending=False, kind="stable")], ignore_index=True)


def _tensors(
    graph: ModelGraph, before: RangeSet, now: RangeSet
) -> Iterator[tuple[tuple[str, ...], TensorRange, TensorRange]]:
    """The tensors in both, in execution order, each with all names of values that hold its elements."""
    names: dict[tuple[int, int], list[str]] = {}
    for name in (*graph.inputs, *(op.name for op in graph.ops)):
        if name in before.values and name in now.values and name not in before.fixed:
            names.setdefault((id(before.values[name]), id(now.values[name])), []).append(name)
    for same in names.values():
        yield tuple(same), before.values[same[0]], now.values[same[0]]


def _row(
    graph: ModelGraph,
    names: tuple[str, ...],
    before: TensorRange,
    now: TensorRange,
    scales: Mapping[str, StaticScale],
) -> tuple[object, ...]:
    old, new = before.histogram, now.histogram
    shift, maker = shift_between(old, new), graph.producer.get(names[0])
    fixed = next((scales[name] for name in names if name in scales), None)
    reached = math.nan if fixed is None else saturated_share(old, fixed)
    reached_now = math.nan if fixed is None else saturated_share(new, fixed)
    return (
        names[0] if maker is None else maker.id,
        "input" if maker is None else OUTPUT,
        names[0],
        "" if maker is None else maker.layer,
        _read(shift.psi, old, new),
        shift.psi,
        shift.kl,
        old.absmax,
        new.absmax,
        reached,
        reached_now,
        reached_now - reached,
        old.nan,
        new.nan,
        old.inf,
        new.inf,
    )


def _read(psi: float, before: Histogram, now: Histogram) -> str:
    """The index in a word."""
    for old, new in ((before.nan, now.nan), (before.inf, now.inf)):
        if new * before.count > old * now.count:
            return NOT_FINITE
    return "much" if psi >= MUCH else "some" if psi >= SOME else "none"


def saturated_share(histogram: Histogram, fixed: StaticScale) -> float:
    """Return the share of the elements beyond the first and the last UINT8 code under a static scale; 0 for none."""
    scheme = CARRIERS["uint8:static"].scheme
    assert scheme is not None
    return forecast(histogram, scheme, fixed.scale, fixed.zero_point).saturated


def observe_drift(
    subject: Subject,
    new_data: Any,
    before: RangeSet | None = None,
    scales: Mapping[str, StaticScale] | None = None,
    progress: Progress | None = None,
    cancel: Any = None,
) -> pd.DataFrame:
    """Return the :func:`drift` of ``new_data`` from ``before``, by default the ranges of the subject's own data.

    ``new_data``: what ``explorer.open`` takes as data; targets are not needed. Raises :class:`DataError` where they do
    not fit the model, and :class:`Cancelled`.
    """
    new = read_new_data(subject, new_data)
    if before is None:
        before = observe(subject, progress=progress, cancel=cancel)
    now = observe(replace(subject, samples=new), progress=progress, cancel=cancel)
    return drift(subject.graph, before, now, scales)


def read_new_data(subject: Subject, data: Any) -> Samples:
    """Return ``data`` as samples of the subject's model, on its device; raise :class:`DataError` where they do not fit:
    other inputs or dtypes, and sizes with which the model does not run (tried on one sample)."""
    samples = subject.samples
    new = gather_samples(data, samples.batch(0), samples.batch_size).to(str(samples.inputs[0].device))
    try:
        interpret(subject.graph, tuple(x[:1] for x in new.inputs))
    except (RuntimeError, IndexError) as error:  # an index may lie outside a table
        found = f"the model does not run on them: {(str(error).splitlines() or [type(error).__name__])[0]}"
        raise DataError("read the new data", found, "inputs like those that the session was opened with") from error
    return new
