"""Which of several kernels was fastest at a problem: remembered in memory and in a JSON file. (Effect: disk.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from explorer import trials
from explorer.graph import Ref
from explorer.kernels.site import Site
from explorer.measure.device import Device
from explorer.measure.json_file import JsonFile

_FORMAT = 1


@dataclass(frozen=True)
class Winner:
    """The fastest kernel of a problem, with the median milliseconds of all that were tried, by name."""

    kernel: str
    times_ms: Mapping[str, float]


def key_of(site: Site, what: str, device: Device) -> str:
    """Return what must be equal for one measurement to answer for another: the device, and the problem.

    ``what`` is a precision, or best FP32. A problem is kind, what follows, shapes, settings and whether it has a bias.
    """
    shapes = ["x".join(map(str, site.shapes.get(name, ()))) for name in site.inputs]
    if site.product is not None:
        bias = "" if site.product.bias is None else "+"
        shapes.append("x".join(map(str, site.product.weight.shape)) + bias)
    settings = [str(arg) for arg in site.op.args if not isinstance(arg, Ref) and arg is not None]
    settings += [f"{key}={value}" for key, value in site.op.kwargs.items()]
    words = [what, site.op.kind, *site.after, *shapes, *settings]
    return f"{device.key}: {' '.join(words)}"


@dataclass(eq=False)
class Winners:
    """Winners by key. What the file lacks, or holds in a form that cannot be read, is unknown and measured anew.

    A file that cannot be written costs the next process a measurement and nothing else. Two processes that write at
    once may lose the other's line, likewise; those that time on one device write in turns. What others add after the
    first look is not known here before it is taken over: so no choice changes unasked.
    """

    path: Path
    _known: dict[str, Winner] = field(default_factory=dict)
    _read: bool = False
    _there: dict[str, Winner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._file = JsonFile(self.path)

    def find(self, key: str) -> Winner | None:
        """Return the winner recorded under ``key``, by this process or another before it; None if none was."""
        if not self._read:
            self._known = self._load() | self._known
            self._read = True
        return self._known.get(key)

    def take_over(self, key: str) -> Winner | None:
        """Return the winner under ``key``, also where another process has found it since; it is known from now on."""
        found = self.find(key) or self._load().get(key)
        if found is not None:
            self._known[key] = found
        return found

    def add(self, found: Mapping[str, Winner]) -> None:
        """Record winners, in memory and beside what the file has by now."""
        self._known.update(found)
        lines = {
            key: {"kernel": w.kernel, "times_ms": dict(w.times_ms)} for key, w in {**self._load(), **found}.items()
        }
        self._file.write({"format": _FORMAT, "winners": lines})

    def forget(self) -> None:
        """Forget all winners, the file's too."""
        self._known, self._read = {}, True
        self.path.unlink(missing_ok=True)

    def _load(self) -> dict[str, Winner]:
        """What the file has by now; read again only where it changed."""
        if self._file.changed():
            self._there = self._parsed()
        return self._there

    def _parsed(self) -> dict[str, Winner]:
        content = self._file.read()
        fits = isinstance(content, dict) and content.get("format") == _FORMAT
        lines = content.get("winners") if fits else None
        parsed = {key: _parse(line) for key, line in lines.items()} if isinstance(lines, dict) else {}
        return {key: winner for key, winner in parsed.items() if winner is not None}


def _parse(line: Any) -> Winner | None:
    if not isinstance(line, dict) or not isinstance(line.get("kernel"), str):
        return None
    times = line.get("times_ms")
    if not isinstance(times, dict) or not all(isinstance(ms, (int, float)) for ms in times.values()):
        return None
    return Winner(line["kernel"], times)


def default_winners() -> Winners:
    """The winners of this process, in a file beside the trial store."""
    return _at(trials.default_path().parent / "kernel-winners.json")


@cache
def _at(path: Path) -> Winners:
    return Winners(path)
