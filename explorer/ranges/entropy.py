"""Where to clip so that the quantised distribution loses least information: the entropy calibration of TensorRT.

Source: Migacz, "8-bit Inference with TensorRT", GPU Technology Conference 2017, slides 20 to 37.
"""

from __future__ import annotations

import numpy as np

from explorer.formats import Scheme
from explorer.ranges.bins import Floats
from explorer.ranges.grids import make_grid
from explorer.ranges.spectrum import Spectrum
from explorer.ranges.thresholds import Ends

BINS, FEWEST, STRIDE = 2048, 128, 8
"""Equal bins of the magnitudes; the thresholds weighed are bins 128, 136, ... 2048, from a sixteenth of the absmax on."""


def least_divergence_range(spectrum: Spectrum, scheme: Scheme) -> Ends:
    """The range, between -t and t, for whose t the Kullback-Leibler divergence of codes from data is smallest.

    For each t among ``BINS`` equal bins of the magnitudes: P is the histogram up to t with all that lies beyond added to
    its last bin; Q is the histogram up to t with the bins that round to one code replaced by their mean, empty bins
    staying empty; t minimises the sum of P log(P / Q). Each channel by itself. As in the source, but that the bins of a
    code are those that the scheme rounds to it (so FP8 works too), and that zeros are left out: they are exact whatever
    t, and would otherwise, after a ReLU, outweigh all else. Asymmetric: the range is cut at -t and at t.
    """
    most = np.maximum(spectrum.high, -spectrum.low)
    histograms = _equal_bins(spectrum)
    chosen = [_find_threshold(*row, scheme) for row in zip(histograms, spectrum.low, spectrum.high, strict=True)]
    threshold = np.minimum(np.array(chosen) * most / BINS, most)
    if scheme.symmetric:
        return -threshold, threshold
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


def _find_threshold(histogram: Floats, low: float, high: float, scheme: Scheme) -> float:
    """The best threshold of one row, in bins."""
    most = max(high, -low)
    sizes = range(FEWEST, BINS + 1, STRIDE)
    steps = [_codes_per_threshold(size / BINS, low / most, high / most, scheme) if most else 1.0 for size in sizes]
    divergence = [_divergence(histogram, size, codes, scheme) for size, codes in zip(sizes, steps, strict=True)]
    best = int(np.argmin(divergence))
    return sizes[best] + 0.5 if np.isfinite(divergence[best]) else float(BINS)


def _codes_per_threshold(threshold: float, low: float, high: float, scheme: Scheme) -> float:
    """How many scales fit between 0 and the threshold."""
    if scheme.symmetric:
        return scheme.largest_code
    width = min(max(high, 0.0), threshold) - max(min(low, 0.0), -threshold)
    return scheme.largest_code * threshold / width


def _divergence(histogram: Floats, size: int, codes: float, scheme: Scheme) -> float:
    """Kullback-Leibler divergence of the quantised from the clipped distribution, in nats; inf where Q lacks a bin."""
    inside = histogram[:size]
    total = histogram.sum()
    if not inside.sum():
        return float("inf")
    rounded = make_grid(scheme).round((np.arange(size) + 0.5) / size * codes)
    starts = np.flatnonzero(np.diff(rounded, prepend=-1.0))
    lengths = np.diff(np.append(starts, size))
    filled = inside > 0
    mean = np.add.reduceat(inside, starts) / np.maximum(np.add.reduceat(filled, starts, dtype=np.int64), 1)
    q = np.repeat(mean, lengths) * filled / inside.sum()
    p = inside / total
    p[-1] += 1 - inside.sum() / total
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / q), 0.0)
    return float(terms.sum())
