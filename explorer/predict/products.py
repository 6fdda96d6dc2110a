"""How far an error moves the output: inner products with gradients, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.compare.items import MASK, Batch, samples_first
from explorer.graph import Op

Contract = Callable[[Sequence[Tensor], Tensor, Tensor], Tensor]
"""Gradient of each probe, a result and FP32's, each [n, elements] -> products [n, probes]."""


def signed(gradients: Sequence[Tensor], given: Tensor, wanted: Tensor) -> Tensor:
    """The inner product of gradient and error for each sample: errors that cancel at the output cancel here."""
    if wanted.is_cpu and given.dtype in (torch.float32, torch.bfloat16):
        from explorer.predict.loops import contract  # Numba loads when products are made, not with the package

        return contract(given, wanted, gradients)
    difference = given.float() - wanted
    return torch.stack([(gradient * difference).sum(1) for gradient in gradients], 1)


def elementwise(gradients: Sequence[Tensor], given: Tensor, wanted: Tensor) -> Tensor:
    """The root of the sum of squares: as if no two elements' errors had to do with each other.

    Its cost is the "diagonal" score of other tools, for comparison.
    """
    difference = given.float() - wanted
    return torch.stack([torch.linalg.vector_norm(gradient * difference, dim=1) for gradient in gradients], 1)


@dataclass(frozen=True, eq=False)
class Pull:
    """The gradients of one tensor, ready for any number of errors of it.

    wanted: what FP32 has there, and the gradient of each probe: [n, elements], where n is 1 if the tensor does not
    depend on the sample: its gradient is then the sum over all samples.
    """

    wanted: Tensor
    gradients: Sequence[Tensor]
    op: Op
    batch: Batch

    @classmethod
    def of(cls, tensor: Tensor, gradients: Sequence[Tensor | None], op: Op, batch: Batch) -> Pull | None:
        """Of an output of ``op`` and its gradient under each probe; None where no output depends on it."""
        if all(gradient is None for gradient in gradients):
            return None
        rows = [_by_sample(torch.zeros_like(tensor) if g is None else g, op, batch) for g in gradients]
        return cls(_by_sample(tensor, op, batch), rows, op, batch)

    def products(self, given: Tensor, contract: Contract) -> Tensor:
        """Return the products [count, probes] of the error of ``given``, another result for the tensor.

        Where both hold a mask, or FP32 itself NaN or Inf, there is no error; elsewhere what became NaN or Inf makes the
        sample's product infinite. Of a tensor that all samples share, one product stands for the sum of theirs; each
        sample gets the part whose mean square is right, as the signs of two samples are independent.
        """
        given = _by_sample(given, self.op, self.batch)
        found = contract(self.gradients, given, self.wanted)
        if not bool(found.isfinite().all()):
            found = self._without_masks(given, contract)
        if len(found) == 1 and self.batch.count > 1:
            found = found.expand(self.batch.count, -1) / math.sqrt(self.batch.count)
        return found

    def _without_masks(self, given: Tensor, contract: Contract) -> Tensor:
        known = self.wanted.isfinite() & ~((self.wanted < MASK) & (given < MASK))
        wanted = self.wanted.where(known, 0.0)
        gradients = [gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) for gradient in self.gradients]
        found = contract(gradients, given.float().where(known, 0.0), wanted)
        return torch.where(found.isfinite(), found, math.inf)


def _by_sample(x: Tensor, op: Op, batch: Batch) -> Tensor:
    """[count, elements], or [1, elements] where the tensor does not depend on the sample; contiguous."""
    found = samples_first(x, op, batch.size)
    rows = x.reshape(1, -1) if found is None else found[: batch.count].reshape(batch.count, -1)
    return rows.contiguous()
