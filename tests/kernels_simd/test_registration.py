"""The INT8 kernels in the table: equal to their emulated twins, and refused in words where they cannot run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from explorer.graph import capture
from explorer.kernels import ACTIVATION_KERNELS, CARRIERS, KERNELS, Kernel, Post, Site, StaticScale, cpu_int8
from explorer.measure import find_device

CPU = find_device("cpu")
FIXED, ENDING = StaticScale(0.021, 119), StaticScale(0.17, 31)
MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(200, 24), (3, 11, 200)),
    "linear of three": (nn.Linear(3, 5, bias=False), (4, 3)),
    "conv2d": (nn.Conv2d(32, 17, 3, padding=1), (3, 32, 6, 5)),
    "conv2d of colours": (nn.Conv2d(3, 8, (3, 2), padding=(2, 0), dilation=2), (2, 3, 9, 7)),
    "grouped conv2d": (nn.Conv2d(32, 16, 3, groups=4, stride=2, bias=False), (3, 32, 6, 5)),
    "conv1d, same": (nn.Conv1d(32, 16, 3, padding="same"), (3, 32, 9)),
}


def site_of(module: nn.Module, *inputs: Tensor) -> Site:
    graph = capture(module.eval(), inputs)
    (op,) = graph.rows
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    shapes = {name: tuple(x.shape) for name, x in zip(graph.inputs, inputs, strict=True)}
    return Site(op, constants, shapes, frozenset(name for name in graph.inputs if graph.is_floating(name)))


def twin_of(kernel: Kernel, site: Site) -> Kernel:
    return next(k for k in KERNELS if k.emulated and k.precision == kernel.precision and k.serves(site.op.kind))


def convert(carrier: str, x: Tensor) -> Any:
    return CARRIERS[carrier].convert(x, FIXED) if CARRIERS[carrier].static else CARRIERS[carrier].convert(x)


@pytest.mark.parametrize("precision", ["int8", "int8_static"])
@pytest.mark.parametrize("name", MODULES)
def test_kernels_equal_their_twins(name: str, precision: str) -> None:
    module, shape = MODULES[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    site = site_of(module, x)
    (kernel,) = (k for k in cpu_int8.KERNELS if k.precision == precision and k.serves(site.op.kind))
    assert kernel.refuse(site, CPU) == ""
    codes = convert(kernel.takes, x)
    packed, twin = kernel.build(site), twin_of(kernel, site).build(site)
    wanted = twin.run(codes)
    assert torch.equal(packed.run(codes), wanted)
    assert (packed.weight_bytes, packed.scale_bytes) == (twin.weight_bytes, twin.scale_bytes)
    assert packed.extend is not None
    fused = packed.extend(Post(addend=True, activation="relu", codes=ENDING))
    assert fused is not None
    addend = torch.randn(wanted.shape)
    assert torch.equal(
        fused(codes, addend).codes, CARRIERS["uint8:static"].convert((wanted + addend).relu(), ENDING).codes
    )


@pytest.mark.parametrize(("module", "name"), [(nn.GELU(), "gelu"), (nn.GELU("tanh"), "gelu_tanh"), (nn.SiLU(), "silu")])
def test_an_activation_alone_is_that_of_the_epilogue(module: nn.Module, name: str) -> None:
    linear, x = nn.Linear(40, 30), torch.randn(9, 40)
    (kernel,) = (k for k in cpu_int8.KERNELS if k.precision == "int8" and k.serves("linear"))
    packed = kernel.build(site_of(linear, x))
    codes = convert("int8:token", x)
    assert packed.extend is not None
    fused = packed.extend(Post(activation=name))
    assert fused is not None
    plain = packed.run(codes)
    alone = ACTIVATION_KERNELS["cpu", name]
    assert alone.refuse(site_of(module, plain), CPU) == ""
    assert torch.equal(fused(codes), alone.build(site_of(module, plain)).run(plain))


def test_a_cpu_without_the_instructions_is_told() -> None:
    site = site_of(nn.Linear(8, 8), torch.randn(3, 8))
    old = replace(CPU, features=("AVX2",))
    assert all("AVX512-VNNI" in k.refuse(site, old) for k in cpu_int8.KERNELS if k.serves("linear"))


def test_a_depthwise_convolution_is_refused() -> None:
    site = site_of(nn.Conv2d(8, 8, 3, groups=8), torch.randn(2, 8, 5, 5))
    reasons = [k.refuse(site, CPU) for k in cpu_int8.KERNELS if k.serves("conv2d")]
    assert len(reasons) == 2 and all("depthwise" in reason for reason in reasons)
