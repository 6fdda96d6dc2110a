"""Running plans over a subject's samples to compare what they make. (Effect: progress reports.)"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from torch import Tensor

from explorer.compare.items import MASK, Batch, floats_in, without_masks
from explorer.compare.metrics import PairError, merge_all
from explorer.errors import Cancelled, DataError
from explorer.kernels import CARRIERS
from explorer.measure import divergence
from explorer.progress import Progress
from explorer.run import Executor, Step, Visit
from explorer.subject import Subject

FIRST = 128
"""Samples that views look at by default where each op costs a run of its own."""


@dataclass(frozen=True)
class Extent:
    """How many samples to look at (None: all), and how the caller hears of it and stops it."""

    n: int | None = None
    progress: Progress | None = None
    cancel: Any = None

    def __post_init__(self) -> None:
        if self.n is not None and (not isinstance(self.n, Integral) or self.n < 1):
            raise DataError(f"look at n={self.n!r} samples", "it is no whole number from 1 on", "n=64, or None for all")

    def or_first(self) -> Extent:
        """The same, but the first :data:`FIRST` samples where no number was asked for."""
        return Extent(FIRST if self.n is None else self.n, self.progress, self.cancel)

    def of(self, samples: int) -> int:
        """How many of so many samples that is."""
        return samples if self.n is None else max(1, min(self.n, samples))

    def tell(self, done: int, total: int, text: str) -> None:
        if self.progress is not None:
            self.progress(done, total, text)

    def step(self, done: int, total: int, text: str) -> None:
        """Tell before the next step; raises :class:`Cancelled` instead where that was asked for."""
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled(text)
        self.tell(done, total, text)


def each_batch(subject: Subject, extent: Extent, text: str) -> Iterator[tuple[dict[str, Tensor], Batch]]:
    """Yield the inputs of the first samples by name, batch by batch, reporting in samples.

    ``text`` says what is being done with them. May be cancelled before each batch.
    """
    total, done = extent.of(len(subject.samples)), 0
    for inputs, count in subject.samples.first(total):
        extent.step(done, total, text)
        yield dict(zip(subject.graph.inputs, inputs, strict=True)), Batch(len(inputs[0]), count)
        done += count
    extent.tell(done, total, text)


def in_step(
    executors: tuple[Executor, Executor], inputs: dict[str, Tensor], cancel: Any = None
) -> Iterator[tuple[Visit, Visit]]:
    """Run two plans of one graph on the same inputs, yielding what each op made in both before the next one runs."""
    first, second = executors
    return zip(first.walk(dict(inputs), cancel), second.walk(dict(inputs), cancel), strict=True)


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
class Spread:
    """Count, mean and sum of squared distances from the mean of one number per sample, in FP64."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, numbers: Tensor) -> Spread:
        """Of [n] numbers, one per sample."""
        mean = float(numbers.double().mean())
        return cls(len(numbers), mean, float((numbers.double() - mean).square().sum()))

    def merge(self, other: Spread) -> Spread:
        """Of the samples of both (Chan, Golub and LeVeque, 1983)."""
        n, apart = self.n + other.n, other.mean - self.mean
        if not self.n or not other.n:
            return self if self.n else other
        squares = self.squares + other.squares + apart * apart * (self.n * other.n / n)
        return Spread(n, self.mean + apart * (other.n / n), squares)

    @property
    def error(self) -> float:
        """The standard error of the mean; NaN for fewer than two samples."""
        return math.sqrt(self.squares / (self.n - 1) / self.n) if self.n > 1 else math.nan


@dataclass(frozen=True)
class OutputError:
    """The error of the model's output, and what it costs: of each sample the mean over its positions (tokens, or one)
    of the KL in nats, or where outputs are no logits of the squared error."""

    logits: bool
    error: PairError = field(default_factory=PairError)
    costs: Spread = field(default_factory=Spread)

    @classmethod
    def of(cls, wanted: Tensor, given: Tensor, logits: bool) -> OutputError:
        """Of one batch, [n, ...] each; ``logits``: whether the last dimension holds logits."""
        costs = Spread.of(cost_by_sample(wanted, given, logits)) if len(wanted) else Spread()
        return cls(logits, PairError.of(wanted, given), costs)

    def merge(self, other: OutputError) -> OutputError:
        """Of the batches of both."""
        return OutputError(self.logits, self.error.merge(other.error), self.costs.merge(other.costs))

    @property
    def cost(self) -> float:
        """Nats, or squared error, per position; infinite where outputs became NaN or Inf; never below 0, where rounding
        may bring it; NaN of no sample, and where FP32 itself gives NaN or Inf."""
        if not self.costs.n:
            return math.nan
        return math.inf if self.error.nonfinite else 0.0 if self.costs.mean < 0 else self.costs.mean

    @property
    def kl(self) -> float:
        """Nats per position as :class:`explorer.Quality` has them, never below 0; NaN where outputs are no logits."""
        if not self.logits or not self.costs.n:
            return math.nan
        return 0.0 if self.costs.mean < 0 else self.costs.mean


def cost_by_sample(wanted: Tensor, given: Tensor, logits: bool) -> Tensor:
    """Return what an output costs against FP32's for each sample, [n, ..., outputs] each -> FP64 [n].

    The mean over a sample's positions, all but the first and last dimension, of KL(wanted || given) in nats where the
    last dimension holds logits, else of the squared error summed over it.
    """
    if logits:
        found = divergence(given, wanted)
    else:
        found = (given.double() - wanted.double()).square()
        found = found.sum(-1) if found.dim() > 1 else found
    return found.reshape(len(wanted), -1).mean(1)
