"""A figure as one JSON line: printed, and appended with the device's facts to a file of results. (Effect: disk.)"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from explorer.measure import find_device

RESULTS = Path(os.environ.get("BENCHMARK_RESULTS", Path(__file__).parent / "results"))
"""Where lines are appended; ``BENCHMARK_RESULTS`` names another folder, for a trial."""
RUN = os.environ.setdefault("BENCHMARK_RUN", time.strftime("%Y-%m-%dT%H:%M:%S%z"))
"""When this run began; processes that it starts belong to it."""


def tell(name: str, value: float, unit: str, bar: str, met: bool, file: str = "main_job.jsonl", **more: Any) -> None:
    """Print and append one figure: its value, the bar it is held to in words, and whether it meets it."""
    note(name, value, unit, file, bar=bar, met=bool(met), **more)


def note(name: str, value: float | None, unit: str, file: str, **more: Any) -> None:
    """Print and append one figure that no bar is set for; None where there is none, and ``absent`` says why.

    A run of a ``part`` (by default the module that runs) takes the place of the one before in the report.
    """
    more.setdefault("part", Path(sys.argv[0]).stem)
    line = {"name": name, "value": None if value is None else _short(value), "unit": unit, **more}
    held = f"  {'met' if more['met'] else 'MISSED'}: {more['bar']}" if "bar" in more else ""
    print(f"{name}: {more.get('absent', 'absent') if value is None else f'{value:.5g} {unit}'}{held}", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / file).open("a") as results:
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        results.write(json.dumps({**line, "when": now, "run": RUN, "device": _facts()}) + "\n")


def read(file: str, run: str | None = None) -> list[dict[str, Any]]:
    """Return the lines of a file of results, oldest first, of one run or of all; none where there is no file."""
    path = RESULTS / file
    lines = [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []
    return [line for line in lines if run is None or line.get("run") == run]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, 5 % and 95 % quantiles and n."""
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {
        "low": _short(low),
        "median": _short(middle),
        "high": _short(high),
        "n": len(values),
    }


def _short(value: float) -> float:
    """Eight significant digits: a cost of 1e-7 nats has as many as a time of a minute."""
    return float(f"{value:.8g}")


@cache
def _facts() -> dict[str, Any]:
    return find_device().facts()
