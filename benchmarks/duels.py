"""The pairs of calls that bars of kernels are about, each timed by itself after the round of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from benchmarks.candidates import EAGER, Candidate
from benchmarks.cases import LARGE, ROW, Case, Filter
from benchmarks.rivals import CHANNELS_LAST

BEST_FP32, RIVAL = "best FP32", "the best rival"
"""What a pair may be held against besides a candidate's own name."""


class Duel(NamedTuple):
    """A kernel of ours and what it is held against, by their names; ``about`` says what the second one stands for."""

    ours: str
    against: str
    about: str


def duels(case: Case, ways: Iterable[Candidate], median_ms: Callable[[str], float]) -> Iterator[Duel]:
    """Yield the pairs of a case, from the kernels that the table takes and the times of a round of all candidates.

    In a round of twenty candidates each finds its weights far away, and how far depends on who ran before; where a bar
    compares two, those two alone take turns.
    """
    ways = list(ways)
    best = min((way.name for way in ways if way.precision == "fp32" and way.role in ("eager", "kernel")), key=median_ms)
    if case.shape == LARGE.shape:
        yield from (Duel(ours, EAGER, EAGER) for precision in ("int8", "bf16") for ours in _taken(ways, precision))
        yield from (Duel(ours, best, BEST_FP32) for ours in _taken(ways, "int8"))
        yield Duel(best, EAGER, EAGER)
    if case.shape == ROW.shape:
        yield from (Duel(ours, EAGER, EAGER) for ours in _taken(ways, "w4"))
    rivals = [way.name for way in ways if way.role == "rival" and way.precision == "int8"]
    if rivals and case.kind == "linear":
        rival = min(rivals, key=median_ms)
        yield from (Duel(ours, rival, RIVAL) for ours in _taken(ways, "int8"))
    if isinstance(case.shape, Filter) and case.shape.side == 3:
        inside = _taken(ways, "int8_static", "inside")
        yield from (Duel(ours, CHANNELS_LAST, CHANNELS_LAST) for ours in inside)


def _taken(ways: Iterable[Candidate], precision: str, role: str = "kernel") -> Iterator[str]:
    """Yield the name of the kernel that the table takes for a precision."""
    return (way.name for way in ways if way.chosen and way.precision == precision and way.role == role)
