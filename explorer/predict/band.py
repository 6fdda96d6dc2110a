"""How far a measured cost may be from the predicted one: a band that the trials of a session calibrate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9
"""The share of measured costs that a band is meant to hold."""
NARROWEST, WIDENING, LIMIT = 0.25, 1.0, 0.1
"""Half the default band in natural logarithms is ``NARROWEST + WIDENING * sqrt(predicted / LIMIT)``: it held 9 of 10
random recipes, 4 bits among them, of each model that `benchmarks/agreement.py` judges."""
DEFAULT_WEIGHT = 4.0
"""The default counts as much as so many trials at the very cost that is asked about."""
REACH = 1.5
"""A trial at e**REACH times the cost that is asked about counts e**-0.5 as much as one right there."""
_NORMAL = NormalDist()
_DEFAULT = np.array([_NORMAL.inv_cdf((i + 0.5) / 40) for i in range(40)]) / _NORMAL.inv_cdf((1 + COVERAGE) / 2)
"""Log ratios of the default, in half-widths of its band."""
_MOST = 700.0
"""Beyond this, exp overflows."""


@dataclass(frozen=True, eq=False)
class Band:
    """The spread of log(measured / predicted), from trials and from a default where there are few.

    trials: [n, 2], log of the predicted cost and log of measured over predicted, of whole recipes.

    Each ratio is divided by the half-width that the default has at its predicted cost, so that ratios from all over
    the range can be told in one unit. The band at a cost has their weighted median in its middle and reaches as far as
    a weighted :data:`COVERAGE` of them lie from it: trials near that cost (on a log scale) weigh more, and the default
    takes part as :data:`DEFAULT_WEIGHT` normally spread trials. So one wild trial moves it little, a bias that all
    trials share moves it as a whole, and far from every trial the default remains.
    """

    trials: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]] = ()) -> Band:
        """Return the band that (predicted, measured) costs calibrate; pairs that are not positive and finite tell
        nothing of a ratio and are left out."""
        kept = [(p, m) for p, m in pairs if 0 < p < math.inf and 0 < m < math.inf]
        logs = np.log(np.array(kept, dtype=np.float64).reshape(-1, 2))
        return cls(np.stack([logs[:, 0], logs[:, 1] - logs[:, 0]], axis=1))

    @property
    def count(self) -> int:
        """How many trials calibrate the band."""
        return len(self.trials)

    def around(self, predicted: float, error: float = 0.0, apart: float = 0.0) -> tuple[float, float]:
        """Return the lowest and the highest cost to expect where ``predicted`` is the prediction.

        error: its standard error, which widens the band beyond what trials tell; NaN counts as none. apart: the sum of
        what the ops cost alone. Where it is more, the prediction counts on errors that cancel each other. Errors that
        are drawn anew in the recipe do not, and in the mean such errors cost that sum: so the upper edge is as far off
        as the band and the way from the prediction to that sum are together, as independent spreads add. A prediction
        of 0 gives (0, 0), one of NaN (NaN, NaN).
        """
        if not predicted > 0 or not math.isfinite(predicted):
            return (predicted, predicted)
        middle, half = self._spread(math.log(predicted))
        sampling = 0.0 if math.isnan(error) else _NORMAL.inv_cdf((1 + COVERAGE) / 2) * error / predicted
        half = math.hypot(half, sampling)
        cancelled = math.log(apart / predicted) if predicted < apart < math.inf else 0.0
        return predicted * math.exp(middle - half), predicted * math.exp(
            min(middle + math.hypot(half, cancelled), _MOST)
        )

    def _spread(self, place: float) -> tuple[float, float]:
        """The middle of the band at a log cost, as a log ratio, and how far it reaches from there."""
        unit = default_half_width(math.exp(place))
        if not self.count:
            return 0.0, unit
        near = np.exp(-0.5 * ((self.trials[:, 0] - place) / REACH) ** 2)
        weights = np.concatenate([near, np.full(len(_DEFAULT), DEFAULT_WEIGHT / len(_DEFAULT))])
        middle = _quantile(np.concatenate([self._in_units, _DEFAULT]), weights, 0.5)
        away = np.abs(np.concatenate([self._in_units - middle, _DEFAULT]))
        return middle * unit, _quantile(away, weights, COVERAGE) * unit

    @cached_property
    def _in_units(self) -> NDArray[np.float64]:
        """The trials' log ratios in half-widths of the default at their cost."""
        units = [default_half_width(math.exp(place)) for place in self.trials[:, 0]]
        return self.trials[:, 1] / np.array(units, dtype=np.float64)


def default_half_width(predicted: float) -> float:
    """Return how far the log of the measured cost is from that of ``predicted`` in 9 of 10 recipes.

    It widens as the cost grows, because the terms that the second order leaves out grow faster than those it keeps.
    """
    return NARROWEST + WIDENING * math.sqrt(predicted / LIMIT)


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """The value below which a share of the weight lies."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(share * weights.sum(), reached, values[order]))
