"""Where to clip so that the quantised distribution loses least information: the entropy calibration of TensorRT.

Source: Migacz, "8-bit Inference with TensorRT", GPU Technology Conference 2017, slides 20 to 37.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from explorer.formats import Scheme
from explorer.ranges.bins import Floats
from explorer.ranges.grids import make_grid
from explorer.ranges.spectrum import Spectrum
from explorer.ranges.thresholds import Ends

BINS, FEWEST, STRIDE = 2048, 128, 8
"""Equal bins of the magnitudes; thresholds weighed are 128, 136, ... 2048 of them: from a sixteenth of the absmax."""


def least_divergence_range(spectrum: Spectrum, scheme: Scheme) -> Ends:
    """The range, between -t and t, for whose t the Kullback-Leibler divergence of codes from data is smallest.

    For each t among ``BINS`` equal bins of the magnitudes: P is the histogram up to t, with all that lies beyond added
    to its last bin; Q is the histogram up to t with the bins that round to one code replaced by their mean, empty bins
    staying empty; t minimises the sum of P log(P / Q). Each channel by itself. As in the source, but that the bins of a
    code are those that the scheme rounds to it (so FP8 works too), and that zeros are left out: they are exact whatever
    t, and would otherwise, after a ReLU, outweigh all else. Asymmetric: the range is cut at -t and at t.
    """
    most = np.maximum(spectrum.high, -spectrum.low)
    histograms = _equal_bins(spectrum)
    if scheme.symmetric:
        chosen = _find_thresholds(histograms, scheme, lambda _: scheme.largest_code)
        threshold = np.minimum(chosen * most / BINS, most)
        return -threshold, threshold
    ends = [_relative_ends(*row) for row in zip(spectrum.low, spectrum.high, most, strict=True)]
    chosen = np.concatenate(
        [
            _find_thresholds(row[None], scheme, partial(_codes_between, *end, scheme))
            for row, end in zip(histograms, ends, strict=True)
        ]
    )
    threshold = np.minimum(chosen * most / BINS, most)
    return np.maximum(spectrum.low, -threshold), np.minimum(spectrum.high, threshold)


def _equal_bins(spectrum: Spectrum) -> Floats:
    """[R, BINS] the non-zero magnitudes in equal bins up to the row's largest, each spread evenly over its own bin."""
    counts = spectrum.counts.sum(axis=1)
    rows = []
    for row, most in zip(counts, spectrum.absmax, strict=True):
        below = np.append(0.0, np.cumsum(row))
        wanted = np.linspace(0.0, most, BINS + 1)
        rows.append(np.diff(np.interp(wanted, np.minimum(spectrum.edges, most), below)))
    return np.stack(rows)


def _relative_ends(low: float, high: float, most: float) -> tuple[float, float]:
    """The ends that an asymmetric scheme covers, which hold 0, in units of the largest magnitude."""
    return (min(low, 0.0) / most, max(high, 0.0) / most) if most > 0 else (0.0, 1.0)


def _codes_between(low: float, high: float, scheme: Scheme, threshold: float) -> float:
    """How many steps of an asymmetric scheme's range, cut at a threshold, lie between 0 and the threshold."""
    return scheme.largest_code * threshold / (min(high, threshold) - max(low, -threshold))


def _find_thresholds(histograms: Floats, scheme: Scheme, codes: Callable[[float], float]) -> Floats:
    """[R] the best thresholds, in bins; codes: how many steps there are from 0 to a threshold (1: the largest)."""
    sizes = np.arange(FEWEST, BINS + 1, STRIDE)
    divergence = [_divergence(histograms, int(size), scheme, codes(size / BINS)) for size in sizes]
    best = np.argmin(divergence, axis=0)
    found = np.min(divergence, axis=0)
    return np.where(np.isfinite(found), sizes[best] + 0.5, float(BINS))


def _divergence(histograms: Floats, size: int, scheme: Scheme, codes: float) -> Floats:
    """[R] Kullback-Leibler divergence of the quantised from the clipped data, in nats; inf where Q lacks a bin."""
    inside = histograms[:, :size]
    total = np.maximum(histograms.sum(axis=1, keepdims=True), 1.0)
    kept = inside.sum(axis=1, keepdims=True)
    rounded = make_grid(scheme).round((np.arange(size) + 0.5) / size * codes)
    starts = np.flatnonzero(np.diff(rounded, prepend=-1.0))
    filled = inside > 0
    mean = np.add.reduceat(inside, starts, axis=1) / np.maximum(
        np.add.reduceat(filled, starts, axis=1, dtype=np.int64), 1
    )
    q = np.repeat(mean, np.diff(np.append(starts, size)), axis=1) * filled / np.maximum(kept, 1e-300)
    p = inside / total
    p[:, -1:] += 1 - kept / total
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p > 0, p * np.log(p / q), 0.0).sum(axis=1))
