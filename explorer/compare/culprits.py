"""The samples and tokens whose output a recipe moves most, and the op at which each of them leaves FP32's way."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from explorer.compare.departures import Departure, Place, find_departures
from explorer.compare.runs import Extent
from explorer.errors import DataError
from explorer.evaluate import Pair
from explorer.measure import Task, divergence, scores_of
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.samples import Samples
from explorer.subject import Subject

COLUMNS = [
    "sample",
    "token",
    "kl",
    "squared_error",
    "score_fp32",
    "score",
    "prediction_fp32",
    "prediction",
    "target",
    "diverges_at",
    "sqnr_db",
    "usual_sqnr_db",
]


@dataclass(frozen=True, eq=False)
class Culprits:
    """The samples (tokens) that moved most; ``table`` has one row for each, most moved first.

    sample, token: which; token is -1 where a sample has one output. kl: nats (NaN where outputs are no logits);
    squared_error: mean over the output's elements. score_fp32, score: the task's, of the whole sample.
    prediction_fp32, prediction: the top class, or the number that is the output. target: the label, NaN where there is
    none. diverges_at: the op where this one leaves FP32's way (:mod:`explorer.compare.departures`), sqnr_db: its own
    there, usual_sqnr_db: the median one's of its batch there.
    """

    table: pd.DataFrame
    samples: Samples

    def inputs(self, sample: int) -> tuple[Tensor, ...]:
        """Return the model's inputs of one sample, in the order of the graph's, without the dimension of the batch."""
        if not 0 <= sample < len(self.samples):
            raise DataError(f"show sample {sample}", f"there are {len(self.samples)} samples", "one of the table's")
        return tuple(x[sample] for x in self.samples.inputs)

    def _repr_html_(self) -> str:
        return str(self.table.to_html())


@dataclass(frozen=True)
class _Moved:
    """One output that moved."""

    place: Place
    kl: float
    squared_error: float
    scores: tuple[float, float]
    predictions: tuple[float, float]
    target: float

    @property
    def rank(self) -> tuple[float, int, int]:
        """Larger for what moved more, NaN most of all; of equals the first one is larger."""
        size = self.squared_error if math.isnan(self.kl) and not math.isnan(self.squared_error) else self.kl
        return math.inf if math.isnan(size) else size, -self.place.sample, -self.place.token


def culprits(
    subject: Subject,
    recipe: Recipe,
    k: int = 8,
    n: int | None = None,
    progress: Progress | None = None,
    cancel: Any = None,
) -> Culprits:
    """Return the ``k`` samples, or tokens, of the first ``n`` samples (default all) whose output ``recipe`` moves most.

    Moved is measured in nats of KL from FP32's output where outputs are logits, else in squared error. An output that
    became NaN or Inf has moved most. Where an output has more positions than one (tokens), each counts for itself.
    Empty for a recipe that is FP32 everywhere. Raises :class:`KernelError` that names the op, :class:`Cancelled`.
    """
    if k < 1:
        raise DataError(f"show {k} culprits", "that is no number of samples", "a number from 1")
    plan, extent = subject.plan(recipe), Extent(n, progress, cancel)
    if recipe.is_baseline:
        return Culprits(_table([], {}, subject.task), subject.samples)
    pairs = subject.evaluator.pairs(plan, subject.baseline, subject.kernels, n, cancel)
    done, total = 0, extent.of(len(subject.samples))
    found: list[_Moved] = []
    for pair in pairs:
        candidates = _find_moved(subject, pair, done, k)
        found = heapq.nlargest(k, [*found, *candidates], key=lambda moved: moved.rank)
        done += len(pair.output)
        extent.tell(done, total, "looking for the outputs that moved most")
    departures = find_departures(subject, plan, [moved.place for moved in found], extent)
    return Culprits(_table(found, departures, subject.task), subject.samples)


def _find_moved(subject: Subject, pair: Pair, start: int, k: int) -> list[_Moved]:
    """The ``k`` outputs of a batch that moved most; ``start`` is the number of its first sample."""
    task, has_targets = subject.task, subject.samples.targets is not None
    output, wanted = pair.output.float(), pair.wanted.float()
    squared = (output.double() - wanted.double()).square()
    if task.logits:
        kl, squared = divergence(output, wanted), squared.mean(-1)
    else:
        squared = squared.reshape(len(squared), -1).mean(1)
        kl = torch.full_like(squared, math.nan)
    scores = [scores_of(task, x, pair.target) for x in (wanted, output)]
    predictions = [_predict(task, x) for x in (wanted, output)]
    targets = _targets(pair.target, kl) if has_targets else torch.full_like(kl, math.nan)
    size = (kl if task.logits else squared).nan_to_num(nan=math.inf).flatten()
    positions = max(1, kl[0].numel())
    found = []
    for index in torch.topk(size, min(k, len(size))).indices.tolist():
        sample, position = divmod(index, positions)
        nats, error, before, after, target = (float(x.flatten()[index]) for x in (kl, squared, *predictions, targets))
        place = Place(start + sample, position if kl.dim() > 1 else -1)
        both = float(scores[0][sample]), float(scores[1][sample])
        found.append(_Moved(place, nats, error, both, (before, after), target))
    return found


def _predict(task: Task, output: Tensor) -> Tensor:
    """The top class of every position; the output of every sample where that is one number, else NaN."""
    if task.logits:
        return output.argmax(-1)
    flat = output.reshape(len(output), -1)
    return flat[:, 0] if flat.shape[1] == 1 else torch.full_like(flat[:, 0], math.nan)


def _targets(target: Tensor, like: Tensor) -> Tensor:
    """The target of every position, or of every sample; NaN where a target is more than one number."""
    if target.shape == like.shape:
        return target
    if target.numel() == len(target):
        return target.reshape(-1, *[1] * (like.dim() - 1)).expand(like.shape)
    return torch.full_like(like, math.nan)


def _table(found: Iterable[_Moved], departures: Mapping[Place, Departure], task: Task) -> pd.DataFrame:
    table = pd.DataFrame([_row(moved, departures[moved.place]) for moved in found], columns=COLUMNS)
    classes = ["prediction_fp32", "prediction"] if task.logits else []
    if task.logits and bool((table["target"] % 1 == 0).all()):
        classes.append("target")
    return table.astype(dict.fromkeys(classes, "int64"))


def _row(moved: _Moved, departure: Departure) -> tuple[object, ...]:
    where = departure.op, departure.sqnr_db, departure.usual_sqnr_db
    outcome = *moved.scores, *moved.predictions, moved.target
    return moved.place.sample, moved.place.token, moved.kl, moved.squared_error, *outcome, *where
