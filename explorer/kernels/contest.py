"""Which of the kernels that can serve an op is fastest here, measured once per problem. (Effect: clock, disk.)

Rivals are interchangeable: they take and give the same carriers, and INT8 ones give the same bits. So the winner
changes times and nothing else, save the order in which floats are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from explorer.errors import Cancelled
from explorer.formats import Quantized
from explorer.kernels.carriers import CARRIERS, as_float
from explorer.kernels.kernel import CONV_KINDS, Kernel
from explorer.kernels.registry import KERNELS, rivals_of
from explorer.kernels.site import Packed, Post, Site, StaticScale
from explorer.kernels.winners import Winner, Winners, default_winners, key_of
from explorer.measure.device import Device
from explorer.measure.lock import exclusive
from explorer.measure.timing import Effort, time_rounds

SECONDS = 0.04
"""Time for each rival, beyond the fewest rounds."""
MARGIN = 0.95
"""A rival must need less than this fraction of the first kernel's time: a tie keeps the table's order."""
EXACT = ("int8", "uint8")
TORCH_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": partial(torch.nn.functional.gelu, approximate="tanh"),
    "silu": torch.nn.functional.silu,
}


def settle(
    wanted: Iterable[tuple[Site, str]],
    device: Device,
    winners: Winners | None = None,
    table: tuple[Kernel, ...] = KERNELS,
    progress: Callable[[int, int, str], None] | None = None,
    cancel: Any = None,
) -> int:
    """Measure the rivals of every (site, precision) that has no winner yet, record the fastest; return how many winners
    were not known here before.

    ``BEST_FP32`` may stand for the precision. Some tens of milliseconds a rival, and packing its weight, under
    ``explorer.measure.exclusive``; equal problems are measured once. Each winner is written at once, so that a process
    which waited takes it over and measures nothing. A rival that fails to run, or whose result is not that of the
    first, is left out. Raises ``Cancelled`` when ``cancel`` is set, also while it waits; what was found until then is
    kept.
    """
    winners = default_winners() if winners is None else winners
    open_: dict[str, tuple[Site, tuple[Kernel, ...]]] = {}
    for site, what in wanted:
        rivals, _ = rivals_of(site, what, device, table)
        key = key_of(site, what, device)
        if len(rivals) > 1 and key not in open_ and winners.find(key) is None:
            open_[key] = (site, rivals)
    news = 0
    for done, (key, problem) in enumerate(open_.items()):
        tell = None if progress is None else partial(progress, done, len(open_))
        if tell is not None:
            tell("choosing kernels")
        if cancel is not None and cancel.is_set():
            raise Cancelled("choose kernels")
        news += winners.take_over(key) is not None or _settle(key, problem, device, winners, cancel, tell)
    return news


def _settle(
    key: str,
    problem: tuple[Site, tuple[Kernel, ...]],
    device: Device,
    winners: Winners,
    cancel: Any,
    tell: Callable[[str], None] | None,
) -> bool:
    """Find the winner of one problem, by measuring unless another process did so meanwhile; return whether there is
    one."""
    with exclusive(device, cancel, tell):
        if winners.take_over(key) is not None:
            return True
        winner = hold(*problem, device, cancel)
        if winner is not None:
            winners.add({key: winner})
    return winner is not None


@torch.no_grad()
def hold(site: Site, rivals: Sequence[Kernel], device: Device, cancel: Any = None) -> Winner | None:
    """Time rivals against each other, the first of them the one to beat; None where none of them runs.

    Where one of them casts its operand itself, the cast is in the time of all.
    """
    takes, gives = rivals[0].takes, rivals[0].gives
    inputs, casts = _inputs(site, takes, device), any(rival.casts(site) for rival in rivals)
    floats = _inputs(site, "fp32", device) if casts else []
    calls: dict[str, Callable[[], Any]] = {}
    first: Any = None
    for rival in rivals:
        if (rival.takes, rival.gives) != (takes, gives):
            continue
        try:
            packed = rival.build(site)
            out = packed.run(*inputs)
            call = _call_of(packed, rival, site, inputs, out, floats)
            call()
        except Exception:  # noqa: S112  whatever the reason, a kernel that cannot run here does not win
            continue
        first = out if first is None else first
        if _agree(out, first, exact=CARRIERS[takes].format in EXACT):
            calls[rival.name] = call
    if not calls:
        return None
    times = _times(calls, device, cancel)
    leader, best = next(iter(times)), min(times, key=times.__getitem__)
    return Winner(best if _beats(best, leader, times, calls, device, cancel) else leader, times)


def _times(calls: Mapping[str, Callable[[], Any]], device: Device, cancel: Any) -> dict[str, float]:
    rounds = time_rounds(calls, device, Effort(SECONDS * len(calls), cancel=cancel))
    return {name: rounds.median_ms(name) for name in calls}


def _beats(
    best: str, leader: str, times: Mapping[str, float], calls: Mapping[str, Callable[[], Any]], device: Device,
    cancel: Any,
) -> bool:  # fmt: skip
    """Whether the best is clearly faster than the leader, and again where the two take turns alone: of several, one is
    often fastest by chance, or by what ran before it."""
    if times[best] >= MARGIN * times[leader]:
        return False
    again = _times({name: calls[name] for name in (leader, best)}, device, cancel)
    return again[best] < MARGIN * again[leader]


def _call_of(
    packed: Packed, rival: Kernel, site: Site, inputs: list[Any], out: Any, floats: Sequence[Any] = ()
) -> Callable[[], Any]:
    """One call of a rival with what follows it in the graph: in its epilogue as far as that goes, then by torch.

    floats: the inputs in FP32 where the cast counts, which a rival does itself or has done before. A convolution of
    static codes is followed by their cast, as between convolutions: what is fastest at FP32 may not be so at bytes.
    """
    carrier = CARRIERS[rival.takes]
    codes = _scale_of(out) if carrier.static and site.op.kind in CONV_KINDS else None
    inside = [name for at, name in enumerate(site.after) if set(site.after[: at + 1]) <= rival.fuses]
    activation, convert = next((name for name in inside if name != "addend"), ""), carrier.convert
    written = codes if len(inside) == len(site.after) and "codes" in rival.fuses else None
    extend = packed.extend if inside or written is not None else None
    if floats and rival.casts(site):
        inputs, floats, extend = list(floats), (), packed.of_floats
    joined = None if extend is None else extend(Post("addend" in inside, activation, written))
    run, outside = (joined, site.after[len(inside) :]) if joined is not None else (packed.run, site.after)
    terms = [torch.zeros_like(out)] if "addend" in site.after else []
    added = terms if joined is not None and "addend" in inside else []

    def call() -> Any:
        if floats:
            convert(floats[0])
        out = run(*inputs, *added)
        for name in outside:
            out = out + terms[0] if name == "addend" else TORCH_ACTIVATIONS[name](out)
        return out if codes is None or isinstance(out, Quantized) else convert(out, codes)

    return call


def _scale_of(out: Tensor) -> StaticScale:
    """A scale of UINT8 codes that holds a result."""
    return StaticScale(float(out.abs().max()) / 127 or 1.0, 128)


def _inputs(site: Site, takes: str, device: Device) -> list[Any]:
    """Random inputs of the site in the carrier that its kernels take; what is no float is a mask that hides nothing."""
    generator = torch.Generator().manual_seed(0)
    carrier = CARRIERS[takes]

    def make(name: str) -> Any:
        if name not in site.floating:
            return torch.ones(site.shapes[name], dtype=torch.bool, device=device.type)
        x = torch.randn(site.shapes[name], generator=generator).to(device.type)
        if carrier.scheme is not None and name not in site.operands:
            return x
        return carrier.convert(x, StaticScale(4 / 127, 128)) if carrier.static else carrier.convert(x)

    return [make(name) for name in site.inputs]


def _agree(out: Any, first: Any, exact: bool) -> bool:
    """Whether two results are one: bit for bit, or within the steps of BF16 at the largest value."""
    if not all(isinstance(each, (Tensor, Quantized)) for each in (out, first)):
        return False
    values, wanted = as_float(out), as_float(first)
    if exact:
        return torch.equal(values, wanted)
    return values.shape == wanted.shape and bool((values - wanted).abs().max() <= 2**-6 * wanted.abs().max())
