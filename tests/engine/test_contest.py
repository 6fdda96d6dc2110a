"""The fastest of several kernels is chosen by measurement, remembered, and never another result than the first's."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.errors import Cancelled
from explorer.formats import Quantized
from explorer.graph import capture
from explorer.kernels import CARRIERS, KERNELS, Kernel, Packed, Post, Site, StaticScale, best_fp32, choose, contest
from explorer.kernels.registry import BEST_FP32, rivals_of
from explorer.kernels.winners import Winner, Winners, default_winners, key_of
from explorer.measure import Device, Effort, Rounds, exclusive, find_device, waited_s
from tests.widgets.conftest import until

CPU = find_device("cpu")


def site_of(module: nn.Module, x: Tensor) -> Site:
    graph = capture(module.eval(), (x,))
    (op,) = graph.rows
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    return Site(op, constants, {graph.inputs[0]: tuple(x.shape)}, frozenset(graph.inputs))


@pytest.fixture(scope="module")
def site() -> Site:
    return site_of(nn.Linear(16, 8), torch.randn(4, 16))


@pytest.fixture
def winners(tmp_path: Path) -> Winners:
    return Winners(tmp_path / "folder" / "winners.json")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds that a kernel is said to take, by its name; 1 where nothing is said."""
    seconds: dict[str, float] = {"slow": 4.0}

    def rounds(calls: dict[str, Any], device: Device, effort: Effort) -> Rounds:
        return Rounds({name: (seconds.get(name, 1.0),) * 5 for name in calls})

    monkeypatch.setattr(contest, "time_rounds", rounds)
    return seconds


def rival(name: str, off: float = 0.0, **more: Any) -> Kernel:
    """A kernel that returns its input's sums, wrong by so much."""

    def build(site: Site) -> Packed:
        return Packed(lambda x: x.sum(-1, keepdim=True) + off)

    return Kernel(name, "bf16", "cpu", frozenset({"linear"}), "bf16", "bf16", build, **more)


def broken(site: Site) -> Packed:
    raise RuntimeError("no memory")


SLOW, FAST = rival("slow"), rival("fast")


def test_the_fastest_is_chosen_and_read_back_by_the_next_process(
    site: Site, winners: Winners, clock: dict[str, float]
) -> None:
    table = (SLOW, FAST)
    assert choose(site, "bf16", CPU, table, winners).kernel is SLOW, "nothing measured: the first"
    assert contest.settle([(site, "bf16"), (site, "bf16")], CPU, winners, table) == 1
    again = Winners(winners.path)
    for known in (winners, again):
        assert choose(site, "bf16", CPU, table, known).kernel is FAST
    found = again.find(key_of(site, "bf16", CPU))
    assert found is not None and found.times_ms["slow"] > found.times_ms["fast"] > 0
    assert contest.settle([(site, "bf16")], CPU, again, table) == 0, "known"
    assert choose(site, "bf16", replace(CPU, threads=99), table, winners).kernel is SLOW, "another device"
    assert choose(site_of(nn.Linear(16, 8), torch.randn(5, 16)), "bf16", CPU, table, winners).kernel is SLOW


@pytest.mark.parametrize(("seconds", "winner"), [(1.0, "fast"), (0.96, "fast"), (0.9, "second")])
def test_a_tie_keeps_the_order_of_the_table(
    site: Site, winners: Winners, clock: dict[str, float], seconds: float, winner: str
) -> None:
    table, clock["second"] = (FAST, rival("second")), seconds
    contest.settle([(site, "bf16")], CPU, winners, table)
    kernel = choose(site, "bf16", CPU, table, winners).kernel
    assert kernel is not None and kernel.name == winner


@pytest.mark.parametrize(
    "other",
    [
        rival("wrong", off=100.0),
        replace(FAST, name="broken", build=broken),
        replace(FAST, name="other carrier", takes="fp32"),
        replace(FAST, name="refuses", refuse=lambda site, device: "not here"),
    ],
    ids=lambda kernel: kernel.name,
)
def test_what_is_no_rival_does_not_win(site: Site, winners: Winners, clock: dict[str, float], other: Kernel) -> None:
    table, clock["fair"] = (SLOW, other, rival("fair")), 5.0
    contest.settle([(site, "bf16")], CPU, winners, table)
    assert choose(site, "bf16", CPU, table, winners).kernel is SLOW


