"""Ratios of medians of times that were taken in rounds, with intervals that hold when a machine drifts.

Times of neighbouring rounds are alike: a neighbour's load, a clock or a cache stays as it is for seconds. A bootstrap
that draws every time by itself takes them for independent, and its interval comes out too narrow. So whole rounds are
drawn (what slows all calls of a round cancels in the ratio), in blocks of neighbouring rounds (the circular block
bootstrap: Politis and Romano 1992, "A circular block-resampling procedure for stationary data"), and the spread is
widened by Student's t on the number of blocks, as few of them underestimate it (Hesterberg 2015, "What teachers should
know about the bootstrap", on percentile intervals that are too short). Blocks are 1.5 sqrt(n) long: of the rules tried
on series of 5 to 120 simulated rounds (independent, drifting together, drifting apart, switching) that one covered the
truth most evenly. A length read from the series' own autocorrelation (Politis and White 2004) covered less: so few
rounds do not tell it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explorer.measure.intervals import Z95, student

Floats = NDArray[np.float64]
DRAWN_VALUES = 2_000_000
FEWEST_DRAWS, MOST_DRAWS = 300, 2000


@dataclass(frozen=True)
class Ratio:
    """A ratio with its 95 % interval from ``low`` to ``high``."""

    value: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def spread(self) -> float:
        """Half the interval's width as a fraction of its middle."""
        return (self.high - self.low) / (self.high + self.low) if math.isfinite(self.high) else math.inf

    def to_list(self) -> list[float]:
        return [self.value, self.low, self.high]

    @staticmethod
    def from_list(values: Sequence[float]) -> Ratio:
        value, low, high = values
        return Ratio(float(value), float(low), float(high))


def ratio_of_medians(over: ArrayLike, under: ArrayLike, seed: int = 0, draws: int = MOST_DRAWS) -> Ratio:
    """Return median(over) / median(under) of times [n] that were taken in the same n rounds, in order.

    Fewer than two rounds say nothing: the interval is (0, infinity).
    """
    top, bottom = _floats(over), _floats(under)
    value = float(np.median(top) / np.median(bottom))
    if len(top) < 2:
        return Ratio(value, 0.0, math.inf)
    rounds = _drawn_rounds(len(top), np.random.default_rng(seed), draws)
    logs = np.log(np.median(top[rounds], axis=1) / np.median(bottom[rounds], axis=1))
    return _around(value, logs, _blocks(len(top)))


def ratio_interval(over: ArrayLike, under: ArrayLike, seed: int = 0, draws: int = MOST_DRAWS) -> tuple[float, float]:
    """Return the 95 % interval of :func:`ratio_of_medians`."""
    return ratio_of_medians(over, under, seed, draws).interval


def drift_of(times: ArrayLike, seed: int = 0) -> Ratio:
    """Return the median of the later half of ``times`` [n] over that of the earlier half: 1 on a steady machine.

    Fewer than four times say nothing: the interval is (0, infinity).
    """
    values = _floats(times)
    half = len(values) // 2
    if half < 2:
        return Ratio(1.0, 0.0, math.inf)
    earlier, later = values[:half], values[-half:]
    value = float(np.median(later) / np.median(earlier))
    random = np.random.default_rng(seed)
    first, second = (_drawn_rounds(half, random, MOST_DRAWS) for _ in range(2))
    logs = np.log(np.median(later[second], axis=1) / np.median(earlier[first], axis=1))
    return _around(value, logs, _blocks(half))


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _block_length(n: int) -> int:
    """At least four blocks: fewer say nothing about their spread."""
    return max(1, min(math.ceil(1.5 * math.sqrt(n)), n // 4))


def _blocks(n: int) -> int:
    return n // _block_length(n)


def _drawn_rounds(n: int, random: np.random.Generator, draws: int) -> NDArray[np.int64]:
    """Return indices [draws, n]: blocks of neighbouring rounds, the last one followed by the first."""
    draws = max(FEWEST_DRAWS, min(draws, DRAWN_VALUES // n))
    length = _block_length(n)
    starts = random.integers(0, n, (draws, -(-n // length), 1))
    return ((starts + np.arange(length)) % n).reshape(draws, -1)[:, :n]


def _around(value: float, logs: Floats, blocks: int) -> Ratio:
    """Widen the bootstrap's 95 % interval about ``value`` for the few blocks that it rests on.

    Medians of few rounds take few values, so that an end may fall on ``value`` itself: each side is at least a quarter
    of what the bootstrap spans.
    """
    middle = math.log(value)
    widening = student(blocks - 1) / Z95 * math.sqrt(blocks / (blocks - 1))
    low, high = np.quantile(logs, (0.025, 0.975)) - middle
    least = (high - low) / 4
    below, above = max(-low, least) * widening, max(high, least) * widening
    return Ratio(value, math.exp(middle - below), math.exp(middle + above))
