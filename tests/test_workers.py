"""How workers share the suite: a browser's tests stay together, long files begin first, nothing else changes place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.workers import LONGEST, longest_first, settle_in, unit_of


@dataclass(frozen=True)
class Item:
    nodeid: str


def test_a_unit_is_a_file_or_a_folder_that_stays_together() -> None:
    assert unit_of("tests/zoo/test_data.py::test_x[a::b/c]") == "tests/zoo/test_data.py"
    browsing = ("browser/test_page.py::test_y", "browser/test_search.py::test_z", "test_notebooks.py::test_runs[map]")
    assert len({unit_of(f"tests/{name}") for name in browsing}) == 1
    assert unit_of("tests/browsers.py::test_y") == "tests/browsers.py"


def test_long_files_begin_first_and_order_stays_within_them() -> None:
    tests = [
        Item(f"tests/{name}::test")
        for name in ("arithmetic/a.py", "browser/a.py", "engine/b.py", "engine/a.py", "zoo/a.py", "browser/b.py")
    ]
    wanted = ["browser/a.py", "browser/b.py", "engine/b.py", "engine/a.py", "arithmetic/a.py", "zoo/a.py"]
    assert [test.nodeid for test in longest_first(tests)] == [f"tests/{name}::test" for name in wanted]


def test_every_place_that_begins_first_exists(root: Path) -> None:
    assert [place for place in LONGEST if not (root / place).exists()] == []


def test_a_worker_has_its_own_cache_and_leaves_what_was_asked_for() -> None:
    one: dict[str, str] = {}
    other = {"OMP_NUM_THREADS": "4"}
    settle_in("gw0", one)
    settle_in("gw1", other)
    assert (one["OMP_NUM_THREADS"], other["OMP_NUM_THREADS"]) == ("1", "4")
    assert one["NUMBA_CACHE_DIR"] != other["NUMBA_CACHE_DIR"]
