"""Latency of a recipe: both baselines in one run, what each op takes, and predictions from it. (Effect: clock.)"""

from explorer.latency.record import FORMAT, Latency, describe_conditions
from explorer.latency.stopwatch import LONG_SECONDS, Against, Stopwatch
from explorer.latency.table import COLUMNS, LatencyTable, latency_table

__all__ = [
    "COLUMNS",
    "FORMAT",
    "LONG_SECONDS",
    "Against",
    "Latency",
    "LatencyTable",
    "Stopwatch",
    "describe_conditions",
    "latency_table",
]
