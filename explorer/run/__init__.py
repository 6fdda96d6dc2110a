"""Running recipes: plans, execution, replay, lowering, profiles and memory."""

from explorer.run.calibration import METHOD, Calibration, calibrate
from explorer.run.execute import Executor, KernelCache, KernelError
from explorer.run.lower import Lowered, lower
from explorer.run.memory import weigh
from explorer.run.plan import Cast, Plan, Planner, Step
from explorer.run.profile import profile
from explorer.run.replay import Cut, Replay, choose_cuts
from explorer.run.schedule import Call, Schedule, keys_of, make_schedule

__all__ = [
    "METHOD",
    "Calibration",
    "Call",
    "Cast",
    "Cut",
    "Executor",
    "KernelCache",
    "KernelError",
    "Lowered",
    "Plan",
    "Planner",
    "Replay",
    "Schedule",
    "Step",
    "calibrate",
    "choose_cuts",
    "keys_of",
    "lower",
    "make_schedule",
    "profile",
    "weigh",
]
