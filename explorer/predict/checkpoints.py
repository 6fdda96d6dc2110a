"""The values that segments of a graph begin with, from the last segment to the first, within a budget of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from explorer.predict.gradients import Segment

Forth = Callable[[Segment, dict[str, Any]], None]
"""Runs a segment on values, in place."""


def walk_segments(
    segments: Sequence[Segment], values: Mapping[str, Any], forth: Forth, sizes: Mapping[str, int], limit: float
) -> Iterator[tuple[Segment, dict[str, Any]]]:
    """Yield the segments from the last to the first, each with the values that enter it.

    values: those that enter the first. sizes: bytes of the values that may enter others. Where all that enter take at
    most ``limit`` bytes, they are kept on the one way forth. Else some are, and the segments between two of these run
    again when their turn has come, under half the limit: what is kept takes at most twice the limit (or what two cuts
    and their halves need), and each time that the limit is halved costs one more way forth.
    """
    kept = choose_kept(segments, sizes, limit)
    bounds = [0, *kept, len(segments)]
    held = [dict(values)]
    for start, stop in pairwise(bounds[:-1]):
        reached = dict(held[-1])
        for segment in segments[start:stop]:
            forth(segment, reached)
        held.append(reached)
    for start, stop in reversed(list(pairwise(bounds))):
        entering = held.pop()
        if stop - start == 1:
            yield segments[start], entering
        else:
            yield from walk_segments(segments[start:stop], entering, forth, sizes, limit / 2)


def choose_kept(segments: Sequence[Segment], sizes: Mapping[str, int], limit: float) -> Sequence[int]:
    """Return before which segments values are kept: every one, every second, ..., as many as ``limit`` bytes hold.

    At least those in the middle, so that halves remain; values that enter several segments count once.
    """
    count = len(segments)
    for every in range(1, count):
        kept = range(every, count, every)
        entering = {name for place in kept for name in segments[place].enters}
        if sum(sizes[name] for name in entering) <= limit:
            return kept
    return [count // 2] if count > 1 else []
