"""How far an error moves the output: inner products with gradients, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.compare.items import MASK, Batch, samples_first
from explorer.graph import Op

Contract = Callable[[Tensor, Tensor], Tensor]
"""gradients [n, probes, elements] and differences [n, elements] -> [n, probes]"""


def signed(gradients: Tensor, difference: Tensor) -> Tensor:
    """The inner product of each sample: errors of one sign add up, errors that cancel do."""
    return torch.bmm(gradients, difference.unsqueeze(-1)).squeeze(-1)


def elementwise(gradients: Tensor, difference: Tensor) -> Tensor:
    """The root of the sum of squares: as if no two elements' errors had to do with each other.

    Its cost is the "diagonal" score of other tools, for comparison.
    """
    return torch.bmm(gradients.square(), difference.square().unsqueeze(-1)).squeeze(-1).sqrt()


@dataclass(frozen=True, eq=False)
class Pull:
    """The gradients of one tensor, ready for any number of errors of it.

    tensor: what FP32 has there. gradients: [n, probes, elements], where n is 1 if the tensor does not depend on the
    sample: its gradient is then the sum over all samples.
    """

    tensor: Tensor
    gradients: Tensor
    op: Op
    batch: Batch

    @classmethod
    def of(cls, tensor: Tensor, gradients: Sequence[Tensor | None], op: Op, batch: Batch) -> Pull | None:
        """Of an output of ``op`` and its gradient under each probe; None where no output depends on it."""
        if all(gradient is None for gradient in gradients):
            return None
        rows = [_by_sample(torch.zeros_like(tensor) if g is None else g, op, batch) for g in gradients]
        return cls(_by_sample(tensor, op, batch), torch.stack(rows, 1), op, batch)

    def products(self, given: Tensor, contract: Contract) -> Tensor:
        """Return the products [count, probes] of the error of ``given``, another result for the tensor.

        Where both hold a mask, or FP32 itself NaN or Inf, there is no error; elsewhere what became NaN or Inf makes the
        sample's product so. Of a tensor that all samples share, one product stands for the sum of theirs; each sample
        gets the part whose mean square is right, as the signs of two samples are independent.
        """
        given = _by_sample(given, self.op, self.batch)
        found = contract(self.gradients, given.float() - self.tensor)
        if not bool(found.isfinite().all()):
            found = contract(self.gradients.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), self._difference(given))
            found = torch.where(found.isfinite(), found, math.inf)
        if len(found) == 1 and self.batch.count > 1:
            found = found.expand(self.batch.count, -1) / math.sqrt(self.batch.count)
        return found

    def _difference(self, given: Tensor) -> Tensor:
        known = self.tensor.isfinite() & ~((self.tensor < MASK) & (given < MASK))
        return torch.where(known, given.float() - self.tensor, 0.0)


def _by_sample(x: Tensor, op: Op, batch: Batch) -> Tensor:
    """[count, elements], or [1, elements] where the tensor does not depend on the sample."""
    found = samples_first(x, op, batch.size)
    return x.reshape(1, -1) if found is None else found[: batch.count].reshape(batch.count, -1)
