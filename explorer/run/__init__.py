"""Running recipes: plans, execution, replay, lowering, profiles and memory."""

from explorer.run.execute import Executor, KernelCache, KernelError
from explorer.run.lower import Lowered, lower
from explorer.run.memory import weigh
from explorer.run.plan import Cast, Plan, Planner, Step
from explorer.run.profile import profile
from explorer.run.replay import Cut, Replay, choose_cuts

__all__ = [
    "Cast",
    "Cut",
    "Executor",
    "KernelCache",
    "KernelError",
    "Lowered",
    "Plan",
    "Planner",
    "Replay",
    "Step",
    "choose_cuts",
    "lower",
    "profile",
    "weigh",
]
