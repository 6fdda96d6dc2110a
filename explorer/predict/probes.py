"""Probes: random directions of the output whose mean outer product is the Fisher matrix of what is measured there.

With y the logits of one position, p = softmax(y), and signs z, u = sqrt(p) * z - p * (sqrt(p) . z) has the mean outer
product diag(p) - p p^T, so that 1/2 E[(u . dy)^2] is KL(softmax(y) || softmax(y + dy)) to second order in dy.

The signs of two probes of one sample are not drawn apart: the second is the first times a Walsh function, by column.
The likeliest classes of a position, and neighbouring positions, get different columns, and of K probes (a power of two)
the products of two of the first K columns add to nothing, where they would be noise. Each probe alone is as if drawn
apart, and so is their expectation.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

RANKED = 16
"""So many of the likeliest classes get columns by rank; the others by their number."""


def seed_of(data: str, batch: int) -> int:
    """Return the seed of the probes of one batch: 62 bits of the data's fingerprint and the batch's number."""
    return int(hashlib.blake2b(f"{data} {batch}".encode(), digest_size=8).hexdigest(), 16) >> 2


@dataclass(frozen=True)
class Probes:
    """``count`` probes of the outputs of one batch; a larger count begins with the same ones.

    logits: whether the last dimension holds logits, else what is measured is the squared error summed over it.
    """

    count: int
    logits: bool
    seed: int

    def draw(self, output: Tensor, real: int) -> Iterator[Tensor]:
        """Yield the probes of an FP32 output [n, ..., outputs], each of its shape; 0 beyond the first ``real`` samples.

        1/2 the mean square of a probe times a change of the output is, summed over positions, the KL in nats, or the
        squared error. Positions whose logits are not finite are left out.
        """
        signs = draw_signs(tuple(output.shape), self.seed).to(output.device)
        columns = columns_of(output) if self.logits else number(output)
        p = torch.softmax(output, -1).nan_to_num_(nan=0.0) if self.logits else None
        for probe in range(self.count):
            z = signs * walsh(probe, columns)
            u = z * math.sqrt(2) if p is None else fisher_probe(p, z)
            u[real:] = 0
            yield u


def fisher_probe(p: Tensor, z: Tensor) -> Tensor:
    """Return sqrt(p) * z - p * (sqrt(p) . z) of probabilities and signs [..., classes]."""
    root = p.sqrt().mul_(z)
    return root - p * root.sum(-1, keepdim=True)


def draw_signs(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return signs as INT8, the same on every device and for every number of threads."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, shape, generator=generator, dtype=torch.int8).mul_(2).sub_(1)


def columns_of(logits: Tensor) -> Tensor:
    """Return the column (UINT8) of every class of every position [n, ..., classes]: its rank where that is among the
    first, else its number, shifted (by exclusive or) from one position to the next."""
    columns = _count(logits.shape[-1:], logits.device).expand(logits.shape).contiguous()
    first = torch.topk(logits, min(RANKED, logits.shape[-1]), -1).indices
    columns.scatter_(-1, first, _count(first.shape[-1:], logits.device).expand(first.shape))
    return columns.bitwise_xor_(_count(logits.shape[1:-1], logits.device).unsqueeze(-1))


def number(output: Tensor) -> Tensor:
    """Return the number of every output of a sample as its column (UINT8), [n, ...]."""
    return _count(output.shape[1:], output.device).expand(output.shape)


def walsh(probe: int, columns: Tensor) -> Tensor:
    """Return the Walsh function of a probe: -1 where probe and column share an odd number of bits, else 1, as INT8."""
    bits = columns & (probe & 255)
    for half in (4, 2, 1):
        bits = bits ^ (bits >> half)
    return 1 - 2 * (bits & 1).to(torch.int8)


def _count(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """0, 1, ... of a shape, of which the last eight bits are kept."""
    return torch.arange(math.prod(shape), device=device).to(torch.uint8).reshape(shape)
