"""A figure as one JSON line: printed, and appended with the device's facts to a file of results. (Effect: disk.)"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explorer.measure import find_device

RESULTS = Path(__file__).parent / "results"


def tell(name: str, value: float, unit: str, bar: str, met: bool, file: str = "main_job.jsonl", **more: Any) -> None:
    """Print and append one figure: its value, the bar it is held to in words, and whether it meets it."""
    line = {"name": name, "value": round(value, 4), "unit": unit, "bar": bar, "met": bool(met), **more}
    print(json.dumps(line), flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / file).open("a") as results:
        device = find_device().facts()
        results.write(json.dumps({**line, "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "device": device}) + "\n")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, 5 % and 95 % quantiles and n."""
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {
        "low": round(float(low), 4),
        "median": round(float(middle), 4),
        "high": round(float(high), 4),
        "n": len(values),
    }
