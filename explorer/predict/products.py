"""How far an error moves the output: inner products with gradients, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.compare.items import MASK, Batch, samples_first
from explorer.graph import Op

Contract = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], Tensor]
"""Gradient of each probe, some results and FP32's, each [n, elements] -> products [results, n, probes]."""


def signed(gradients: Sequence[Tensor], given: Sequence[Tensor], wanted: Tensor) -> Tensor:
    """The inner product of gradient and error for each sample: errors that cancel at the output cancel here."""
    if wanted.is_cpu:
        from explorer.predict.loops import contract  # Numba loads when products are made, not with the package

        return contract([x if x.dtype in _READ else x.float() for x in given], wanted, gradients)
    differences = [x.float() - wanted for x in given]
    return torch.stack([torch.stack([(g * each).sum(1) for g in gradients], 1) for each in differences])


_READ = (torch.float32, torch.bfloat16)
"""What the compiled loop reads as it is."""


def elementwise(gradients: Sequence[Tensor], given: Sequence[Tensor], wanted: Tensor) -> Tensor:
    """The root of the sum of squares: as if no two elements' errors had to do with each other.

    Its cost is the "diagonal" score of other tools, for comparison.
    """
    squares = torch.stack([gradient.square() for gradient in gradients], 2)
    found = [(x.float() - wanted).square().unsqueeze(1) @ squares for x in given]
    return torch.cat(found, 1).sqrt().movedim(1, 0)


@dataclass(frozen=True, eq=False)
class Pull:
    """The gradients of one tensor, ready for any number of errors of it.

    wanted: what FP32 has there, and the gradient of each probe: [n, elements], where n is 1 if the tensor does not
    depend on the sample: its gradient is then the sum over all samples. order: of its rows, where samples do not follow
    each other (:meth:`explorer.compare.owners.Owners.order`).
    """

    wanted: Tensor
    gradients: Sequence[Tensor]
    op: Op
    batch: Batch
    order: Tensor | None = None

    @classmethod
    def of(
        cls, tensor: Tensor, gradients: Sequence[Tensor | None], op: Op, batch: Batch, order: Tensor | None = None
    ) -> Pull | None:
        """Of an output of ``op`` and its gradient under each probe; None where no output depends on it."""
        if all(gradient is None for gradient in gradients):
            return None
        found = [torch.zeros_like(tensor) if gradient is None else gradient for gradient in gradients]
        wanted, *rows = (_by_sample(x, op, batch, order) for x in (tensor, *found))
        return cls(wanted, rows, op, batch, order)

    def products(self, given: Sequence[Tensor], contract: Contract) -> Tensor:
        """Return the products [results, count, probes] of the errors of ``given``, other results for the tensor.

        Where a result and FP32's both hold a mask, or FP32 itself NaN or Inf, there is no error; elsewhere what became
        NaN or Inf makes the sample's product infinite. Of a tensor that all samples share, one product stands for the
        sum of theirs; each sample gets the part whose mean square is right, as the signs of two samples are
        independent.
        """
        rows = [_by_sample(x, self.op, self.batch, self.order) for x in given]
        found = contract(self.gradients, rows, self.wanted)
        if not math.isfinite(float(found.sum())):
            found = torch.cat([self._without_masks(row, contract) for row in rows])
        if found.shape[1] == 1 and self.batch.count > 1:
            found = found.expand(-1, self.batch.count, -1) / math.sqrt(self.batch.count)
        return found

    def _without_masks(self, given: Tensor, contract: Contract) -> Tensor:
        known = self.wanted.isfinite() & ~((self.wanted < MASK) & (given < MASK))
        wanted = self.wanted.where(known, 0.0)
        gradients = [gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) for gradient in self.gradients]
        found = contract(gradients, [given.float().where(known, 0.0)], wanted)
        return torch.where(found.isfinite(), found, math.inf)


def _by_sample(x: Tensor, op: Op, batch: Batch, order: Tensor | None) -> Tensor:
    """[count, elements], or [1, elements] where no dimension can be split into samples; contiguous."""
    found = samples_first(x, op, batch.size, order)
    rows = x.reshape(1, -1) if found is None else found[: batch.count].reshape(batch.count, -1)
    return rows.contiguous()
