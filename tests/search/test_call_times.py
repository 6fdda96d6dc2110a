"""Times of calls are shared among searches and processes for an hour, and nothing is timed twice meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from explorer.errors import Cancelled
from explorer.latency import LatencyTable
from explorer.measure import exclusive, waited_s
from explorer.run import Plan, keys_of
from explorer.search import Goal, call_time_store, costs
from explorer.search.call_time_store import GOOD_FOR_S, CallTimeStore, default_call_times, set_key
from explorer.search.costs import CallTimes
from explorer.search.search import make_searcher
from explorer.subject import Subject
from tests.search.conftest import Case
from tests.widgets.conftest import until

FILE = "call-times.json"


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that were timed, one after the other, without the reference."""
    return _count(monkeypatch.setattr)


def _count(put: Callable[[Any, str, Any], None]) -> list[Plan]:
    found: list[Plan] = []
    profile = costs.profile

    def counting(plans: Sequence[Plan], *more: Any) -> Any:
        found.extend(plans[1:])
        return profile(plans, *more)

    put(costs, "profile", counting)
    return found


@pytest.fixture
def plans(vit: Case) -> list[Plan]:
    return _plans(vit.subject, vit.recipe)


def _plans(subject: Subject, recipe: Any) -> list[Plan]:
    return [subject.planner.plan(recipe(each)) for each in ({"kind:linear": "int8"}, {"*": "bf16"})]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / FILE


def times_of(subject: Subject, path: Path) -> CallTimes:
    inputs = subject.samples.batch(0)
    return CallTimes(subject.baseline, subject.kernels, inputs, LatencyTable(), CallTimeStore(path))


def test_a_second_search_recalls_what_the_first_has_timed(
    vit: Case, plans: list[Plan], path: Path, timed: list[Plan]
) -> None:
    first, second = times_of(vit.subject, path), times_of(vit.subject, path)
    first.measure(plans, rounds=1)
    assert timed == plans
    second.measure(plans, rounds=1)
    assert timed == plans, "nothing was timed again"
    assert (second.shares, second.totals_us) == (first.shares, first.totals_us)
    for plan in plans:
        us = first.predict_us(plan)
        assert second.predict_us(plan) == us
        assert second.table.predict_ms(plan) == pytest.approx(us / 1e3), "the page predicts from it"


def test_only_what_is_new_is_timed(vit: Case, plans: list[Plan], path: Path, timed: list[Plan]) -> None:
    first, second = times_of(vit.subject, path), times_of(vit.subject, path)
    first.measure(plans[:1], rounds=1)
    known = {key: list(shares) for key, shares in first.shares.items()}
    second.measure(plans, rounds=1)
    assert timed == plans
    assert {key: second.shares[key] for key in known} == known, "what has a time keeps it"
    found = CallTimeStore(path).find(set_key(vit.subject.baseline))
    assert found is not None and set(found.shares) == set(second.shares) > set(known)
    assert list(found.totals_us) == second.totals_us and len(second.totals_us) == 2


def test_own_times_stand_before_recalled_ones(vit: Case, plans: list[Plan]) -> None:
    table, keys = LatencyTable(), keys_of(plans[0])
    table.add(plans[0], dict.fromkeys(keys, 7.0))
    own = next(iter(keys.values()))
    table.fill({own: 9.0, "another": 5.0})
    assert (table.time_us(own), table.time_us("another")) == (7.0, 5.0)


def test_who_waited_finds_the_times_and_takes_none(
    vit: Case, plans: list[Plan], path: Path, timed: list[Plan], tmp_path: Path
) -> None:
    first, second = times_of(vit.subject, tmp_path / "elsewhere.json"), times_of(vit.subject, path)
    first.measure(plans, rounds=1)
    told: list[str] = []
    measure = threading.Thread(target=lambda: second.measure(plans, lambda *at: told.append(at[2])))
    with exclusive(vit.subject.baseline.device):
        measure.start()
        until(lambda: waited_s(measure) > 0)
        CallTimeStore(path).add(set_key(first.reference), first.totals_us, first.shares)
    measure.join(30)
    assert timed == plans and second.shares == first.shares
    assert set(told) == {"timing kernels"}


def test_a_set_of_more_than_an_hour_ago_is_measured_anew(
    vit: Case, plans: list[Plan], path: Path, timed: list[Plan]
) -> None:
    times_of(vit.subject, path).measure(plans, rounds=1)
    before = _age(path, GOOD_FOR_S + 1)
    again = times_of(vit.subject, path)
    assert not again.recall()
    again.measure(plans[:1], rounds=1)
    assert timed == [*plans, plans[0]]
    (kept,) = json.loads(path.read_text())["sets"].values()
    assert kept["began"] > before and set(kept["shares"]) == set(again.shares), "nothing of the old set is in it"


def test_a_set_from_the_future_is_not_used(vit: Case, plans: list[Plan], path: Path) -> None:
    times_of(vit.subject, path).measure(plans[:1], rounds=1)
    assert times_of(vit.subject, path).recall()
    _age(path, -60)
    assert not times_of(vit.subject, path).recall()


def _age(path: Path, seconds: float) -> float:
    """Makes the only set so much older, and returns when it was begun."""
    content = json.loads(path.read_text())
    (kept,) = content["sets"].values()
    kept["began"] -= seconds
    path.write_text(json.dumps(content))
    return float(kept["began"])