def test_a_winner_that_the_table_lost_or_that_refuses_is_passed_over(site: Site, winners: Winners) -> None:
    winners.add({key_of(site, "bf16", CPU): Winner("gone", {"gone": 1.0})})
    assert choose(site, "bf16", CPU, (SLOW, FAST), winners).kernel is SLOW
    winners.add({key_of(site, "bf16", CPU): Winner("fast", {"fast": 1.0})})
    table = (SLOW, rival("other"), replace(FAST, refuse=lambda site, device: "not here"))
    assert choose(site, "bf16", CPU, table, winners).kernel is SLOW


@pytest.mark.parametrize("after", [(), ("addend",), ("relu",), ("addend", "relu"), ("addend", "gelu")])
def test_a_rival_pays_for_what_it_does_not_take_in(site: Site, after: tuple[str, ...]) -> None:
    """What follows the product in the graph is part of the contest, whoever does it."""
    taken: list[Post] = []

    def build(site: Site) -> Packed:
        def extend(post: Post) -> Any:
            taken.append(post)
            return lambda x, *terms: torch.relu(x.sum(-1, keepdim=True)) if post.activation else x.sum(-1, keepdim=True)

        return Packed(lambda x: x.sum(-1, keepdim=True), extend=extend)

    fuses = rival("fuses", fuses=frozenset({"addend", "relu"}))
    fuses = replace(fuses, build=build)
    followed, inputs = replace(site, after=after), [torch.ones(2, 16)]
    counted: dict[str, int] = {}
    for kernel in (FAST, fuses):
        packed = kernel.build(followed)
        call = contest._call_of(packed, kernel, followed, inputs, packed.run(*inputs))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as told:
            assert float(call()[0]) == pytest.approx(16.0)
        names = ("aten::add", "aten::relu", "aten::gelu")
        counted[kernel.name] = sum(event.count for event in told.key_averages() if event.key in names)
    outside = [name for name in after if name == "gelu"]
    assert counted[FAST.name] == len(after) + 1, "one is the rival's own"
    assert counted["fuses"] == len(outside) + (1 if "relu" in after else 0), "its own ReLU is one of torch's here"
    assert len(taken) == (1 if set(after) & fuses.fuses else 0)


def test_where_one_rival_casts_its_operand_itself_the_others_pay_for_the_cast(
    site: Site, winners: Winners, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, read = [], []
    carrier = CARRIERS["int8:token"]

    def convert(x: Tensor) -> Any:
        cast.append(x)
        return carrier.convert(x)

    def build(site: Site) -> Packed:
        def run(x: Any) -> Tensor:
            read.append(type(x))
            return x.float().sum(-1) if isinstance(x, Tensor) else x.dequantize().sum(-1)

        return Packed(run, of_floats=lambda post: run)

    monkeypatch.setitem(CARRIERS, "int8:token", replace(carrier, convert=convert))
    waits = replace(FAST, name="waits", precision="int8", takes="int8:token", gives="fp32", build=build)
    casts = replace(waits, name="casts", casts=lambda site: True)
    codes, floats = [carrier.convert(torch.ones(2, 16))], [torch.ones(2, 16)]
    for kernel in (waits, casts):
        contest._call_of(kernel.build(site), kernel, site, codes, torch.ones(2), floats)()
    assert len(cast) == 1 and read == [Quantized, Tensor]


def test_static_convolutions_are_held_with_the_codes_that_the_next_one_reads() -> None:
    site = site_of(nn.Conv2d(4, 8, 3), torch.randn(2, 4, 6, 6))
    kernels, _ = rivals_of(site, "int8_static", CPU)
    x = CARRIERS["uint8:static"].convert(torch.randn(2, 4, 6, 6), StaticScale(0.03, 128))
    for kernel in kernels:
        packed = kernel.build(site)
        found = contest._call_of(packed, kernel, site, [x], packed.run(x))()
        assert isinstance(found, Quantized) and found.codes.dtype == torch.uint8


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 9}', '{"format": 1, "winners": 3}', '{"format": 1, "winners": {"k": {}}}',
                '{"format": 1, "winners": {"k": {"kernel": "x", "times_ms": {"x": "y"}}}}'],
)  # fmt: skip
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "winners.json"
    path.write_text(content)
    winners = Winners(path)
    assert winners.find("k") is None
    winners.add({"other": Winner("a", {"a": 1.0})})
    assert json.loads(path.read_text())["winners"] == {"other": {"kernel": "a", "times_ms": {"a": 1.0}}}


