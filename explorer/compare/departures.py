"""Where a sample (or token) leaves FP32's way: the op at which its own error jumps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from explorer.compare.items import floats_in, norm_by_item, samples_first, tokens_second, without_masks
from explorer.compare.owners import Owners
from explorer.compare.runs import Extent, in_step
from explorer.graph import ModelGraph, Op
from explorer.run import Executor, Plan, Visit
from explorer.subject import Subject

SHARE = 0.5
"""A sample diverges at the first op whose jump is at least this share of its largest."""
QUIET = 1e-3
"""The norm of a place counts as at least this share of its batch's mean: one that is all zeros has no error beyond."""


@dataclass(frozen=True, order=True)
class Place:
    """A sample, or one token of it; -1 is the whole sample."""

    sample: int
    token: int = -1


@dataclass(frozen=True)
class Departure:
    """The op at which a place leaves FP32's way, its SQNR there and that of the median place of its batch.

    The op is empty, and the numbers NaN, where it never does.
    """

    op: str = ""
    sqnr_db: float = math.nan
    usual_sqnr_db: float = math.nan


@dataclass
class _Way:
    """What was seen of one place at every op: jump, relative error, and the median of its batch."""

    ops: list[str] = field(default_factory=list)
    seen: list[tuple[float, float, float]] = field(default_factory=list)

    def depart(self) -> Departure:
        largest = max((jump for jump, _, _ in self.seen), default=0.0)
        if not largest > 0:
            return Departure()
        at = next(index for index, (jump, _, _) in enumerate(self.seen) if jump >= SHARE * largest)
        _, own, usual = self.seen[at]
        return Departure(self.ops[at], _decibels(own), _decibels(usual))


def find_departures(subject: Subject, plan: Plan, places: Sequence[Place], extent: Extent) -> dict[Place, Departure]:
    """Return where each place leaves FP32's way under ``plan``.

    FP32 and the plan run side by side on the batches that hold the places. At every op a place has a relative error r,
    that of its own elements of the output. The op's jump is r less the largest r among what the op reads: the error
    that is new there, made by the op, grown in it, or brought from other places (as attention does). Views hand on what
    they read, and so do ops whose results stay inside a fold. The place diverges at the first op whose jump is at least
    half of its largest. So an error that is made once and carried on is found where it is made, and one that grows in
    steps at the first large one. An output that becomes NaN or Inf is an infinite jump.
    """
    size = subject.samples.batch_size
    batches = sorted({place.sample // size for place in places})
    executors = Executor(subject.baseline, subject.kernels), Executor(plan, subject.kernels)
    found: dict[Place, Departure] = {}
    text = "looking for where they diverge"
    for done, batch in enumerate(batches):
        extent.step(done, len(batches), text)
        inside = [place for place in places if place.sample // size == batch]
        inputs = dict(zip(subject.graph.inputs, subject.samples.batch(batch), strict=True))
        watch = _Watch(subject.graph, inside, size, subject.samples.real(batch), _tokens(subject, inside))
        for wanted, given in in_step(executors, inputs, extent.cancel):
            watch.see(wanted, given)
        found |= {place: way.depart() for place, way in watch.ways.items()}
    extent.tell(len(batches), len(batches), text)
    return found


def _tokens(subject: Subject, places: Iterable[Place]) -> int:
    """How many tokens a sample has; 0 where places are whole samples, or positions that inputs do not have."""
    if all(place.token < 0 for place in places):
        return 0
    last = subject.graph.producer[subject.graph.output.name].output
    follows = last is not None and len(last.shape) == 3 and last.shape[1] == "seq"
    ids = [x for x in subject.samples.inputs if x.dim() == 2 and not x.is_floating_point()]
    return ids[0].shape[1] if follows and ids else 0


class _Watch:
    """Follows the relative errors of one batch's places from op to op."""

    def __init__(self, graph: ModelGraph, places: Sequence[Place], size: int, real: int, tokens: int) -> None:
        self._graph, self._size, self._real, self._tokens = graph, size, real, tokens
        self._owners = Owners(graph, size)
        self._errors: dict[str, Tensor] = {}  # value -> [real or 1, tokens or 1]
        self.ways: Mapping[Place, _Way] = {place: _Way() for place in places}

    def see(self, wanted: Visit, given: Visit) -> None:
        """Take in an op's output under FP32 and under the plan."""
        op = given.step.op
        self._owners.follow(op, dict(zip(wanted.step.site.inputs, wanted.inputs, strict=True)))
        reads = [self._errors[name] for name in op.refs if name in self._errors]
        before = torch.zeros(1, 1, dtype=torch.float64)
        for error in reads:
            before = torch.maximum(before, error)
        if not op.has_precision or _stays_in_fold(self._graph, op):
            self._errors[op.name] = before
            return
        error = self._errors[op.name] = self._relative(op, wanted, given)
        jump = (error - before).nan_to_num(nan=0.0, posinf=math.inf).expand(self._real, -1)
        usual = float(error.median())
        for place, way in self.ways.items():
            row = place.sample % self._size
            own, leap = (x.expand(self._real, -1)[row, place.token if x.shape[1] > 1 else 0] for x in (error, jump))
            way.ops.append(op.id)
            way.seen.append((float(leap), float(own), usual))

    def _relative(self, op: Op, wanted: Visit, given: Visit) -> Tensor:
        """Relative errors by place of what an op made: the largest of its tensors'."""
        parts = [
            self._relative_of(op, x, y) for x, y in zip(floats_in(wanted.output), floats_in(given.output), strict=True)
        ]
        found = torch.zeros(1, 1, dtype=torch.float64)
        for part in parts:
            found = torch.maximum(found, part)
        return found

    def _relative_of(self, op: Op, x: Tensor, y: Tensor) -> Tensor:
        x, y = without_masks(x, y)
        signal = self._norm(op, x).cpu()
        if not bool(signal.isfinite().all()):  # what FP32 itself has as NaN or Inf says nothing of an error
            x, y = x.where(x.isfinite(), 0.0), y.where(x.isfinite(), 0.0)
            signal = self._norm(op, x).cpu()
        noise = self._norm(op, y - x).cpu().nan_to_num(nan=math.inf, posinf=math.inf)
        return torch.where(noise > 0, noise / torch.maximum(signal, QUIET * signal.mean()), 0.0)

    def _norm(self, op: Op, x: Tensor) -> Tensor:
        """Norm by place: [real, tokens], [real, 1] where tokens cannot be told apart, [1, 1] where samples cannot."""
        order = self._owners.order(op.name)
        in_order = self._tokens and order is None
        if in_order and (found := tokens_second(x, op, self._size, self._tokens)) is not None:
            return norm_by_item(found[: self._real], 2)
        by_sample = samples_first(x, op, self._size, order)
        if by_sample is None:
            return norm_by_item(x, 0).reshape(1, 1)
        return norm_by_item(by_sample[: self._real], 1).unsqueeze(1)


def _stays_in_fold(graph: ModelGraph, op: Op) -> bool:
    """Whether only ops of the same fold read an op: a norm in pieces is looked at as a whole (its squares alone have
    twice the error of what is squared)."""
    readers = graph.users.get(op.name, ())
    return bool(op.fold and readers) and all(reader.fold == op.fold for reader in readers)


def _decibels(relative: float) -> float:
    if relative == 0:
        return math.inf
    return -math.inf if math.isinf(relative) else 20 * math.log10(1 / relative)
