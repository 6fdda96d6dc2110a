"""Running plans over a subject's samples to compare what they make. (Effect: progress reports.)"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from explorer.compare.items import MASK, Batch, floats_in, without_masks
from explorer.compare.metrics import PairError, merge_all
from explorer.errors import Cancelled
from explorer.kernels import CARRIERS
from explorer.measure import divergence
from explorer.progress import Progress
from explorer.run import Executor, KernelCache, KernelError, Plan, Step, Visit
from explorer.subject import Subject

FIRST = 128
"""Samples that views look at by default where each op costs a run of its own."""


@dataclass(frozen=True)
class Extent:
    """How many samples to look at (None: all), and how the caller hears of it and stops it."""

    n: int | None = None
    progress: Progress | None = None
    cancel: Any = None

    def or_first(self) -> Extent:
        """The same, but the first :data:`FIRST` samples where no number was asked for."""
        return Extent(FIRST if self.n is None else self.n, self.progress, self.cancel)

    def of(self, samples: int) -> int:
        """How many of so many samples that is."""
        return samples if self.n is None else max(1, min(self.n, samples))

    def tell(self, done: int, total: int, text: str) -> None:
        if self.progress is not None:
            self.progress(done, total, text)


def each_batch(subject: Subject, extent: Extent, text: str) -> Iterator[tuple[dict[str, Tensor], Batch]]:
    """Yield the inputs of the first samples by name, batch by batch, reporting in samples.

    ``text`` says what is being done with them. May be cancelled before each batch.
    """
    total, done = extent.of(len(subject.samples)), 0
    for inputs, count in subject.samples.first(total):
        if extent.cancel is not None and extent.cancel.is_set():
            raise Cancelled(text)
        extent.tell(done, total, text)
        yield dict(zip(subject.graph.inputs, inputs, strict=True)), Batch(len(inputs[0]), count)
        done += count
    extent.tell(done, total, text)


def in_step(
    executors: tuple[Executor, Executor], inputs: dict[str, Tensor], cancel: Any = None
) -> Iterator[tuple[Visit, Visit]]:
    """Run two plans of one graph on the same inputs, yielding what each op made in both before the next one runs."""
    first, second = executors
    return zip(first.walk(dict(inputs), cancel), second.walk(dict(inputs), cancel), strict=True)


class Alone:
    """An op in its plan as a function of the clean FP32 inputs: the casts that its kernel asks for, then the kernel."""

    def __init__(self, plan: Plan, step: Step, kernels: KernelCache) -> None:
        self.step, self._plan, self._run = step, plan, kernels.call(step)

    @torch.no_grad()
    def __call__(self, inputs: tuple[Any, ...]) -> Any:
        """``inputs`` in the order of the site's. Raises :class:`KernelError` that names the op."""
        names = self.step.site.inputs
        try:
            return self._run(*(self._cast(name, value) for name, value in zip(names, inputs, strict=True)))
        except Exception as error:
            raise KernelError(self.step, error) from error

    def _cast(self, name: str, value: Any) -> Any:
        carrier = CARRIERS[self.step.takes.get(name, "fp32")]
        if carrier.name == "fp32":
            return value
        return carrier.convert(value, self._plan.scales[name]) if carrier.static else carrier.convert(value)


def error_of(step: Step, wanted: Any, given: Any, batch: Batch) -> PairError:
    """The error of an op's output under a plan against FP32's, over the samples of the batch that count.

    Masks are no error, nor a signal that errors are small beside: where both have one, neither is compared.
    """
    format_ = CARRIERS[step.gives].format if step.gives else "fp32"
    pairs = zip(floats_in(wanted), floats_in(given), strict=True)
    return merge_all(_error(batch.pick(x, step.op), batch.pick(y, step.op), format_) for x, y in pairs)


def _error(x: Tensor, y: Tensor, format: str) -> PairError:
    error = PairError.of(x, y, format)
    may_mask = error.nonfinite or error.signal > MASK**2
    return PairError.of(*without_masks(x, y), format) if may_mask else error


@dataclass(frozen=True)
class OutputError:
    """The error of the model's output, with the sum of KL in nats over so many positions (samples or tokens)."""

    error: PairError = field(default_factory=PairError)
    kl_sum: float = 0.0
    positions: int = 0

    @classmethod
    def of(cls, wanted: Tensor, given: Tensor, logits: bool) -> OutputError:
        """Of one batch, [n, ...] each; ``logits``: whether the last dimension holds logits."""
        error = PairError.of(wanted, given)
        if not logits:
            return cls(error)
        kl = divergence(given, wanted)
        return cls(error, float(kl.sum()), kl.numel())

    def merge(self, other: OutputError) -> OutputError:
        """Of the batches of both."""
        return OutputError(self.error.merge(other.error), self.kl_sum + other.kl_sum, self.positions + other.positions)

    @property
    def kl(self) -> float:
        """Nats per position, as :class:`explorer.Quality` has it, but never below 0, where rounding may bring it; NaN
        where outputs are no logits."""
        if not self.positions:
            return math.nan
        return 0.0 if self.kl_sum < 0 else self.kl_sum / self.positions
