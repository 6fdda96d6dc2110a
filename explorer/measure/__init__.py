"""Measuring: devices, time, quality and intervals."""

from explorer.measure.device import Device, find_device
from explorer.measure.intervals import paired_interval, ratio_interval
from explorer.measure.quality import TASKS, Quality, QualityMeter, Task, find_task
from explorer.measure.timing import Comparison, compare, exclusive

__all__ = [
    "TASKS",
    "Comparison",
    "Device",
    "Quality",
    "QualityMeter",
    "Task",
    "compare",
    "exclusive",
    "find_device",
    "find_task",
    "paired_interval",
    "ratio_interval",
]
