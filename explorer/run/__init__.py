"""Running recipes: plans, execution, replay, lowering, profiles and memory."""

from explorer.run.calibration import METHOD, Calibration, calibrate
from explorer.run.cost import Cost, costs_of, count_flops
from explorer.run.engines import ENGINES, Engine, build_engine
from explorer.run.execute import Executor, KernelCache, KernelError, Visit
from explorer.run.faults import RunError, clear_faults
from explorer.run.lower import Lowered, lower
from explorer.run.memory import weigh
from explorer.run.plan import Cast, Plan, Planner, Step
from explorer.run.profile import profile
from explorer.run.replay import Cut, Replay, choose_cuts
from explorer.run.schedule import Call, Schedule, inside_of, keys_of, make_schedule

__all__ = [
    "ENGINES",
    "METHOD",
    "Calibration",
    "Call",
    "Cast",
    "Cost",
    "Cut",
    "Engine",
    "Executor",
    "KernelCache",
    "KernelError",
    "Lowered",
    "Plan",
    "Planner",
    "Replay",
    "RunError",
    "Schedule",
    "Step",
    "Visit",
    "build_engine",
    "calibrate",
    "choose_cuts",
    "clear_faults",
    "costs_of",
    "count_flops",
    "inside_of",
    "keys_of",
    "lower",
    "make_schedule",
    "profile",
    "weigh",
]
