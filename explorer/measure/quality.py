"""Quality of a recipe: paired with the baseline, streaming over batches, with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.errors import DataError
from explorer.measure.intervals import mean_ratio_interval, paired_interval

Score = Callable[[Tensor, Any], Tensor]
_PAIRS = ("interval", "cost_interval")
"""Fields that JSON makes lists of."""


@dataclass(frozen=True)
class Quality:
    """How good a recipe is against FP32 on the same ``n`` of ``total`` samples.

    ``score``, ``baseline``, ``difference`` and ``interval`` (95 %, paired) are in the task's unit (a fraction, mostly).
    ``kl`` is in nats per sample or token (NaN where outputs are not logits), ``agreement`` the fraction of samples or
    tokens with the same top class, ``sqnr_db`` that of the raw outputs (infinite when equal).

    ``squared_error`` takes the place of ``kl`` where outputs are not logits (else None): of a position, summed over the
    last dimension, as the predicted map has it. ``cost_interval`` (95 %) is that of ``cost``; NaN where nobody reckoned
    it, as in trials that were stored before it was.
    """

    score: float
    baseline: float
    difference: float
    interval: tuple[float, float]
    kl: float
    agreement: float
    sqnr_db: float
    n: int
    total: int
    score_name: str
    emulated: bool
    squared_error: float | None = None
    cost_interval: tuple[float, float] = (math.nan, math.nan)

    @property
    def cost(self) -> float:
        """How far the outputs moved, in the unit of the predicted map; NaN where they are broken, or nobody knows."""
        return self.kl if self.squared_error is None else self.squared_error

    @property
    def complete(self) -> bool:
        return self.n == self.total

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {name: list(getattr(self, name)) for name in _PAIRS}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Quality:
        return Quality(**{**data, **{name: tuple(data[name]) for name in _PAIRS if name in data}})


@dataclass(frozen=True)
class Task:
    """How outputs become scores. ``score(output, target)`` gives one number per sample, higher is better; ``logits``
    says whether the last dimension of the output holds logits, ``fraction`` whether scores are shares of 1."""

    name: str
    score_name: str
    score: Score
    logits: bool = True
    fraction: bool = True


def _accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(-1) == target).double()


def _exact_match(output: Tensor, target: Tensor) -> Tensor:
    """1 where every labelled position is right; labels of -100 are not asked. output: [n, seq, vocab]."""
    right = (output.argmax(-1) == target) | (target == -100)
    return right.all(dim=-1).double()


def _negative_error(output: Tensor, target: Tensor) -> Tensor:
    """Minus the mean squared error of each sample, so that higher is better; dimensions of size 1 need not agree.

    Raises :class:`DataError` for a target of another shape: [n, 1] - [n] would be all pairs of samples.
    """
    ours, theirs = ((len(x), *(size for size in x.shape[1:] if size != 1)) for x in (output, target))
    if ours != theirs:
        found = f"outputs are {list(output.shape)} and targets {list(target.shape)}"
        raise DataError("score the outputs", found, f"targets {list(output.shape)}")
    error = output.double() - target.double().reshape(output.shape)
    return -error.square().reshape(len(output), -1).mean(1)


def _agreement(output: Tensor, target: Tensor) -> Tensor:
    """Fraction of positions whose top class is the target's: the score when there are no labels."""
    return (output.argmax(-1) == target.argmax(-1)).double().reshape(len(output), -1).mean(1)


TASKS = {
    "classification": Task("classification", "Accuracy", _accuracy),
    "causal-lm": Task("causal-lm", "Exact match", _exact_match),
    "regression": Task("regression", "Negative squared error", _negative_error, logits=False, fraction=False),
    "agreement": Task("agreement", "Agreement with FP32", _agreement),
}


def find_task(task: str | Score) -> Task:
    """Return the task called so, or one made of a callable ``(output, target) -> per-sample scores``."""
    if callable(task):
        return Task(getattr(task, "__name__", "custom"), "Score", task, fraction=False)
    if task not in TASKS:
        raise DataError(f"use task {task!r}", "there is no such task", f"one of {', '.join(TASKS)}, or a callable")
    return TASKS[task]


class QualityMeter:
    """Accumulates quality batch by batch; :meth:`read` may be called after any of them. Keeps one number per sample."""

    def __init__(self, task: Task, total: int, emulated: bool) -> None:
        self._task, self._total, self._emulated = task, total, emulated
        self._scores: list[Tensor] = []
        self._baselines: list[Tensor] = []
        self._costs: list[Tensor] = []
        self._positions: list[Tensor] = []
        self._agree = self._signal = self._noise = 0.0

    def add(self, output: Tensor, baseline: Tensor, target: Any) -> None:
        """Add a batch: outputs of the recipe and of FP32 on the same samples, [n, ...] in any float dtype."""
        output, baseline = output.float(), baseline.float()
        self._scores.append(scores_of(self._task, output, target))
        self._baselines.append(scores_of(self._task, baseline, target))
        error = output.double() - baseline.double()
        self._signal += float(baseline.double().square().sum())
        self._noise += float(error.square().sum())
        moved = divergence(output, baseline) if self._task.logits else error.square()
        self._costs.append(moved.reshape(len(output), -1).sum(1).cpu())
        self._positions.append(torch.full((len(output),), math.prod(output.shape[1:-1]), dtype=torch.float64))
        if self._task.logits:
            self._agree += float((output.argmax(-1) == baseline.argmax(-1)).sum())

    def read(self) -> Quality:
        """Return the quality of the samples added so far."""
        scores, baselines = torch.cat(self._scores), torch.cat(self._baselines)
        differences = (scores - baselines).cpu().numpy()
        costs, positions = torch.cat(self._costs), torch.cat(self._positions)
        cost, logits = float(costs.sum() / positions.sum()), self._task.logits
        return Quality(
            score=float(scores.mean()),
            baseline=float(baselines.mean()),
            difference=float(differences.mean()),
            interval=paired_interval(differences),
            kl=cost if logits else math.nan,
            agreement=self._agree / float(positions.sum()) if logits else math.nan,
            sqnr_db=sqnr_db(self._signal, self._noise),
            n=len(scores),
            total=self._total,
            score_name=self._task.score_name,
            emulated=self._emulated,
            squared_error=None if logits else cost,
            cost_interval=mean_ratio_interval(costs.numpy(), positions.numpy()),
        )


def divergence(output: Tensor, baseline: Tensor) -> Tensor:
    """Return KL(softmax(baseline) || softmax(output)) in nats of every position: [..., classes] -> FP64 [...]."""
    p, q = (torch.log_softmax(logits.double(), dim=-1) for logits in (baseline, output))
    return torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def sqnr_db(signal: float, noise: float) -> float:
    """Return 10 log10(signal / noise) of two sums of squares; infinite without noise, NaN where a sum is NaN, minus
    infinite where the noise is infinite."""
    if math.isnan(noise) or math.isnan(signal):
        return math.nan
    if math.isinf(noise):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def scores_of(task: Task, output: Tensor, target: Any) -> Tensor:
    """Return the task's score of every sample, [n] FP64 on the CPU; raise :class:`DataError` for another shape."""
    scores = task.score(output, target)
    if scores.shape != (len(output),):
        raise DataError(
            "score the outputs",
            f"the task gave shape {list(scores.shape)} for {len(output)} samples",
            "a callable (output, target) that returns one number per sample",
        )
    return scores.double().cpu()
