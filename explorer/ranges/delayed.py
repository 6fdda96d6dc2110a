"""Delayed scaling of FP8: the scale of a step comes from the largest magnitudes of earlier steps, never from its own.

That saves a pass over the tensor, and fails on a sudden outlier, which ``compare_scaling`` makes visible.
Source: Micikevicius et al., "FP8 Formats for Deep Learning" (2022), section 4; the words (amax history, margin, the
algorithms max and most_recent) are those of NVIDIA's Transformer Engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import FloatSpec, Scheme, fake_quantize, find_format, find_scale

Algorithm = Literal["max", "most_recent"]
SMALLEST, LARGEST = float(torch.finfo(torch.float32).tiny), float(torch.finfo(torch.float32).max)


@dataclass(frozen=True)
class DelayedScaling:
    """The scale of the next step, and the history that it came from; ``after`` gives the state one step on.

    format: an FP8 format. window: how many steps the amax history holds. margin: binades left free above the history's
    amax, so that what is up to 2**margin times as large does not saturate. algorithm: ``max`` takes the largest amax of
    the window, ``most_recent`` that of the last step. history: amax of the last steps, the latest last.
    scale: what the next step's tensor is divided by; 1 before the first step.

    Raises ``PrecisionError`` for other formats and algorithms, and for a window under 1.
    """

    format: str = "fp8_e4m3"
    window: int = 1024
    margin: float = 0
    algorithm: Algorithm = "max"
    history: tuple[float, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        spec = find_format(self.format)
        asked = f"delayed scaling of {spec.label}"
        if not isinstance(spec, FloatSpec) or spec.bits != 8 or not spec.has_zero:
            raise PrecisionError(asked, "it is no FP8 format", "'fp8_e4m3' or 'fp8_e5m2'")
        if self.algorithm not in get_args(Algorithm):
            raise PrecisionError(asked, f"there is no algorithm {self.algorithm!r}", " or ".join(get_args(Algorithm)))
        if self.window < 1:
            raise PrecisionError(asked, f"window={self.window}", "a window of 1 step or more, such as 1024")

    def after(self, amax: float) -> DelayedScaling:
        """The state after a step whose tensor had this largest magnitude.

        scale = amax of the history * 2**margin / largest value of the format. It stays as it was where that amax is 0
        (nothing was seen but zeros), NaN or Inf, so that one bad step cannot spoil those that follow.
        """
        history = (*self.history, abs(amax))[-self.window :]
        chosen = history[-1] if self.algorithm == "most_recent" else max(history, key=_rank)
        if not 0 < chosen < math.inf:
            return replace(self, history=history)
        scale = chosen * 2.0**self.margin / float(find_format(self.format).largest)
        return replace(self, history=history, scale=min(max(scale, SMALLEST), LARGEST))


@dataclass(frozen=True)
class ScalingStep:
    """One step under delayed scaling, beside what a scale from the step's own tensor would have given.

    amax: largest magnitude of the step's tensor. scale, current_scale: what it is divided by, from earlier steps and
    from itself. saturated, current_saturated: share of the elements beyond the largest value before clamping.
    sqnr_db, current_sqnr_db: 20 log10(||x|| / ||x - y||); inf when equal.
    """

    step: int
    amax: float
    scale: float
    current_scale: float
    saturated: float
    current_saturated: float
    sqnr_db: float
    current_sqnr_db: float


def compare_scaling(tensors: Iterable[Tensor], scaling: DelayedScaling | None = None) -> tuple[ScalingStep, ...]:
    """What happens to the tensors of successive steps under delayed scaling, step by step, beside current scaling.

    tensors: any shapes, FP32, BF16, FP16 or FP64, not empty. scaling: the state before the first step, by default a new
    one of E4M3. The first step of a new one has the scale 1, for want of a history.
    """
    state = DelayedScaling() if scaling is None else scaling
    steps = []
    for index, x in enumerate(tensors):
        if not x.numel():
            raise PrecisionError(f"scale the tensor of step {index}", "it is empty", "tensors with elements")
        x = x.detach()
        amax = float(x.abs().amax())
        current = float(find_scale(x, Scheme(state.format))[0])
        delayed_share, delayed_db = _measure(x, state.format, state.scale)
        current_share, current_db = _measure(x, state.format, current)
        steps.append(
            ScalingStep(index, amax, state.scale, current, delayed_share, current_share, delayed_db, current_db)
        )
        state = state.after(amax)
    return tuple(steps)


def _measure(x: Tensor, format: str, scale: float) -> tuple[float, float]:
    """Saturated share and SQNR in dB of x in the format under a scale."""
    spec = find_format(format)
    assert isinstance(spec, FloatSpec), "checked when the state was made"
    y = fake_quantize(x, Scheme(format, dynamic=False), torch.tensor(scale))
    saturated = (x.double() / scale).abs() > spec.overflow_threshold
    wide = x.double()
    noise, signal = float((wide - y.double()).square().sum()), float(wide.square().sum())
    return float(saturated.double().mean()), 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else math.inf


def _rank(amax: float) -> float:
    """Orders a history so that a NaN, which compares with nothing, is seen."""
    return math.inf if math.isnan(amax) else amax