SET = {"began": 0.0, "totals_us": [1.0], "shares": {"k": [0.5]}}
BROKEN = [
    {"began": "long ago"}, {"totals_us": []}, {"totals_us": [0.0]}, {"totals_us": None}, {"shares": {"k": []}},
    {"shares": {"k": ["fast"]}}, {"shares": {"k": [float("nan")]}}, {"shares": {"k": [-1.0]}}, {"shares": []},
]  # fmt: skip


@pytest.mark.parametrize("change", [{}, *BROKEN], ids=str)
def test_a_set_that_cannot_be_read_is_not_known(
    path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_time_store.time, "time", lambda: 60.0)
    path.parent.mkdir()
    path.write_text(json.dumps({"format": 1, "sets": {"a": SET | change, "b": SET}}))
    store = CallTimeStore(path)
    assert (store.find("a") is None) == bool(change)
    assert store.find("b") is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "sets": []}', '{"format": 99}'])
def test_a_corrupt_file_is_written_anew(vit: Case, plans: list[Plan], path: Path, timed: list[Plan], text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    times_of(vit.subject, path).measure(plans[:1], rounds=1)
    assert len(timed) == 1
    assert not times_of(vit.subject, path).recall().isdisjoint(keys_of(plans[0]).values())


def test_the_set_of_another_model_or_device_is_not_touched(vit: Case, plans: list[Plan], path: Path) -> None:
    CallTimeStore(path).add("another", [3.0], {"k": [0.25]})
    times = times_of(vit.subject, path)
    assert not times.recall()
    times.measure(plans[:1], rounds=1)
    found = CallTimeStore(path).find("another")
    assert found is not None and (found.totals_us, found.shares) == ((3.0,), {"k": (0.25,)})
    keys = {set_key(vit.subject.baseline), set_key(plans[0])}
    assert len(keys) == 2 and all(key.startswith(vit.subject.baseline.device.key) for key in keys)


def test_cancelling_keeps_what_was_timed(
    vit: Case, plans: list[Plan], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "TOGETHER", 1)
    cancel, times = threading.Event(), times_of(vit.subject, path)

    def stop_at_the_second(done: int, of: int, text: str) -> None:
        if (done, of, text) == (1, 2, "timing kernels"):
            cancel.set()

    with pytest.raises(Cancelled):
        times.measure(plans, stop_at_the_second, cancel, rounds=1)
    again = times_of(vit.subject, path)
    again.recall()
    assert not again.unknown(plans[0]) and again.unknown(plans[1])


def test_where_nothing_can_be_written_the_process_remembers(
    vit: Case, plans: list[Plan], tmp_path: Path, timed: list[Plan]
) -> None:
    (tmp_path / "file").write_text("")
    times = times_of(vit.subject, tmp_path / "file" / FILE)
    times.measure(plans[:1], rounds=1)
    again = CallTimes(times.reference, times.kernels, times.inputs, LatencyTable(), times.store)
    again.measure(plans[:1], rounds=1)
    assert len(timed) == 1 and again.shares == times.shares


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRECISION_EXPLORER_HOME", os.fspath(tmp_path))
    return tmp_path


def test_a_second_search_times_next_to_nothing_until_it_is_forgotten(vit: Case, home: Path, timed: list[Plan]) -> None:
    counts = []
    for turn in range(3):
        if turn == 2:
            default_call_times().forget()
            assert not (home / FILE).exists()
        before = len(timed)
        make_searcher(vit.subject, vit.known, Goal())
        counts.append(len(timed) - before)
    assert (home / FILE).exists()
    assert counts[1] <= counts[0] / 4 and counts[2] >= counts[0] / 2


def test_a_second_search_times_what_the_first_left_out(vit: Case, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["explorer.search.search"]  # the package's own name of this is the function
    monkeypatch.setattr(module, "MOST_PROFILED", 1)
    chosen: list[str] = []

    def look(times: CallTimes, plans: Sequence[Plan], most: int) -> list[Plan]:
        found = costs.cover(times, plans, most)
        chosen.extend(plan.recipe.hash for plan in found)
        return found

    monkeypatch.setattr(module, "cover", look)
    make_searcher(vit.subject, vit.known, Goal())
    make_searcher(vit.subject, vit.known, Goal())
    assert len(chosen) == 2 and chosen[0] != chosen[1]


CHILD = "from tests.search.test_call_times import time_in_a_process; time_in_a_process()"


def time_in_a_process() -> None:
    """Time two plans of the small transformer and tell what was found; begins when a line is read."""
    from tests.compare.conftest import open_subject
    from tests.engine.conftest import build_vit, vit_data

    path = Path(sys.argv[1])
    subject, recipe = open_subject(build_vit(), *vit_data(16), "classification", path.with_suffix(sys.argv[2]))
    timed, plans, times = _count(setattr), _plans(subject, recipe), times_of(subject, path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    times.measure(plans, rounds=1)
    sys.stdout.write(json.dumps([len(timed), times.totals_us, times.shares]))


def test_two_processes_share_what_one_of_them_has_timed(root: Path, path: Path) -> None:
    path.parent.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", CHILD, str(path)]
    both = [
        subprocess.Popen([*command, name], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in (".one", ".two")
    ]
    for each in both:
        assert each.stdout is not None and each.stdout.readline() == "ready\n"
    found = [json.loads(each.communicate("go\n", timeout=120)[0]) for each in both]
    (timed, *times), (timed_too, *times_too) = found
    assert sorted((timed, timed_too)) == [0, 2], "one of them timed both plans"
    assert times == times_too
