"""Trying a remedy: what it brings, measured without changing anything, and doing it. (Effect: runs the model.)"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

from explorer.diagnosis.findings import Finding, Remedy
from explorer.diagnosis.gather import SAMPLES, thin_out
from explorer.errors import Cancelled, RecipeError
from explorer.graph import ModelGraph, balance
from explorer.kernels import StaticScale
from explorer.measure import Quality, QualityMeter
from explorer.progress import Progress
from explorer.recipe import Recipe
from explorer.run import Calibration, Executor, KernelCache, Plan, Planner, calibrate
from explorer.subject import Subject


@dataclass(frozen=True)
class Preview:
    """What a remedy brings: the quality of the recipe before and after, on the same samples against the same FP32.

    recipe: the one after; of another fingerprint where the remedy is another form of the model.
    """

    remedy: Remedy
    recipe: Recipe
    before: Quality
    after: Quality

    @property
    def helps(self) -> bool:
        """Whether the output is nearer to FP32's."""
        return _loss(self.after) < _loss(self.before)


def _loss(quality: Quality) -> float:
    """How far the output is from FP32's, infinite where it is NaN or Inf: by KL, else by SQNR."""
    if math.isfinite(quality.kl):
        return quality.kl
    return math.inf if math.isnan(quality.sqnr_db) else -quality.sqnr_db


class Treatable(Protocol):
    """What :func:`apply` asks of a session."""

    def set(self, where: Any, precision: str, reason: str = ...) -> Any: ...
    def balance(self, alpha: float = ...) -> Self: ...
    def calibrate(self, method: str = ..., n: int = ...) -> Any: ...


S = TypeVar("S", bound="Treatable")


def apply(remedy: Remedy, session: S) -> S:
    """Do what ``remedy`` proposes and return the session to go on with: the same one with its recipe or its static
    scales changed, or for balancing another one. Raises :class:`RecipeError` for a change of the model's source."""
    if remedy.kind == "precision":
        session.set(list(remedy.ops), remedy.precision, "diagnosis")
    elif remedy.kind == "calibrate":
        session.calibrate(remedy.method, remedy.samples)
    elif remedy.kind == "balance":
        return session.balance(remedy.alpha)
    else:
        raise _no_trial(remedy)
    return session


def preview(
    subject: Subject,
    recipe: Recipe,
    remedy: Remedy | Finding,
    n: int = SAMPLES,
    progress: Progress | None = None,
    cancel: Any = None,
) -> Preview:
    """Measure ``recipe`` with and without ``remedy`` (of a finding, its first) on ``n`` samples spread over the data.

    Nothing that is given is changed. Raises :class:`RecipeError` for a change of the model's source, and
    :class:`Cancelled`.
    """
    remedy = remedy.remedies[0] if isinstance(remedy, Finding) else remedy
    if not remedy.can_be_tried:
        raise _no_trial(remedy)
    few = thin_out(subject, n)
    plan, after = subject.plan(recipe), _treat(subject, recipe, remedy)
    total = 2 * len(few.samples)
    before = _measure(few, plan, subject.kernels, _Told(progress, 0, total), cancel)
    kernels = subject.kernels if after.graph is subject.graph else KernelCache()
    told = _Told(progress, len(few.samples), total)
    return Preview(remedy, after.recipe, before, _measure(few, after, kernels, told, cancel))


def _no_trial(remedy: Remedy) -> RecipeError:
    found = "it is a change of the model's source, which no recipe can make"
    return RecipeError(f"try {remedy.words!r}", found, "change the line, and explorer.open the model again")


def _treat(subject: Subject, recipe: Recipe, remedy: Remedy) -> Plan:
    """The plan of the recipe with the remedy."""
    if remedy.kind == "precision":
        return subject.plan(recipe.with_precision(remedy.ops, remedy.precision, "diagnosis"))
    if remedy.kind == "calibrate":
        planner = _replan(subject, subject.graph, remedy.method, remedy.samples)
        return planner.plan(recipe)
    batches = (inputs for inputs, _ in subject.samples.first(len(subject.samples)))
    graph = balance(subject.graph, batches, remedy.alpha).graph
    calibration = subject.calibration() if recipe.is_static else None
    method, samples = (calibration.method, calibration.n) if calibration else ("", 0)
    return _replan(subject, graph, method, samples).plan(replace(recipe, fingerprint=graph.fingerprint))


def _replan(subject: Subject, graph: ModelGraph, method: str, samples: int) -> Planner:
    """A planner of another form of the model, or of other static scales: those that ``method`` finds."""
    known: list[Calibration] = []

    def scales() -> Mapping[str, StaticScale]:
        if not known:
            batches = subject.samples.first(samples)
            known.append(calibrate(graph, planner.static_values, batches, method))
        return known[0].scales

    planner = Planner(graph, subject.planner.device, subject.planner.shapes, scales)
    return planner


@dataclass(frozen=True)
class _Told:
    """Progress of one of two measurements."""

    progress: Progress | None
    before: int
    total: int

    def __call__(self, done: int) -> None:
        if self.progress is not None:
            self.progress(self.before + done, self.total, "trying a remedy")


def _measure(subject: Subject, plan: Plan, kernels: KernelCache, tell: Callable[[int], None], cancel: Any) -> Quality:
    """The quality of a plan on the subject's samples against the subject's FP32."""
    samples, graph = subject.samples, subject.graph
    meter = QualityMeter(subject.task, len(samples), bool(plan.emulated))
    lowered, baseline = Executor(plan, kernels), Executor(subject.baseline, subject.kernels)
    for index in range(samples.batches):
        if cancel is not None and cancel.is_set():
            raise Cancelled("try a remedy")
        count = samples.real(index)
        inputs = dict(zip(graph.inputs, samples.batch(index), strict=True))
        wanted, given = (each.run(dict(inputs), cancel=cancel)[:count] for each in (baseline, lowered))
        target = samples.target(index, count)
        meter.add(given, wanted, wanted if target is None else target)
        tell(index * samples.batch_size + count)
    return meter.read()
