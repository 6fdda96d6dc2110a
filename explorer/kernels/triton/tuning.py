"""Which launch of a kernel is fastest: measured once per shape and device, and kept on disk. (Effects: clock, disk.)

Not ``triton.autotune``: what it found would not survive the process in a form that can be read, checked and carried to
the next, its choice cannot be tested without a GPU, and it would measure in the middle of a CUDA graph's capture.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explorer.kernels.triton.launch import device_key
from explorer.measure import holding

_FORMAT = 1
_ROUND_MS = 15


@dataclass(frozen=True)
class Config:
    """One way to launch a kernel: block sizes by the kernel's names for them, warps and pipeline stages."""

    blocks: tuple[tuple[str, int], ...]
    warps: int
    stages: int

    @classmethod
    def of(cls, warps: int, stages: int, **blocks: int) -> Config:
        """The configuration with these blocks."""
        return cls(tuple(sorted(blocks.items())), warps, stages)

    def __getitem__(self, name: str) -> int:
        return dict(self.blocks)[name]

    def __str__(self) -> str:
        return " ".join([*(f"{name}={size}" for name, size in self.blocks), f"warps={self.warps} stages={self.stages}"])

    @property
    def options(self) -> dict[str, int]:
        """The keyword arguments of the launch."""
        return dict(self.blocks) | {"num_warps": self.warps, "num_stages": self.stages}


@dataclass(frozen=True)
class Problem:
    """What a measurement answers for: the kernel, its sizes (M to the next power of two) and its variant in words."""

    kernel: str
    shape: tuple[int, ...]
    variant: str = ""

    @property
    def key(self) -> str:
        return f"{self.kernel} {'x'.join(map(str, self.shape))} {self.variant}".strip()


Launch = Callable[[Config], object]
Measure = Callable[[Callable[[], object]], float]


def measure_cold(run: Callable[[], object]) -> float:
    """Median milliseconds of ``run`` on the GPU, caches emptied before each call, while nothing else is timed there.

    Inf where it does not fit the GPU, or Triton cannot build it.
    """
    from triton.errors import TritonError
    from triton.testing import do_bench

    try:
        with holding("cuda"):
            return float(do_bench(run, warmup=_ROUND_MS // 3, rep=_ROUND_MS, return_mode="median"))
    except TritonError:
        return math.inf


@dataclass(eq=False)
class Tuner:
    """Remembers the fastest launch of each problem, in a JSON file per user.

    What is read back must be one of the candidates offered, else it is measured anew. Two processes that write at once
    may lose the other's line, and where the file cannot be written none is kept: that costs another measurement and
    nothing else.
    """

    path: Path
    measure: Measure = measure_cold
    _found: dict[str, Config] = field(default_factory=dict)

    def choose(self, problem: Problem, candidates: Sequence[Config], launch: Launch, device: str) -> Config:
        """Return the fastest of ``candidates`` for ``problem`` on ``device``, from memory, disk or measurement."""
        found = self.known(problem, candidates, device)
        if found is None:
            key = f"{device}: {problem.key}"
            found = self._found[key] = self._measure(key, candidates, launch)
        return found

    def known(self, problem: Problem, candidates: Sequence[Config], device: str) -> Config | None:
        """Return what was found before for ``problem`` on ``device``, by this process or another; None if nothing."""
        key = f"{device}: {problem.key}"
        found = self._found.get(key) or _parse(self._read().get(key))
        if found is None or found not in candidates:
            return None
        self._found[key] = found
        return found

    def _measure(self, key: str, candidates: Sequence[Config], launch: Launch) -> Config:
        times = [self.measure(lambda config=config: launch(config)) for config in candidates]  # type: ignore[misc]
        best = min(range(len(times)), key=times.__getitem__)
        if math.isinf(times[best]):
            raise RuntimeError(f"no launch of {key} fits this device")
        self._write(key, candidates[best], times[best], len(candidates))
        return candidates[best]

    def _read(self) -> dict[str, Any]:
        """The lines of the file; none where it is not there, or is damaged, or of another version."""
        try:
            content = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        fits = isinstance(content, dict) and content.get("format") == _FORMAT
        choices = content.get("choices") if fits else None
        return choices if isinstance(choices, dict) else {}

    def _write(self, key: str, config: Config, time_ms: float, tried: int) -> None:
        line = {"blocks": dict(config.blocks), "warps": config.warps, "stages": config.stages}
        choices = self._read() | {key: line | {"time_ms": time_ms, "tried": tried}}
        draft = self.path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"format": _FORMAT, "choices": choices}, indent=1, sort_keys=True))
            draft.replace(self.path)


def default_path() -> Path:
    """Return the file of tuned launches: in ``$PRECISION_EXPLORER_HOME``, or in the user's cache folder."""
    home = os.environ.get("PRECISION_EXPLORER_HOME")
    cached = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(home) if home else Path(cached) / "precision-explorer") / "triton-launches.json"


@cache
def default_tuner() -> Tuner:
    """The tuner of this process."""
    return Tuner(default_path())


def choose(problem: Problem, candidates: Sequence[Config], launch: Launch, x: Tensor) -> Config:
    """Return the launch to use for ``problem`` where x lives.

    Off a GPU the first candidate. During the capture of a CUDA graph, in which nothing can be measured, what is known,
    or else the first: run once before capturing.
    """
    if x.device.type != "cuda" or len(candidates) == 1:
        return candidates[0]
    tuner, device = default_tuner(), device_key(x.device.index)
    if torch.cuda.is_current_stream_capturing():
        return tuner.known(problem, candidates, device) or candidates[0]
    return tuner.choose(problem, candidates, launch, device)


def _parse(line: Any) -> Config | None:
    """The configuration that a line of the file holds, or None."""
    if not isinstance(line, Mapping) or not isinstance(line.get("blocks"), Mapping):
        return None
    numbers = [*line["blocks"].values(), line.get("warps"), line.get("stages")]
    if not all(isinstance(number, int) for number in numbers):
        return None
    return Config.of(line["warps"], line["stages"], **line["blocks"])
