"""Rewrites that trade the size of activation channels for that of weight columns: balancing, and the outlier dial.

Between the two ops of a pair, channel j of the activation is divided by s_j and column j of the weight multiplied by
it. The function stays; what changes is which of the two tensors is hard to quantise. Balancing evens them out; the
outlier dial, its inverse, makes a few channels large, as large language models grow them by themselves.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.graph.interpret import interpret
from explorer.graph.ir import ModelGraph, Op
from explorer.graph.pairs import Pair, Part, find_pairs

SMALLEST_FACTOR, LARGEST_FACTOR = 1e-5, 1e5


@dataclass(frozen=True, eq=False)
class Rescaled:
    """A graph with its channels rescaled, the graph that it was made from, and the factors by producer's op id."""

    graph: ModelGraph
    original: ModelGraph
    factors: Mapping[str, Tensor]

    def undo(self) -> ModelGraph:
        """Return the graph from before: the very same, so exact for any factors."""
        return self.original


def rescale(graph: ModelGraph, factors: Mapping[str, Tensor]) -> Rescaled:
    """Return ``graph`` with channels divided by ``factors`` where they are made, and multiplied where they are read.

    factors: op id of a pair's producer -> [channels], positive and finite. Ops and their ids stay; constants that
    change are new tensors; the fingerprint is new, and the same for the same graph and factors.

    The FP32 function is the same within FP32 rounding: each changed weight is rounded once for each pair it is in. With
    powers of two it is the same bit for bit, as long as nothing leaves FP32's normal range, and rescaling by the
    reciprocals restores every bit.
    Raises ``PrecisionError`` for an op that is no producer and for factors that do not fit.
    """
    pairs = {pair.producer: pair for pair in find_pairs(graph).pairs}
    if unknown := [producer for producer in factors if producer not in pairs]:
        found = f"{unknown[0]!r} is no op whose channels can be rescaled"
        raise PrecisionError(f"rescale {graph.name!r}", found, " or ".join(pairs) or "another model")
    digest = hashlib.sha256(graph.fingerprint.encode())
    constants = dict(graph.constants)
    for producer in [producer for producer in pairs if producer in factors]:
        pair, factor = pairs[producer], factors[producer].detach()
        _check_factor(pair, factor)
        for part in (*pair.divided, *pair.multiplied):
            change = torch.div if part in pair.divided else torch.mul
            constants[part.constant] = change(constants[part.constant], _spread(factor, constants[part.constant], part))
        digest.update(f"|{producer}|".encode() + factor.float().cpu().contiguous().numpy().tobytes())
    changed = replace(graph, constants=constants, fingerprint=digest.hexdigest()[:16])
    return Rescaled(changed, graph, dict(factors))


def balance(
    graph: ModelGraph, batches: Iterable[tuple[Any, ...]], alpha: float = 0.5, powers_of_two: bool = False
) -> Rescaled:
    """Return ``graph`` with every pair balanced by ``smooth_factors``, from activations gathered over ``batches``.

    batches: inputs in the order of ``graph.inputs``; the graph runs in FP32 on each. Raises ``PrecisionError`` where
    the graph has no pair, saying why, for no batches, and for an alpha outside 0 to 1.
    """
    pairs = _require_pairs(graph)
    absmax = find_channel_absmax(graph, batches, pairs)
    found = {p.producer: smooth_factors(graph, p, absmax[p.producer], alpha, powers_of_two) for p in pairs}
    return rescale(graph, found)


def make_outliers(graph: ModelGraph, strength: float, channels: int = 4, seed: int = 0) -> Rescaled:
    """Return ``graph`` with some channels of every pair ``strength`` times as large, and the function unchanged.

    Pairs of one width get the same channels, drawn with ``seed``, as in language models, where a few channels of the
    residual stream are large in every layer (Dettmers et al., "LLM.int8()", 2022). A strength that is a power of two
    leaves every bit of the FP32 output; 1 changes nothing. Raises ``PrecisionError`` where the graph has no pair, and
    for a strength that is not finite and positive or a number of channels that a pair does not have.
    """
    asked = f"make outliers in {graph.name!r}"
    pairs = _require_pairs(graph)
    if not (strength > 0 and math.isfinite(strength)):
        raise PrecisionError(asked, f"strength={strength}", "a positive number, such as 64")
    width = min(pair.channels for pair in pairs)
    if not 0 < channels <= width:
        raise PrecisionError(asked, f"channels={channels}, and the narrowest pair has {width}", f"1 to {width}")
    return rescale(graph, {pair.producer: _outlier_factor(pair, strength, channels, seed) for pair in pairs})


