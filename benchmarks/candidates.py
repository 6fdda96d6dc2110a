"""What can run a case here: eager FP32, every real kernel of the table, and what else a user could call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Filter
from benchmarks.rivals import conv_rivals, linear_rivals
from explorer.formats import Quantized, find_scale
from explorer.graph import capture
from explorer.kernels import CARRIERS, KERNELS, Kernel, Post, Site, StaticScale, best_fp32, choose
from explorer.kernels.carriers import STATIC
from explorer.kernels.contest import settle
from explorer.kernels.registry import BEST_FP32
from explorer.measure import Device
from explorer.precision import PRECISIONS

EAGER = "torch eager"


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to run a case: ``call()`` takes its FP32 input as it is, and gives the result in any form.

    role: ``"eager"``; ``"kernel"`` of the table, the cast of its input included; ``"inside"``, the same without casts,
    as between ops of one format; ``"rival"``; ``"bare"``, a product whose result stands for nothing. chosen: this one
    is taken for its precision (or for best FP32), as it was the fastest when they were measured against each other.
    """

    name: str
    precision: str
    role: str
    call: Callable[[], Any]
    chosen: bool = False


def as_tensor(result: Any) -> Tensor:
    """Return what a call gave as FP32: codes as the values they stand for."""
    if isinstance(result, Quantized) or (isinstance(result, Tensor) and result.is_quantized):
        result = result.dequantize()
    return result.float()  # type: ignore[no-any-return]


def site_of(module: nn.Module, x: Tensor) -> Site:
    """Return the site of a module of one op at the shape of ``x``, captured at two samples."""
    graph = capture(module, (torch.cat([x, x])[:2],))
    (op,) = graph.rows
    constants = {name: graph.constants[name] for name in op.refs if name in graph.constants}
    return Site(op, constants, {graph.inputs[0]: tuple(x.shape)}, frozenset(graph.inputs))


def real_kernels(site: Site, device: Device) -> Iterator[Kernel]:
    """Yield the kernels of the table that are real on ``device`` and do not refuse ``site``.

    Those of best FP32 are among them, which a recipe does not name. A precision that finds its weight's scales by a
    search runs the kernel of one that does not: left out.
    """
    for kernel in (*KERNELS, *best_fp32.KERNELS):
        here = kernel.device in (device.type, "any") and not kernel.emulated and kernel.serves(site.op.kind)
        searched = PRECISIONS[kernel.precision].weight_method != "nearest"
        if here and not searched and not kernel.refuse(site, device):
            yield kernel


def converter(kernel: Kernel, x: Tensor) -> Callable[[], Any]:
    """Return the cast of ``x`` to what ``kernel`` takes; a static scale is found from ``x`` beforehand."""
    carrier = CARRIERS[kernel.takes]
    return partial(carrier.convert, x, static_scale(x)) if carrier.static else partial(carrier.convert, x)


def static_scale(x: Tensor) -> StaticScale:
    """Return the scale of UINT8 codes that holds every value of ``x``."""
    scale, zero_point = find_scale(x, replace(STATIC, dynamic=True))
    assert zero_point is not None
    return StaticScale(float(scale), int(zero_point))


def candidates(case: Case, device: Device) -> Iterator[Candidate]:
    """Yield every way to run ``case`` here, eager FP32 first. Rivals that this installation lacks are left out."""
    module, x = case.make()
    module, x = module.to(device.type), x.to(device.type)
    yield Candidate(EAGER, "fp32", "eager", partial(module, x))
    site = site_of(module, x)
    # Packing weights takes longer than timing: what the kernels' contest packs is what is timed.
    kernels = tuple(replace(kernel, build=cache(kernel.build)) for kernel in real_kernels(site, device))
    wanted = [*dict.fromkeys(kernel.precision for kernel in kernels), BEST_FP32]
    settle([(site, precision) for precision in wanted], device, table=kernels)
    taken = {(kernel.precision, kernel.name) for kernel in _taken(site, wanted, device, kernels)}
    for kernel in kernels:
        yield from of_kernel(kernel, site, x, (kernel.precision, kernel.name) in taken)
    if device.type == "cpu":
        rivals = conv_rivals(module, x) if isinstance(case.shape, Filter) else linear_rivals(module, x)
        yield from (Candidate(*rival) for rival in rivals)


def _taken(site: Site, wanted: list[str], device: Device, table: tuple[Kernel, ...]) -> Iterator[Kernel]:
    """Yield the kernel that is chosen for each precision."""
    for precision in wanted:
        kernel = choose(site, precision, device, table).kernel
        if kernel is not None:
            yield kernel


def of_kernel(kernel: Kernel, site: Site, x: Tensor, chosen: bool) -> Iterator[Candidate]:
    """Yield a kernel with its input's cast, done in one call where a plan would do so, and for a convolution without:
    between others no FP32 tensor is made."""
    packed = kernel.build(site)
    convert, run = converter(kernel, x), packed.run
    whole = packed.of_floats(Post()) if packed.of_floats is not None and kernel.casts(site) else None
    call = (lambda: run(convert())) if whole is None else partial(whole, x)
    yield Candidate(f"{kernel.precision}: {kernel.name}", kernel.precision, "kernel", call, chosen)
    if site.op.kind != "conv2d" or kernel.precision == "fp32":
        return
    wide = x.contiguous(memory_format=torch.channels_last)
    inside, kept = run, converter(kernel, wide)()
    if packed.extend is not None and "codes" in kernel.fuses:
        output = as_tensor(run(kept))
        inside = packed.extend(Post(codes=static_scale(output))) or run
    yield Candidate(
        f"{kernel.precision}: {kernel.name}, its own format in and out", kernel.precision, "inside",
        lambda: inside(kept), chosen,
    )  # fmt: skip
