"""Half-quadratic fitting: a norm with p < 1, which forgives a few large errors to make the many others small.

Source: Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (Mobius Labs, 2023). With the
scale fixed, it looks for the zero point z that minimises sum |W - Q^-1(Q(W))|**p by splitting off the large errors W_e:

    min over z, W_e:  |W_e|_p^p + beta / 2 * |W_e - (W - Q^-1(Q(W)))|^2

    W_e = sign(r) * max(0, |r| - |r|**(p - 1) / beta),  r = W - Q^-1(Q(W))     (generalised soft threshold)
    z   = mean over the group of  Q(W) - (W - W_e) / scale                     (regression without the large errors)
    beta grows by ``GROWTH`` each time; p = 0.7, beta = 10, 20 turns at most, as published. No calibration data.

Two things differ. Errors are measured in steps of the group's scale, so that beta means the same for weights of any
size: in raw units, |W| near 0.02 puts every error under the threshold, W_e is always 0 and p has no effect. And each
group keeps the best point it has seen and stops at its first turn without improvement, where the published code stops
all groups at once. Neither update is an exact minimiser (the threshold approximates that of p < 1, and W is rounded
again each turn), so it is this rule that makes the error fall from turn to turn, never rise.

A symmetric scheme has no zero point, and at 8 bits it is a whole code that small steps never move: the same turns then
fit the scale, by regression on the codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.weights.groups import Fit, Groups, dot, take_where

NORM = 0.7
BETA = 10.0
GROWTH = 1.01
TURNS = 20
SMALLEST = 1e-12


def fit_half_quadratic(groups: Groups, turns: int = TURNS) -> Fit:
    """The fit of each group after at most ``turns`` turns from min-max; its ``lp_error`` falls with every turn."""
    best = fit = groups.start
    least = torch.full_like(fit[0], torch.inf)
    running = torch.ones_like(least, dtype=torch.bool)
    beta = BETA
    for _ in range(turns + 1):
        codes = groups.snap((groups.x * (1.0 / fit[0])).add_(fit[1]))
        residual = groups.x - (codes - fit[1]).mul_(fit[0])
        error = lp_error(residual)
        running = running & (error < least)
        least, best = torch.where(running, error, least), take_where(running, fit, best)
        if not bool(running.any()):
            break
        fit = _refit(groups, codes, groups.x - _shrink(residual, beta), fit)
        beta *= GROWTH
    return best


def _refit(groups: Groups, codes: Tensor, target: Tensor, fit: Fit) -> Fit:
    """The shift, or else the stretch, that brings ``codes`` nearest to ``target`` in the squared error."""
    stretch = fit[0]
    if not groups.scheme.symmetric and not groups.scheme.zero_is_integer:
        return stretch, (codes - target / stretch).mean(-1, keepdim=True)
    codes, target = codes - groups.zero, target - groups.zero
    square = dot(codes, codes)
    found = dot(target, codes) / square.clamp(min=SMALLEST)
    stretch = torch.where((square > 0) & (found > 0), found, stretch)
    return stretch, groups.zero - groups.zero / stretch


def _shrink(residual: Tensor, beta: float) -> Tensor:
    """The part of each error that counts as large: the generalised soft threshold for the norm p."""
    size = residual.abs()
    return (size - size.clamp(min=SMALLEST).pow_(NORM - 1.0).div_(beta)).clamp_(min=0.0).copysign_(residual)


def lp_error(residual: Tensor) -> Tensor:
    """What this fit lowers, of residuals [groups, n] in steps: sum |residual|**p, [groups, 1]."""
    return residual.abs().pow_(NORM).sum(-1, keepdim=True)
