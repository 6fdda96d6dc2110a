"""A long running sum as a machine makes it that adds in one format: where it drifts, where it stops growing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate as running
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.errors import PrecisionError
from explorer.formats import FloatSpec, Spec, find_format, round_to

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Method = Literal["plain", "kahan", "neumaier", "pairwise"]
Values = NDArray[np.float64]

POINTS = 1000
"""Kept points of a trajectory, on a straight and again on a logarithmic axis: at most twice as many in all."""
IGNORED = 0.01
"""A sum has stalled when at least this part of its terms went by without changing it."""


@dataclass(frozen=True)
class RunningSum:
    """A sum with every partial result rounded to a format, thinned to at most some 2000 points.

    steps: how many terms were added at each kept point [points], the last one all of them; sums: the sum that the
    machine then holds [points]; exact_sums: the sum of as many values as they were given [points], right within 2**-52
    of the sum of their magnitudes, and the last one rounded only once.
    """

    format: str
    method: Method
    steps: NDArray[np.int64]
    sums: Values
    exact_sums: Values
    exact_of_terms: float
    """The exact sum of the terms that the format holds: what rounding the terms alone made of it."""
    last_change: int
    """Number of terms after which the sum had its final value."""
    not_finite_after: int | None
    """Number of terms after which the sum was Inf or NaN; None where it never was."""

    @property
    def terms(self) -> int:
        return int(self.steps[-1])

    @property
    def result(self) -> float:
        return float(self.sums[-1])

    @property
    def stalled_after(self) -> int | None:
        """Number of terms after which adding changed nothing more, None where the sum moved to the end or broke."""
        went_by = self.terms - self.last_change
        return self.last_change if self.not_finite_after is None and went_by > IGNORED * self.terms else None

    @property
    def exact(self) -> float:
        """The sum of the values as they were given, rounded once to FP64."""
        return float(self.exact_sums[-1])

    @property
    def drift(self) -> float:
        """(result - exact) / |exact|; the plain difference where the exact sum is zero; Inf or NaN as the sum is."""
        return (self.result - self.exact) / (abs(self.exact) or 1.0)

    @property
    def drifts(self) -> Values:
        """The drift at each kept point [points]; NaN where the exact sum is zero and the sum is too."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((self.sums - self.exact_sums) / np.abs(self.exact_sums), dtype=np.float64)


def accumulate(values: ArrayLike | torch.Tensor, format: str | Spec, method: Method = "plain") -> RunningSum:
    """The sum of ``values`` [n], n >= 1, as a machine computes it that holds terms and partial sums in the format.

    ``plain`` adds one term after the other; ``kahan`` and ``neumaier`` carry a correction along, in the same format;
    ``pairwise`` adds neighbours, then neighbouring sums, as a tree, and is watched at the kept points only. Every
    operation is rounded to nearest even once, and nothing saturates: a sum beyond the largest value becomes Inf, NaN
    where the format has only NaN (E4M3), and stays the largest where it has neither (FP6, FP4). The first call compiles
    the loop, once a machine, which takes a second or two; then 10**6 terms take a quarter of a second.

    Raises ``PrecisionError`` for values that are empty or not finite, and for a format that is not a signed float of at
    most 24 bits of precision. Sources: Kahan, CACM 8(1), 1965; Neumaier, ZAMM 54(1), 1974; Higham, "The accuracy of
    floating point summation", 1993.
    """
    spec, given = addable(format), _checked(values)
    if method not in get_args(Method):
        raise PrecisionError(f"accumulate with {method!r}", "no method has this name", ", ".join(get_args(Method)))
    terms = round_to(torch.from_numpy(given), spec, saturate=False).numpy()
    steps = _thin(given.size)
    sums = np.empty(steps.size)
    changed, broken = _run(terms, steps, sums, spec, method)
    exact_sums = _exact_sums(given, steps)
    return RunningSum(spec.name, method, steps, sums, exact_sums, _fsum(terms), changed, broken or None)


def rounding_of(spec: FloatSpec) -> tuple[float, float, float, float]:
    """What the compiled loops need of a format; see :mod:`explorer.arithmetic.loops`."""
    beyond = {"ieee": math.inf, "all_ones": math.nan, "none": spec.largest}[spec.nan]
    return 1.5 * 2.0 ** (52 - spec.mantissa_bits), spec.smallest_normal, spec.largest, beyond


def as_values(values: ArrayLike | torch.Tensor) -> Values:
    """A copy of the values in FP64, whatever holds them."""
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    return np.array(values, dtype=np.float64)


def _run(terms: Values, steps: NDArray[np.int64], sums: Values, spec: FloatSpec, method: Method) -> tuple[int, int]:
    from explorer.arithmetic import loops  # brings in Numba, which takes a second that most users never need

    if method == "pairwise":
        changed, broken = loops.add_in_pairs(terms, steps, sums, rounding_of(spec))
    else:
        number = {"plain": loops.PLAIN, "kahan": loops.KAHAN, "neumaier": loops.NEUMAIER}[method]
        changed, broken = loops.add_in_order(terms, steps, sums, rounding_of(spec), number)
    return int(changed), int(broken)


def addable(format: str | Spec) -> FloatSpec:
    """The spec of a format that FP64 arithmetic followed by rounding computes exactly; else ``PrecisionError``."""
    spec = find_format(format)
    found = "it is no float format"
    if isinstance(spec, FloatSpec):
        if 2 * (spec.mantissa_bits + 1) + 2 <= 53 and spec.mantissa_bits and spec.max_exponent < 900:
            return spec
        found = f"it has {spec.exponent_bits} exponent and {spec.mantissa_bits} mantissa bits"
    raise PrecisionError(f"arithmetic in {spec.name}", found, "a float format of 1 to 23 mantissa bits, such as 'fp16'")


def _checked(values: ArrayLike | torch.Tensor) -> Values:
    given = as_values(values).reshape(-1)
    with np.errstate(over="ignore"):
        whole = bool(np.isfinite(np.abs(given).sum()))
    if given.size and whole:
        return given
    found = "some are NaN or Inf, or too large to add in FP64" if given.size else "there are none"
    raise PrecisionError("accumulate values", found, "at least one value, all finite")


def _thin(n: int) -> NDArray[np.int64]:
    """Numbers of terms from 1 to n, evenly and logarithmically spaced."""
    if n <= 2 * POINTS:
        return np.arange(1, n + 1)
    spaced = np.concatenate([np.linspace(1, n, POINTS), np.geomspace(1, n, POINTS)])
    return np.unique(np.rint(spaced).astype(np.int64))


def _exact_sums(given: Values, steps: NDArray[np.int64]) -> Values:
    """The sum of the first ``steps`` values, from exactly added sums of the pieces between; the last one is exact."""
    listed = given.tolist()
    pieces = (math.fsum(listed[first:last]) for first, last in pairwise([0, *steps.tolist()]))
    sums = [float(total) for total in running(map(Fraction, pieces))]
    return np.array([*sums[:-1], math.fsum(listed)])


def _fsum(terms: Values) -> float:
    """The exact sum; Inf or NaN where the terms hold any."""
    return math.fsum(terms.tolist()) if np.isfinite(terms).all() else float(terms.sum())
