"""The whole table: every kind of op in every precision on every device is a kernel that holds its word, or a reason."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.formats import Quantized
from explorer.graph import capture
from explorer.kernels import CARRIERS, KERNELS, Kernel, Selection, Site, StaticScale, as_float, choose, fused, simd
from explorer.kernels.simd import weight_only
from explorer.measure import Device, find_device
from explorer.precision import PRECISIONS

CPU = find_device("cpu")
DEVICES = {
    "this CPU": CPU,
    "a CPU without vectors": Device("cpu", "invented without vectors", 1),
    "sm_75": Device("cuda", "invented sm_75", 1, (), (7, 5)),
    "sm_80": Device("cuda", "invented sm_80", 1, (), (8, 0)),
    "sm_90": Device("cuda", "invented sm_90", 1, (), (9, 0)),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class One(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, a: Tensor) -> Tensor:
        return self.function(a)


class Two(One):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]
        return self.function(a, b)


class Attention(nn.Module):
    def __init__(self, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)


class MaskedAttention(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Transposed(nn.Module):
    """A product with a weight stored [in, out]."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(depth, width))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


@cache
def case(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The module and inputs of a kind, in sizes drawn at random: some fit every kernel, some fit none."""
    drawn, generator = random.Random(name), torch.Generator().manual_seed(len(name))
    batch, wide, odd = drawn.randint(2, 5), drawn.choice((32, 64, 128)), drawn.choice((7, 13, 19))
    height, depth = drawn.randint(5, 9), drawn.choice((32, 64))

    def x(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    makers: dict[str, Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]] = {
        "linear": lambda: (nn.Linear(128, wide), (x(batch, odd, 128),)),
        "linear of few rows": lambda: (nn.Linear(128, wide), (x(batch, 128),)),
        "linear of odd sizes": lambda: (nn.Linear(odd, 2 * odd + 1, bias=False), (x(batch, odd, odd),)),
        "linear stored in, out": lambda: (Transposed(wide, 48), (x(batch, odd, wide),)),
        "conv1d": lambda: (nn.Conv1d(depth, wide, 3, padding=1), (x(batch, depth, odd),)),
        "conv2d": lambda: (nn.Conv2d(depth, wide, 3, stride=2, padding=1), (x(batch, depth, height, odd),)),
        "conv2d in groups": lambda: (nn.Conv2d(depth, wide, 3, groups=4, bias=False), (x(batch, depth, height, odd),)),
        "conv2d by channel": lambda: (nn.Conv2d(depth, depth, 3, groups=depth), (x(batch, depth, height, odd),)),
        "conv2d, padding in words": lambda: (nn.Conv2d(3, odd, 3, padding="same"), (x(batch, 3, height, odd),)),
        "conv3d": lambda: (nn.Conv3d(depth, 8, 2), (x(batch, depth, 4, 5, 3),)),
        "conv_transpose2d": lambda: (nn.ConvTranspose2d(depth, 8, 2, stride=2), (x(batch, depth, 4, 5),)),
        "matmul": lambda: (Two(torch.matmul), (x(batch, 2, odd, wide), x(batch, 2, wide, height))),
        "bmm": lambda: (Two(torch.bmm), (x(batch, odd, wide), x(batch, wide, odd))),
        "attention": lambda: (Attention(), (x(batch, 2, odd, wide), x(batch, 2, odd, wide), x(batch, 2, odd, wide))),
        "causal attention": lambda: (Attention(causal=True), tuple(x(batch, 2, odd, 16) for _ in range(3))),
        "masked attention": lambda: (
            MaskedAttention(), (*(x(batch, 2, odd, 16) for _ in range(3)), x(batch, 1, odd, odd)),
        ),
        "embedding": lambda: (nn.Embedding(40, wide), (torch.randint(0, 40, (batch, odd), generator=generator),)),
        "layer_norm": lambda: (nn.LayerNorm(wide), (x(batch, odd, wide),)),
        "rms_norm": lambda: (nn.RMSNorm(wide), (x(batch, odd, wide),)),
        "group_norm": lambda: (nn.GroupNorm(4, depth), (x(batch, depth, height),)),
        "batch_norm": lambda: (nn.BatchNorm2d(depth), (x(batch, depth, height, 3),)),
        "softmax": lambda: (nn.Softmax(-1), (x(batch, odd, wide),)),
        "gelu": lambda: (nn.GELU(), (x(batch, odd, wide),)),
        "relu": lambda: (nn.ReLU(), (x(batch, odd),)),
        "silu": lambda: (nn.SiLU(), (x(batch, odd),)),
        "add": lambda: (Two(torch.add), (x(batch, odd), x(batch, odd))),
        "mul": lambda: (Two(torch.mul), (x(batch, odd), x(batch, odd))),
        "max_pool2d": lambda: (nn.MaxPool2d(2), (x(batch, 8, height, odd),)),
        "mean": lambda: (One(lambda v: v.mean(-1)), (x(batch, odd),)),
    }  # fmt: skip
    module, inputs = makers[name]()
    return module.eval(), inputs


NAMES = (
    "linear", "linear of few rows", "linear of odd sizes", "linear stored in, out", "conv1d", "conv2d",
    "conv2d in groups", "conv2d by channel", "conv2d, padding in words", "conv3d", "conv_transpose2d", "matmul", "bmm",
    "attention", "causal attention", "masked attention", "embedding", "layer_norm", "rms_norm", "group_norm",
    "batch_norm", "softmax", "gelu", "relu", "silu", "add", "mul", "max_pool2d", "mean",
)  # fmt: skip


@cache
def sites(name: str) -> tuple[tuple[Site, tuple[Tensor, ...]], ...]:
    """The sites of a module's rows that read its inputs only: one but where a norm comes in pieces."""
    module, inputs = case(name)
    graph = capture(module, inputs)
    values = dict(zip(graph.inputs, inputs, strict=True))
    found = []
    for op in graph.rows:
        flowing = [n for n in op.refs if n not in graph.constants]
        if all(n in values for n in flowing):
            constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
            floats = frozenset(n for n in flowing if values[n].is_floating_point())
            site = Site(op, constants, {n: tuple(values[n].shape) for n in flowing}, floats)
            found.append((site, tuple(values[n] for n in site.inputs)))
    assert found, name
    return tuple(found)


def carry(kernel: Kernel, site: Site, inputs: tuple[Tensor, ...]) -> list[Any]:
    """The inputs in the carriers in which a plan hands them to the kernel."""

    def convert(name: str, value: Tensor) -> Any:
        carrier = CARRIERS[kernel.takes]
        if name not in site.floating:
            return value
        if carrier.scheme is not None and site.op.role == "compute" and name not in site.operands:
            return value.float()
        if carrier.static:
            low, high = float(value.min().clamp(max=0)), float(value.max().clamp(min=0))
            scale = max(high - low, 1e-3) / 255
            return carrier.convert(value, StaticScale(scale, round(-low / scale)))
        return carrier.convert(value)

    return [convert(name, value) for name, value in zip(site.inputs, inputs, strict=True)]


def exact(site: Site, inputs: list[Any]) -> Tensor:
    """The op on these very operands in FP64, with the model's own weights."""
    from explorer.kernels import bind

    wide = [as_float(v).double() if isinstance(v, Quantized) or v.is_floating_point() else v for v in inputs]
    out: Tensor = bind(site, torch.float64)(*wide)
    return out


def test_a_selection_cannot_be_a_silent_fallback() -> None:
    fp32 = next(k for k in KERNELS if k.precision == "fp32")
    emulated = next(k for k in KERNELS if k.emulated)
    for precision, kernel, refusals in (("bf16", fp32, ()), (emulated.precision, emulated, ()), ("int8", None, ("",))):
        with pytest.raises(AssertionError):
            Selection(precision, kernel, refusals)


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_a_kernel_or_a_reason(name: str) -> None:
    for site, _ in sites(name):
        for device in DEVICES.values():
            for precision in PRECISIONS:
                selection = choose(site, precision, device)
                option = selection.option
                assert selection.precision == option.precision == precision
                if selection.kernel is not None:
                    assert selection.kernel.precision == precision
                    assert (
                        selection.kernel.gives == PRECISIONS[precision].output
                        or CARRIERS[selection.kernel.gives].static
                    )
                    assert selection.kernel.serves(site.op.kind)
                    assert selection.kernel.device in (device.type, "any")
                real = selection.kernel is not None and not selection.kernel.emulated
                assert bool(option.reason) != real, (name, precision, device.name)
                assert all(len(reason) > 15 and "None" not in reason for reason in selection.refusals)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_every_kernel_of_this_cpu_gives_what_its_precision_says(name: str) -> None:
    """Noise over the FP64 result on the operands that the kernel got: that of its weight and output formats alone."""
    for site, inputs in sites(name):
        for kernel in KERNELS:
            if not kernel.serves(site.op.kind) or kernel.device == "cuda" or kernel.refuse(site, CPU):
                continue
            operands = carry(kernel, site, inputs)
            before = [v.clone() if isinstance(v, Tensor) else v.codes.clone() for v in operands]
            out = kernel.build(site).run(*operands)
            wanted = exact(site, operands)
            assert as_float(out).shape == wanted.shape
            assert isinstance(out, Quantized) or out.dtype == DTYPES[kernel.gives], kernel.name
            noise = float((as_float(out).double() - wanted).norm() / wanted.norm().clamp(min=1e-12))
            assert noise <= allowed(kernel, site), (kernel.name, kernel.precision, noise)
            for value, copy in zip(operands, before, strict=True):
                assert torch.equal(value if isinstance(value, Tensor) else value.codes, copy), "its input was changed"


def allowed(kernel: Kernel, site: Site) -> float:
    """The noise that a kernel's weight and output bring: half a step of each, over values of one size or spread out.

    Four bits per weight leave 18.5 dB (E2M1) to 21 dB; eight bits 38 dB and better, FP8's three of mantissa 30 dB.
    """
    told = PRECISIONS[kernel.precision]
    output = {"fp32": 2e-6, "bf16": 2**-8, "fp16": 2**-11}.get(told.output, 0.0)
    weight = 0.0
    if site.product is not None and told.weight is not None:
        bits = told.weight.spec.bits
        is_float = told.weight.spec.is_float or told.weight.spec.is_block
        weight = {4: 0.17, 6: 0.05, 8: 0.05 if is_float else 0.02}.get(int(bits), 2**-11)
    elif site.product is not None and told.compute == "tf32":
        weight = 2**-10
    elif kernel.precision in ("bf16", "fp16"):
        weight = 3 * output  # constants, and steps inside the op, are in the format too
    return weight + 2 * output


@pytest.mark.parametrize("name", [name for name in NAMES if name.split()[0] in ("linear", "conv1d", "conv2d")])
@torch.no_grad()
def test_real_int8_kernels_equal_their_twin_bit_for_bit(name: str) -> None:
    ran = set()
    for site, inputs in sites(name):
        for precision in ("int8", "int8_static"):
            twin = next(k for k in KERNELS if k.precision == precision and k.emulated and k.serves(site.op.kind))
            for kernel in KERNELS:
                if kernel.precision != precision or kernel.emulated or kernel.device == "cuda":
                    continue
                if not kernel.serves(site.op.kind) or kernel.refuse(site, CPU):
                    continue
                assert kernel.takes == twin.takes, "rivals take one carrier"
                operands = carry(kernel, site, inputs)
                assert torch.equal(kernel.build(site).run(*operands), twin.build(site).run(*operands)), kernel.name
                ran.add(precision)
    assert not CPU.features or "int8_static" in ran or "words" in name


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_narrow_convolutions_stay_channels_last_in_a_chain(precision: str) -> None:
    layer = nn.Conv2d(16, 16, 3, padding=1).eval()
    x = torch.randn(2, 16, 8, 9)
    graph = capture(layer, (x,))
    (op,) = graph.rows
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    site = Site(op, constants, {graph.inputs[0]: tuple(x.shape)}, frozenset(graph.inputs))
    kernel = choose(site, precision, CPU).kernel
    assert kernel is not None and not kernel.emulated
    run = kernel.build(site).run
    first = run(x.to(DTYPES[precision]))
    assert first.is_contiguous(memory_format=torch.channels_last), "one reordering, of the first input"
    assert run(first.relu()).is_contiguous(memory_format=torch.channels_last)


def test_without_numba_torch_serves_or_the_lack_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "available", lambda: False)
    monkeypatch.setattr(simd, "_numba_installed", lambda: False)
    monkeypatch.setattr(weight_only, "find_spec", lambda name: None)
    for name in ("linear of few rows", "conv2d", "gelu"):
        for site, _ in sites(name):
            for precision in PRECISIONS:
                selection = choose(site, precision, CPU)
                assert selection.kernel is None or "VNNI" not in selection.kernel.name
                assert selection.option.reason or (selection.kernel and not selection.kernel.emulated)
    (site, _), *_ = sites("linear of few rows")
    kernel = choose(site, "int8", CPU).kernel
    assert kernel is not None and kernel.name == "torch._int_mm"
    if "AVX512-VNNI" in CPU.features:
        refusals = {k.refuse(site, CPU) for k in KERNELS if k.device == "cpu" and k.serves("linear")}
        assert sum("need Numba" in refusal for refusal in refusals) >= 3


def test_a_device_without_anything_still_gets_reasons_that_name_what_lacks() -> None:
    (site, _), *_ = sites("linear")
    plain = replace(CPU, features=())
    reasons = {precision: choose(site, precision, plain).reason for precision in PRECISIONS}
    assert reasons["fp32"] == reasons["bf16"] == reasons["fp16"] == reasons["int8"] == ""
    assert "no mxfp4 kernel for linear on this CPU" in reasons["mxfp4"]
    assert "no fp8 kernel for linear on this CPU" in reasons["fp8"]
