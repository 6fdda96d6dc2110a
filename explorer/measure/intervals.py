"""The confidence intervals of a paired difference, and of a mean that cannot be negative."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054
_MOST = 700.0
"""Beyond this, exp overflows."""


def paired_interval(differences: ArrayLike) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences [n], such as right/wrong under two recipes.

    Differences of -1, 0 and 1 (two right-or-wrong scores) get the adjusted Wald interval of Bonett and Price 2012,
    "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data": it does not
    collapse to a point when no sample changed. Others get Student's t. Fewer than two samples: the whole (-1, 1), or
    infinite where the differences are not of that kind; NaN where one of them is not finite.
    """
    values = np.asarray(differences, dtype=np.float64).reshape(-1)
    n = len(values)
    binary = bool(np.isin(values, (-1.0, 0.0, 1.0)).all())
    if n < 2:
        return (-1.0, 1.0) if binary else (-math.inf, math.inf)
    if binary:
        gained, lost = (float((values == sign).sum() + 1) / (n + 2) for sign in (1, -1))
        middle = gained - lost
        half = Z95 * math.sqrt((gained + lost - middle**2) / (n + 2))
        return max(-1.0, middle - half), min(1.0, middle + half)
    if not np.isfinite(values).all():
        return math.nan, math.nan
    half = student(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return float(values.mean()) - half, float(values.mean()) + half


def mean_ratio_interval(sums: ArrayLike, counts: ArrayLike) -> tuple[float, float]:
    """Return the 95 % interval of sum(sums) / sum(counts) over samples [n], of a ratio that is never below 0.

    Such as nats of KL per token, from each sample's nats and its tokens. The standard error of the ratio (Cochran 1977,
    "Sampling Techniques", 6.8) is taken on the scale of its logarithm, where so skewed a mean is nearer to normal: the
    interval stays above 0 and reaches further up than down. A ratio of 0 (or below, by rounding) gives itself twice,
    fewer than two samples (0, inf), and sums that are not finite (NaN, NaN).
    """
    total, over = np.asarray(sums, dtype=np.float64).reshape(-1), np.asarray(counts, dtype=np.float64).reshape(-1)
    n, ratio = len(total), float(total.sum() / over.sum()) if over.sum() else math.nan
    if not math.isfinite(ratio):
        return math.nan, math.nan
    if ratio <= 0:
        return ratio, ratio
    if n < 2:
        return 0.0, math.inf
    error = math.sqrt(n / (n - 1) * float(np.square(total - ratio * over).sum())) / float(over.sum())
    factor = math.exp(min(student(n - 1) * error / ratio, _MOST))
    return ratio / factor, ratio * factor


def student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t (Cornish-Fisher expansion: within 1 % from 4 degrees on)."""
    if freedom < 4:
        return (12.706, 4.303, 3.182)[freedom - 1]
    z, n = Z95, freedom
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
