"""How a tensor's values are spread, and what follows: what formats do to them, and which static scales they ask for."""

from explorer.ranges.calibrators import Calibrator, calibrate, find_calibrator, scale_from_histogram
from explorer.ranges.forecast import Forecast, forecast
from explorer.ranges.histogram import Histogram
from explorer.ranges.tally import Counter

__all__ = [
    "Calibrator",
    "Counter",
    "Forecast",
    "Histogram",
    "calibrate",
    "find_calibrator",
    "forecast",
    "scale_from_histogram",
]
