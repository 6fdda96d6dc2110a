"""The exact sweep: what single cells and pairs of them cost at the output, here, on executors or on a cluster."""

from explorer.sweep.places import executor_for
from explorer.sweep.record import Cell, ExactCost, SweepLost, SweepResult
from explorer.sweep.sweep import choose_cells, choose_ops, interactions, sweep

__all__ = [
    "Cell",
    "ExactCost",
    "SweepLost",
    "SweepResult",
    "choose_cells",
    "choose_ops",
    "executor_for",
    "interactions",
    "sweep",
]
