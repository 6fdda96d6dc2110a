"""Measuring: devices, time, quality and intervals."""

from explorer.measure.device import Device, find_device
from explorer.measure.energy import energy_mj, peak_bytes
from explorer.measure.intervals import mean_ratio_interval, paired_interval
from explorer.measure.lock import exclusive, holding, waited_s
from explorer.measure.quality import TASKS, Quality, QualityMeter, Task, divergence, find_task, scores_of, sqnr_db
from explorer.measure.rates import Rates, RateStore
from explorer.measure.ratios import Ratio, drift_of, ratio_interval, ratio_of_medians
from explorer.measure.timing import Comparison, Effort, Rounds, compare, time_rounds

__all__ = [
    "TASKS",
    "Comparison",
    "Device",
    "Effort",
    "Quality",
    "QualityMeter",
    "RateStore",
    "Rates",
    "Ratio",
    "Rounds",
    "Task",
    "compare",
    "divergence",
    "drift_of",
    "energy_mj",
    "exclusive",
    "find_device",
    "find_task",
    "holding",
    "mean_ratio_interval",
    "paired_interval",
    "peak_bytes",
    "ratio_interval",
    "ratio_of_medians",
    "scores_of",
    "sqnr_db",
    "time_rounds",
    "waited_s",
]