def test_a_file_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    winners = Winners(tmp_path / "file" / "winners.json")
    winners.add({"k": Winner("a", {"a": 1.0})})
    assert winners.find("k") == Winner("a", {"a": 1.0})


def test_two_processes_keep_each_others_winners(winners: Winners) -> None:
    other = Winners(winners.path)
    assert other.find("a") is None
    winners.add({"a": Winner("x", {"x": 1.0})})
    other.add({"b": Winner("y", {"y": 1.0})})
    both = Winners(winners.path)
    assert both.find("a") is not None and both.find("b") is not None
    both.forget()
    assert both.find("a") is None and not winners.path.exists()


def test_cancelling_keeps_what_was_found(site: Site, winners: Winners, clock: dict[str, float]) -> None:
    other, cancel = site_of(nn.Linear(16, 9), torch.randn(4, 16)), threading.Event()

    def stop_at_the_second(done: int, of: int, what: str) -> None:
        if (done, of, what) == (1, 2, "choosing kernels"):
            cancel.set()

    with pytest.raises(Cancelled):
        contest.settle([(site, "bf16"), (other, "bf16")], CPU, winners, (SLOW, FAST), stop_at_the_second, cancel)
    assert winners.find(key_of(site, "bf16", CPU)) is not None
    assert winners.find(key_of(other, "bf16", CPU)) is None


def test_each_winner_is_written_at_once(site: Site, winners: Winners, clock: dict[str, float]) -> None:
    other, seen = site_of(nn.Linear(16, 9), torch.randn(4, 16)), []

    def look(done: int, of: int, what: str) -> None:
        seen.append([Winners(winners.path).find(key_of(each, "bf16", CPU)) is not None for each in (site, other)])

    contest.settle([(site, "bf16"), (other, "bf16")], CPU, winners, (SLOW, FAST), look)
    assert seen == [[False, False], [True, False]]


