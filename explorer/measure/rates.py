"""What the device could do: bytes a second at several sizes, operations a second in several formats. (Effect: disk.)

Measured by :mod:`explorer.measure.probe`, a few times per device, and kept in a file, the best of what was ever seen: a
busy machine can only make a rate too low.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
FILE = "rates.json"


@dataclass(frozen=True)
class Rates:
    """``bandwidth`` maps how many bytes a call touches to the bytes a second at which that is read or written at best;
    ``arithmetic`` a format (``"fp32"``, ``"bf16"``, ``"int8"``, ...) to the operations a second of a large product;
    ``probes`` counts how often they were measured: a machine that was busy once was hardly so each time."""

    bandwidth: Mapping[int, float] = field(default_factory=dict)
    arithmetic: Mapping[str, float] = field(default_factory=dict)
    probes: int = 1

    def bytes_per_second(self, touched: int) -> float:
        """Return the bandwidth of a call that touches so many bytes, 0 where none was measured.

        Between two measured sizes it is read off a straight line over the logarithms; beyond the last, the last holds.
        What streams from a large buffer also does from a smaller one, so no size is slower than a larger one.
        """
        sizes = sorted(self.bandwidth)
        if not sizes:
            return 0.0
        best = [max(self.bandwidth[larger] for larger in sizes[at:]) for at in range(len(sizes))]
        return float(np.exp(np.interp(math.log(max(touched, 1)), np.log(sizes), np.log(best))))

    def joined(self, other: Rates) -> Rates:
        """Return the better of both, rate by rate."""
        return Rates(
            _best(self.bandwidth, other.bandwidth),
            _best(self.arithmetic, other.arithmetic),
            self.probes + other.probes,
        )


def _best(one: Mapping[Any, float], other: Mapping[Any, float]) -> dict[Any, float]:
    return {key: max(one.get(key, 0.0), other.get(key, 0.0)) for key in one.keys() | other.keys()}


class RateStore:
    """The rates of every device in one JSON file, and in memory. A file that is damaged, of another version or cannot
    be written does no harm: its rates are measured again, by the next process at the latest."""

    _seen: dict[str, Rates] = {}  # noqa: RUF012  shared by all sessions of the process: the device is the same

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def find(self, device: str) -> Rates | None:
        """Return the rates kept under this key of a device."""
        if device not in self._seen:
            found = _parse(self._read().get(device))
            if found is not None:
                self._seen[device] = found
        return self._seen.get(device)

    def measure(self, device: str, probe: Callable[[], Rates]) -> Rates:
        """Measure and keep rates, joined with those that are there."""
        before = self.find(device)
        found = probe() if before is None else probe().joined(before)
        self._seen[device] = found
        self._write(device, found)
        return found

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_text())
            return dict(data["devices"]) if data["format"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write(self, device: str, rates: Rates) -> None:
        kept = {
            "bandwidth": sorted(rates.bandwidth.items()),
            "arithmetic": dict(sorted(rates.arithmetic.items())),
            "probes": rates.probes,
        }
        text = json.dumps({"format": FORMAT, "devices": self._read() | {device: kept}}, indent=1)
        part = self.path.with_name(f"{FILE}.{os.getpid()}.part")
        try:
            part.write_text(text)
            part.replace(self.path)
        except OSError:
            part.unlink(missing_ok=True)


def _parse(kept: Any) -> Rates | None:
    """Return the rates that a file keeps, None where they are none."""
    try:
        bandwidth = {int(size): float(rate) for size, rate in kept["bandwidth"]}
        arithmetic = {str(name): float(rate) for name, rate in kept["arithmetic"].items()}
        probes = int(kept["probes"])
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    values = (*bandwidth, *bandwidth.values(), *arithmetic.values(), probes)
    fine = bool(bandwidth) and all(value > 0 and math.isfinite(value) for value in values)
    return Rates(bandwidth, arithmetic, probes) if fine else None
