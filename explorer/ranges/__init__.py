"""How a tensor's values are spread, and what follows: what formats do to them, and which static scales they ask for."""

from explorer.ranges.calibrators import Calibrator, calibrate, find_calibrator, scale_from_histogram
from explorer.ranges.delayed import DelayedScaling, ScalingStep, compare_scaling
from explorer.ranges.forecast import Forecast, forecast, forecast_each
from explorer.ranges.histogram import Histogram
from explorer.ranges.runs import Runs
from explorer.ranges.tally import Counter
from explorer.ranges.tensor_range import TensorRange

__all__ = [
    "Calibrator",
    "Counter",
    "DelayedScaling",
    "Forecast",
    "Histogram",
    "Runs",
    "ScalingStep",
    "TensorRange",
    "calibrate",
    "compare_scaling",
    "find_calibrator",
    "forecast",
    "forecast_each",
    "scale_from_histogram",
]
