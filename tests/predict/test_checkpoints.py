"""What segments begin with: right, and held within a budget, at the price of ways forth."""

from __future__ import annotations

import math
import weakref
from typing import Any

import pytest

from explorer.predict.checkpoints import choose_kept, walk_segments
from explorer.predict.gradients import Segment

COUNT, SIZE = 40, 10
SEGMENTS = [Segment(i, i + 1, (f"v{i}",), (f"v{i + 1}",)) for i in range(COUNT)]
SIZES = {f"v{i}": SIZE for i in range(COUNT + 1)}


class Value:
    """What a segment makes, known while it is held."""

    held = 0
    most = 0

    def __init__(self, place: int) -> None:
        self.place = place
        Value.held += SIZE
        Value.most = max(Value.most, Value.held)
        weakref.finalize(self, Value.gone)

    @staticmethod
    def gone() -> None:
        Value.held -= SIZE


class Chain:
    """Each segment makes the next value of the last one, which is let go."""

    def __init__(self) -> None:
        self.runs = 0
        Value.held = Value.most = 0

    def forth(self, segment: Segment, values: dict[str, Any]) -> None:
        self.runs += 1
        before = values.pop(f"v{segment.start}")
        values[f"v{segment.stop}"] = Value(before.place + 1)

    def walk(self, limit: float) -> list[int]:
        found = []
        for segment, values in walk_segments(SEGMENTS, {"v0": Value(0)}, self.forth, SIZES, limit):
            assert list(values) == [f"v{segment.start}"] and values[f"v{segment.start}"].place == segment.start
            found.append(segment.start)
            del values
        return found


def test_where_all_fits_one_way_forth_is_enough() -> None:
    chain = Chain()
    assert chain.walk(math.inf) == list(reversed(range(COUNT)))
    assert chain.runs == COUNT - 1
    assert Value.most == COUNT * SIZE


@pytest.mark.parametrize("limit", [150, 100, 60, 40])
def test_within_a_budget_some_are_kept_and_the_others_run_again(limit: float) -> None:
    chain = Chain()
    assert chain.walk(limit) == list(reversed(range(COUNT)))
    # Those kept under the limit and its halves, the first one, and the one that is made of another.
    assert Value.most <= 2 * limit + 3 * SIZE < COUNT * SIZE
    assert COUNT - 1 < chain.runs <= COUNT * (1 + math.log2(COUNT))


def test_without_any_room_halves_remain() -> None:
    chain = Chain()
    assert chain.walk(0) == list(reversed(range(COUNT)))
    depth = math.ceil(math.log2(COUNT))
    assert chain.runs <= COUNT * depth and Value.most <= (depth + 2) * SIZE


def test_a_value_that_enters_many_counts_once() -> None:
    shared = [Segment(i, i + 1, ("x",), ("x",)) for i in range(8)]
    assert list(choose_kept(shared, {"x": 10}, 10)) == list(range(1, 8))
    assert list(choose_kept(SEGMENTS[:8], SIZES, 30)) == [2, 4, 6]
    assert list(choose_kept(SEGMENTS[:8], SIZES, 0)) == [4]
    assert list(choose_kept(SEGMENTS[:1], SIZES, 0)) == []
