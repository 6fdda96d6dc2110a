"""What an analysis is about: one model on its data, with the plans and kernels that run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from explorer.evaluate import Evaluator
from explorer.graph import ModelGraph
from explorer.measure import Task
from explorer.recipe import Recipe
from explorer.run import Calibration, KernelCache, Plan, Planner
from explorer.samples import Samples


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and its data, as analyses see them: nothing here changes while they run.

    baseline: the plan of FP32 everywhere. plan: recipe -> its plan, kept by whoever made the subject.
    calibration: the static scales in use, found when they are first asked for.
    """

    graph: ModelGraph
    samples: Samples
    task: Task
    kernels: KernelCache
    baseline: Plan
    planner: Planner
    evaluator: Evaluator
    plan: Callable[[Recipe], Plan]
    calibration: Callable[[], Calibration]