def test_who_waited_takes_over_what_was_found_and_measures_nothing(
    site: Site, winners: Winners, clock: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, found = Winners(winners.path), []
    assert winners.find(key_of(site, "bf16", CPU)) is None, "looked at before the other has found it"
    monkeypatch.setattr(contest, "hold", lambda *_: pytest.fail("measured again"))
    settle = partial(contest.settle, [(site, "bf16")], CPU, winners, (SLOW, FAST))
    waiting = threading.Thread(target=lambda: found.append(settle()))
    with exclusive(CPU):
        waiting.start()
        until(lambda: waited_s(waiting) > 0)
        other.add({key_of(site, "bf16", CPU): Winner("fast", {"fast": 1.0})})
    waiting.join(10)
    assert found == [1], "one that was not known here: plans are made anew for it"
    assert choose(site, "bf16", CPU, (SLOW, FAST), winners).kernel is FAST
    assert settle() == 0


def test_what_others_found_needs_no_lock_and_changes_no_choice_unasked(site: Site, winners: Winners) -> None:
    key, table = key_of(site, "bf16", CPU), (SLOW, FAST)
    assert choose(site, "bf16", CPU, table, winners).kernel is SLOW
    Winners(winners.path).add({key: Winner("fast", {"fast": 1.0})})
    winners.add({"mine": Winner("x", {"x": 1.0})})
    assert choose(site, "bf16", CPU, table, winners).kernel is SLOW, "plans that were made go by it"
    held, found = threading.Event(), []

    def settle() -> None:
        found.append(contest.settle([(site, "bf16")], CPU, winners, table))
        held.set()

    with exclusive(CPU):
        threading.Thread(target=settle).start()
        assert held.wait(10)
    assert found == [1] and choose(site, "bf16", CPU, table, winners).kernel is FAST


def test_a_contest_that_waits_can_be_cancelled_and_keeps_what_was_found(
    site: Site, winners: Winners, clock: dict[str, float]
) -> None:
    other, cancel, ended = site_of(nn.Linear(16, 9), torch.randn(4, 16)), threading.Event(), threading.Event()
    told, second, locked = [], threading.Event(), threading.Event()

    def report(done: int, of: int, what: str) -> None:
        told.append(what)
        if done == 1:
            second.set()
            assert locked.wait(10)

    def settle() -> None:
        with pytest.raises(Cancelled, match="wait for another timing"):
            contest.settle([(site, "bf16"), (other, "bf16")], CPU, winners, (SLOW, FAST), report, cancel)
        ended.set()

    waiting = threading.Thread(target=settle)
    waiting.start()
    assert second.wait(10)
    with exclusive(CPU):
        before = waited_s(waiting)
        locked.set()
        until(lambda: waited_s(waiting) > before)
        assert not ended.is_set()
        cancel.set()
        assert ended.wait(10)
    assert Winners(winners.path).find(key_of(site, "bf16", CPU)) is not None


def test_winners_lie_beside_the_trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRECISION_EXPLORER_HOME", str(tmp_path))
    assert default_winners().path == tmp_path / "kernel-winners.json"


MODULES = {
    "linear": (nn.Linear(200, 65), (3, 11, 200)),
    "linear of one row": (nn.Linear(64, 32, bias=False), (1, 64)),
    "conv2d": (nn.Conv2d(32, 17, 3, padding=1), (3, 32, 6, 5)),
    "grouped conv2d": (nn.Conv2d(32, 16, 3, groups=4, stride=2, bias=False), (3, 32, 6, 5)),
}


@pytest.mark.parametrize("name", MODULES)
@torch.no_grad()
def test_best_fp32_has_rivals_that_compute_the_same(name: str) -> None:
    """To within FP32's rounding of sums in another order; with what follows, bit for bit their own separate steps."""
    module, shape = MODULES[name]
    x = torch.randn(shape)
    # A batch of one would be taken for a constant.
    site = site_of(module, x.expand(2, *shape[1:]) if shape[0] == 1 else x)
    site = replace(site, shapes=dict.fromkeys(site.shapes, shape))
    first, *others = rivals_of(site, BEST_FP32, CPU)[0]
    assert first.name == "torch fp32" and choose(site, "fp32", CPU).kernel is first, "eager's equal stays the default"
    assert [k.precision for k in others] == ["fp32"] and others[0] in best_fp32.KERNELS
    assert others[0] not in KERNELS
    packed, wanted = others[0].build(site), first.build(site).run(x)
    out = packed.run(x)
    assert (out - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    addend = torch.randn_like(wanted)
    assert packed.extend is not None
    for post, expected in (
        (Post(activation="relu"), out.relu()),
        (Post(addend=True), out + addend),
        (Post(addend=True, activation="relu"), (out + addend).relu()),
    ):
        fused = packed.extend(post)
        assert fused is not None
        assert torch.equal(fused(x, addend) if post.addend else fused(x), expected), post
    assert packed.extend(Post(activation="gelu")) is None
    assert packed.extend(Post(codes=StaticScale(1.0, 0))) is None


def test_best_fp32_without_onednn_is_torch(monkeypatch: pytest.MonkeyPatch, site: Site, winners: Winners) -> None:
    monkeypatch.setattr(best_fp32, "why_none", lambda: "this torch was built without oneDNN")
    rivals, refusals = rivals_of(site, BEST_FP32, CPU)
    assert [k.name for k in rivals] == ["torch fp32"]
    assert refusals == ("this torch was built without oneDNN",)
    assert contest.settle([(site, BEST_FP32)], CPU, winners) == 0
    kernel = choose(site, BEST_FP32, CPU, winners=winners).kernel
    assert kernel is not None and kernel.name == "torch fp32"


def test_every_rival_of_this_cpu_agrees(winners: Winners, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the table offers for one problem takes part: none fails or differs."""
    monkeypatch.setattr(contest, "SECONDS", 0.0)
    modules = (nn.Linear(128, 64), (4, 128)), (nn.Conv2d(16, 8, 3), (2, 16, 6, 6)), (nn.LayerNorm(48), (5, 48))
    sites = [site_of(module, torch.randn(shape)) for module, shape in modules]
    told = 0
    for each in sites:
        for precision in ("int8", "int8_static", "w8", "w4", "w4_hqq", "w4_g128", BEST_FP32):
            rivals = rivals_of(each, precision, CPU)[0]
            if len(rivals) > 1:
                contest.settle([(each, precision)], CPU, winners)
                found = winners.find(key_of(each, precision, CPU))
                assert found is not None and set(found.times_ms) == {k.name for k in rivals}, precision
                told += 1
    assert told >= 4
