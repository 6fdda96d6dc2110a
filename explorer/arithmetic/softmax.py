"""Softmax and log-sum-exp with every intermediate rounded to a format: where Inf and NaN are born, and the cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from explorer.arithmetic.accumulate import Values, addable, as_values, rounding_of
from explorer.errors import PrecisionError
from explorer.formats import FloatSpec, Spec, round_to

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Step:
    """One intermediate: ``name`` is its formula, ``values`` what the machine holds [n]; [1] for a sum or a maximum."""

    name: str
    values: Values

    @property
    def infs(self) -> int:
        return int(np.isinf(self.values).sum())

    @property
    def nans(self) -> int:
        return int(np.isnan(self.values).sum())

    @property
    def zeros(self) -> int:
        return int((self.values == 0).sum())


@dataclass(frozen=True)
class Steps:
    """A computation in a format, step by step; ``exact`` is the result in FP64 from the inputs as they were given."""

    format: str
    stable: bool
    steps: tuple[Step, ...]
    exact: Values

    @property
    def result(self) -> Values:
        return self.steps[-1].values

    @property
    def first_inf(self) -> str | None:
        """The first step that holds an Inf, None where none does."""
        return next((step.name for step in self.steps if step.infs), None)

    @property
    def first_nan(self) -> str | None:
        """The first step that holds a NaN, None where none does."""
        return next((step.name for step in self.steps if step.nans), None)

    @property
    def largest_error(self) -> float:
        """The largest difference from the exact result; NaN or Inf where the result holds any."""
        return float(np.abs(self.result - self.exact).max())


def softmax_in(x: ArrayLike | torch.Tensor, format: str | Spec, stable: bool = True) -> Steps:
    """Softmax of ``x`` [n], n >= 1, computed in the format; ``stable`` subtracts the largest logit first.

    Every intermediate is rounded to nearest even, sums one term after the other, and nothing saturates. exp is FP64's,
    rounded once more: it can differ from the correctly rounded one where that lies within 2**-52 of a midpoint. Inf and
    NaN among the logits are allowed: -Inf is what a mask writes. Raises ``PrecisionError`` for an empty ``x``, one of
    more than one dimension, and a format that is no signed float of at most 24 bits of precision.
    """
    spec, given = addable(format), _logits(x, "softmax")
    steps, exponentials, total = _sum_of_exponentials(given, spec, stable)
    with np.errstate(all="ignore"):
        shares = Step("e / sum", _rounded(exponentials / total, spec))
        powers = np.exp(given - given.max())
        return Steps(spec.name, stable, (*steps, shares), powers / powers.sum())


def logsumexp_in(x: ArrayLike | torch.Tensor, format: str | Spec, stable: bool = True) -> Steps:
    """log(sum(exp(x))) of ``x`` [n], n >= 1, computed in the format as :func:`softmax_in` is; the result is [1]."""
    spec, given = addable(format), _logits(x, "log-sum-exp")
    steps, _, total = _sum_of_exponentials(given, spec, stable)
    with np.errstate(all="ignore"):
        steps.append(Step("log(sum)", _rounded(np.log(total), spec)))
        if stable:
            largest = steps[1].values
            steps.append(Step("max + log(sum)", _rounded(largest + steps[-1].values, spec)))
        top = given.max(keepdims=True)
        return Steps(spec.name, stable, tuple(steps), top + np.log(np.exp(given - top).sum()))


def _sum_of_exponentials(given: Values, spec: FloatSpec, stable: bool) -> tuple[list[Step], Values, Values]:
    """The steps up to the sum of the exponentials, those exponentials, and their sum as one element."""
    steps = [Step("x", _rounded(given, spec))]
    with np.errstate(all="ignore"):
        if stable:
            steps.append(Step("max", steps[0].values.max(keepdims=True)))
            steps.append(Step("x − max", _rounded(steps[0].values - steps[1].values, spec)))
        exponentials = _rounded(np.exp(steps[-1].values), spec)
    total = _total(exponentials, spec)
    steps += [Step("e = exp(x − max)" if stable else "e = exp(x)", exponentials), Step("sum of e", total)]
    return steps, exponentials, total


def _total(terms: Values, spec: FloatSpec) -> Values:
    from explorer.arithmetic import loops  # brings in Numba, which takes a second that most users never need

    total = np.empty(1)
    loops.add_in_order(terms, np.array([terms.size]), total, rounding_of(spec), loops.PLAIN)
    return total


def _rounded(values: Values, spec: FloatSpec) -> Values:
    rounded: Values = round_to(torch.from_numpy(values), spec, saturate=False).numpy()
    return rounded


def _logits(x: ArrayLike | torch.Tensor, asked: str) -> Values:
    given = as_values(x)
    if given.ndim == 1 and given.size:
        return given
    raise PrecisionError(asked, f"x has the shape {list(given.shape)}", "a vector of at least one logit")
