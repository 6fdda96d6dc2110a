"""Groups of weights in units of their own codes, where one set of starting points and tolerances fits any weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.formats import Scheme, round_to

Fit = tuple[Tensor, Tensor]
"""(stretch, shift), both [groups, 1]: codes q stand for stretch * (q - shift) in a group's code units."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Values that share a scale, one group per row, measured on the scale that their minimum and maximum give.

    x: [groups, n], real-valued codes: value = step * (x - zero). step, zero: [groups, 1], of ``find_scale``; zero is 0
    where the scheme is symmetric. A group with NaN or Inf is NaN throughout, and no fit to it is ever an improvement.
    """

    x: Tensor
    step: Tensor
    zero: Tensor
    scheme: Scheme

    @staticmethod
    def measure(values: Tensor, step: Tensor, zero: Tensor | None, scheme: Scheme) -> Groups:
        """The groups ``values`` [groups, n], in the dtype of ``step`` [groups, 1]."""
        zero = torch.zeros_like(step) if zero is None else zero
        return Groups((values.to(step.dtype) * (1.0 / step)).add_(zero), step, zero, scheme)

    @property
    def start(self) -> Fit:
        """The fit that min-max is: nothing stretched, nothing shifted."""
        return torch.ones_like(self.step), torch.zeros_like(self.step)

    def snap(self, values: Tensor) -> Tensor:
        """``values`` (overwritten) rounded to the nearest codes that the scheme has."""
        if self.scheme.spec.is_float:
            return round_to(values, self.scheme.spec)
        return values.round_().clamp_(self.scheme.smallest_code, self.scheme.largest_code)

    def scale_of(self, fit: Fit) -> tuple[Tensor, Tensor | None]:
        """The scale and zero point that a fit means for the weight itself, [groups, 1]; None when symmetric."""
        stretch, shift = fit
        scale = (self.step * stretch).clamp_(min=torch.finfo(self.step.dtype).tiny)
        return scale, None if self.scheme.symmetric else self.zero / stretch + shift


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the rows of a and b: [groups, n] -> [groups, 1]."""
    return (a * b).sum(-1, keepdim=True)


def take_where(better: Tensor, new: Fit, old: Fit) -> Fit:
    """The new fit of the groups that are ``better`` [groups, 1], the old one of the others."""
    return torch.where(better, new[0], old[0]), torch.where(better, new[1], old[1])