def find_channel_absmax(
    graph: ModelGraph, batches: Iterable[tuple[Any, ...]], pairs: Iterable[Pair]
) -> dict[str, Tensor]:
    """Return the largest magnitude of each channel that a pair's linears read: producer's op id -> [channels].

    Streaming: the graph runs in FP32 on one batch after another, and nothing but the maxima is kept. NaN stays NaN.
    Raises ``PrecisionError`` where there are no batches.
    """
    owners: dict[str, list[str]] = {}
    for pair in pairs:
        for value in pair.inputs:
            owners.setdefault(value, []).append(pair.producer)
    largest: dict[str, Tensor] = {}

    def note(op: Op, output: Any) -> None:
        for producer in owners.get(op.name, ()):
            found = output.abs().reshape(-1, output.shape[-1]).amax(0)
            largest[producer] = torch.maximum(largest[producer], found) if producer in largest else found

    for batch in batches:
        interpret(graph, batch, note)
    if owners and not largest:
        raise PrecisionError(f"gather activations of {graph.name!r}", "there are no batches", "at least one batch")
    return largest


def smooth_factors(
    graph: ModelGraph, pair: Pair, absmax: Tensor, alpha: float = 0.5, powers_of_two: bool = False
) -> Tensor:
    """Return s = absmax**alpha / weight**(1 - alpha) for each channel of ``pair``: [channels].

    absmax: [channels], of the activations. weight: the largest magnitude of each column over all linears that read it.
    alpha 1 gives every activation channel the same largest value, 0 every weight column. Kept within 1e-5 to 1e5; 1
    where either side is zero, NaN or Inf. ``powers_of_two``: each to the nearest power of two (on a log scale).
    Source: Xiao et al., "SmoothQuant" (2023), equation 4. Raises ``PrecisionError`` for an alpha outside 0 to 1.
    """
    if not 0.0 <= alpha <= 1.0:
        raise PrecisionError(f"balance {graph.name!r}", f"alpha={alpha}", "0 (evens out weights) to 1 (activations)")
    columns = [_column_absmax(graph.constants[part.constant], part) for part in pair.multiplied]
    weight = torch.stack(columns).amax(0)
    factor = absmax.double() ** alpha / weight.double() ** (1.0 - alpha)
    usable = (absmax > 0) & absmax.isfinite() & (weight > 0) & weight.isfinite()
    factor = torch.where(usable, factor, 1.0).clamp(SMALLEST_FACTOR, LARGEST_FACTOR)
    return (_nearest_power(factor) if powers_of_two else factor).float()


def _require_pairs(graph: ModelGraph) -> tuple[Pair, ...]:
    pairing = find_pairs(graph)
    if not pairing.pairs:
        reasons = [f"{op!r}: {reason}" for op, reason in pairing.refused.items()] or ["it has no linear"]
        raise PrecisionError(
            f"rescale channels of {graph.name!r}", reasons[0], "a model with a norm or linear right before a linear"
        )
    return pairing.pairs


def _check_factor(pair: Pair, factor: Tensor) -> None:
    asked = f"rescale the channels of {pair.producer!r}"
    if tuple(factor.shape) != (pair.channels,):
        raise PrecisionError(asked, f"factors of shape {list(factor.shape)}", f"shape [{pair.channels}]")
    if not bool((factor.isfinite() & (factor > 0)).all()):
        raise PrecisionError(asked, "a factor is not positive and finite", "positive finite factors")


def _spread(factor: Tensor, constant: Tensor, part: Part) -> Tensor:
    """The factor as it broadcasts against a constant with channels along the part's dimension."""
    shape = [-1 if dim == part.dim else 1 for dim in range(constant.dim())]
    return factor.to(constant.device, constant.dtype).reshape(shape)


def _column_absmax(weight: Tensor, part: Part) -> Tensor:
    return weight.detach().abs().movedim(part.dim, -1).reshape(-1, weight.shape[part.dim]).amax(0)


def _outlier_factor(pair: Pair, strength: float, channels: int, seed: int) -> Tensor:
    chosen = torch.randperm(pair.channels, generator=torch.Generator().manual_seed(seed))[:channels]
    factor = torch.ones(pair.channels)
    factor[chosen] = 1.0 / strength
    return factor


def _nearest_power(factor: Tensor) -> Tensor:
    """The power of two nearest to each factor in the exponent; exact, as x / mantissa(x) is a power of two."""
    mantissa, _ = torch.frexp(factor)
    power = factor / mantissa
    return torch.where(mantissa < math.sqrt(0.5), power / 2, power)
