"""Running recipes: plans, execution, replay, lowering, profiles and memory."""

from explorer.run.alone import Alone, Casts
from explorer.run.calibration import METHOD, Calibration, calibrate
from explorer.run.cost import Cost, costs_of, count_flops
from explorer.run.detour import Detour, find_detour
from explorer.run.engines import ENGINES, Engine, build_engine
from explorer.run.execute import Executor, KernelCache, KernelError, Visit
from explorer.run.faults import RunError, clear_faults
from explorer.run.lower import Lowered, lower
from explorer.run.memory import weigh
from explorer.run.plan import Cast, Plan, Step
from explorer.run.planner import Planner
from explorer.run.profile import profile, time_calls
from explorer.run.replay import Cut, Replay, choose_cuts
from explorer.run.schedule import Call, Schedule, inside_of, keys_of, make_schedule
from explorer.run.stacking import Stacking, find_stacking
from explorer.run.waves import Waves

__all__ = [
    "ENGINES",
    "METHOD",
    "Alone",
    "Calibration",
    "Call",
    "Cast",
    "Casts",
    "Cost",
    "Cut",
    "Detour",
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
    "Stacking",
    "Step",
    "Visit",
    "Waves",
    "build_engine",
    "calibrate",
    "choose_cuts",
    "clear_faults",
    "costs_of",
    "count_flops",
    "find_detour",
    "find_stacking",
    "inside_of",
    "keys_of",
    "lower",
    "make_schedule",
    "profile",
    "time_calls",
    "weigh",
]
