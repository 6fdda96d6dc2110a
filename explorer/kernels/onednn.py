"""INT8 products on static codes through oneDNN's operators in torch: a weight packed once, UINT8 activations.

oneDNN takes in the scales, the bias, a ReLU and the rounding to codes, each step rounded as our own epilogue has them:
bit for bit, which is tried once on this CPU (:func:`rounds_as_ours`). Where it rounds otherwise (its loops for AMX
multiply the two scales with each other first), it gives the sums alone, which are exact, and torch does the rest.
Without exact sums nothing is offered (:func:`why_none`). Activations are always
UINT8: signed ones take a reference loop thousands of times slower. Convolutions run channels-last, in and out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from explorer.formats import Quantized, Scheme, quantize
from explorer.kernels.cpu import CHANNEL, LINEAR, require_product
from explorer.kernels.kernel import Kernel
from explorer.kernels.layout import as_rows, channels_last
from explorer.kernels.site import Packed, Post, Product, Site, StaticScale
from explorer.measure.device import Device

Refuse = Callable[[Site, Device], str]

FUSES = frozenset(("relu", "codes"))
CONVOLUTIONS = frozenset(("conv1d", "conv2d"))
STATIC = Scheme("uint8", symmetric=False, dynamic=False)
Multiply = Callable[[Tensor, float, int, "_Ending"], Tensor]


@dataclass(frozen=True)
class _Ending:
    """What oneDNN does after scales and bias, in the words of its operators."""

    scale: float = 1.0
    zero_point: int = 0
    dtype: torch.dtype = torch.float32
    activation: str = "none"


@dataclass(frozen=True)
class ConvSettings:
    """A convolution's numbers, one per spatial dimension."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


def conv_settings(product: Product) -> ConvSettings | None:
    """Return the settings of a product that is a convolution; None for padding in words ("same")."""
    given: list[Any] = [*product.settings, *(1, 0, 1, 1)[len(product.settings) :]]
    if isinstance(given[1], str):
        return None
    spatial = product.weight.dim() - 2

    def each(value: Any) -> tuple[int, ...]:
        return (int(value),) * spatial if isinstance(value, int) else (tuple(map(int, value)) * spatial)[:spatial]

    return ConvSettings(each(given[0]), each(given[1]), each(given[2]), int(given[3]))


def build_linear(site: Site) -> Packed:
    """Build ``onednn::qlinear_pointwise``: UINT8 codes under one static scale, INT8 weight, FP32 or UINT8 out."""
    product = require_product(site)
    weight = quantize(product.weight, CHANNEL)
    scale, width = weight.scale.reshape(-1).contiguous(), product.weight.shape[0]
    packed = torch.ops.onednn.qlinear_prepack(weight.codes.contiguous(), [site.rows, product.weight.shape[1]])
    zeros, bias = torch.zeros(width, dtype=torch.int64), _bias(product)
    scales, added = _taken_in(scale, bias)

    def multiply(codes: Tensor, x_scale: float, zero_point: int, end: _Ending) -> Tensor:
        rows = codes.reshape(-1, codes.shape[-1])
        out = torch.ops.onednn.qlinear_pointwise(
            rows, x_scale, zero_point, packed, scales, zeros, added, end.scale, end.zero_point, end.dtype,
            end.activation, [], "",
        )  # fmt: skip
        return out.reshape(*codes.shape[:-1], width)  # type: ignore[no-any-return]

    return _packed(multiply, weight, bias, ())


def build_conv(site: Site) -> Packed:
    """Build ``onednn::qconv_pointwise`` of one or two dimensions: codes, scales and output as of the linear."""
    product = require_product(site)
    settings, weight = conv_settings(product), quantize(product.weight, CHANNEL)
    assert settings is not None
    scale, bias = weight.scale.reshape(-1).contiguous(), _bias(product)
    zeros = torch.zeros(scale.numel(), dtype=torch.int64)
    scales, added = _taken_in(scale, bias)
    places = [list(settings.stride), list(settings.padding), list(settings.dilation), settings.groups]
    shape = list(site.shapes[product.x])
    packed = torch.ops.onednn.qconv_prepack(weight.codes.contiguous(), torch.ones_like(scale), 1.0, 0, *places, shape)
    order = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    convolve = torch.ops.onednn.qconv2d_pointwise if len(shape) == 4 else torch.ops.onednn.qconv_pointwise

    def multiply(codes: Tensor, x_scale: float, zero_point: int, end: _Ending) -> Tensor:
        return convolve(  # type: ignore[no-any-return]
            codes.contiguous(memory_format=order), x_scale, zero_point, packed, scales, zeros, added, *places,
            end.scale, end.zero_point, end.dtype, end.activation, [], "",
        )  # fmt: skip

    return _packed(multiply, weight, bias, (1,) * (len(shape) - 2))


def _taken_in(scale: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The scales and the bias that oneDNN is given: its own, or what leaves the sums as they are."""
    return (scale, bias) if rounds_as_ours() else (torch.ones_like(scale), None)


def _packed(multiply: Multiply, weight: Quantized, bias: Tensor | None, after: tuple[int, ...]) -> Packed:
    """The kernel of a product, with what oneDNN can do to its result; ``after``: a 1 for each dimension behind the
    channels."""
    whole = rounds_as_ours()
    columns, shift = weight.scale.reshape(-1, *after), None if bias is None else bias.reshape(-1, *after)
    sound = bool(weight.scale.isfinite().all()) and (bias is None or bool(bias.isfinite().all()))

    def extend(post: Post) -> Callable[..., Any] | None:
        if post.addend or post.activation not in ("", "relu"):
            return None
        end = _Ending(activation=post.activation or "none")
        return _to_codes(end, post.codes) if post.codes is not None else _to_floats(end)

    def _to_floats(end: _Ending) -> Callable[[Quantized], Tensor]:
        def run(x: Quantized) -> Tensor:
            scale, zero_point = _static(x)
            if not whole:
                out = multiply(x.codes, 1.0, zero_point, _Ending()).mul_(scale).mul_(columns)
                out = out if shift is None else out.add_(shift)
                return out.relu_() if end.activation == "relu" else out
            if end.activation == "relu" and not (sound and math.isfinite(scale)):
                return multiply(x.codes, scale, zero_point, _Ending()).relu_()  # oneDNN's loses a NaN
            return multiply(x.codes, scale, zero_point, end)

        return run

    def _to_codes(end: _Ending, fixed: StaticScale) -> Callable[[Quantized], Quantized]:
        scale, zero_point = torch.tensor(fixed.scale), torch.tensor(float(fixed.zero_point))
        coded = _Ending(fixed.scale, fixed.zero_point, torch.uint8, end.activation)

        def run(x: Quantized) -> Quantized:
            x_scale, x_zero_point = _static(x)
            if not (whole and sound and math.isfinite(x_scale)):
                return quantize(_to_floats(end)(x), STATIC, scale, zero_point)
            codes = multiply(x.codes, x_scale, x_zero_point, coded)
            return Quantized(codes, scale, zero_point, STATIC, torch.float32)

        return run

    return Packed(_to_floats(_Ending()), weight.codes.nbytes, weight.scale.nbytes, extend)


def _static(x: Quantized) -> tuple[float, int]:
    assert x.zero_point is not None and x.codes.dtype == torch.uint8, "signed activations take a reference loop"
    return float(x.scale), int(x.zero_point)


def _bias(product: Product) -> Tensor | None:
    return None if product.bias is None else product.bias.detach().float().contiguous()


def refusals(what: str, fault: Callable[[], str]) -> tuple[Refuse, Refuse]:
    """Return the refusals of a linear and of a convolution through oneDNN; ``fault()`` is why there is none here."""

    def refuse_linear(site: Site, device: Device) -> str:
        if site.product is None:
            return f"oneDNN's {what} product needs a constant weight; this op multiplies two activations"
        return fault()

    def refuse_conv(site: Site, device: Device) -> str:
        if reason := refuse_linear(site, device):
            return reason
        product = require_product(site)
        if conv_settings(product) is None:
            return f"oneDNN's {what} convolution takes its padding in numbers, not in words"
        if len(site.shapes[product.x]) != product.weight.dim():
            return f"oneDNN's {what} convolution needs an input with a batch dimension"
        return ""

    return refuse_linear, refuse_conv


def find_fault(what: str, is_right: Callable[[], bool]) -> str:
    """Return why oneDNN's products of a kind cannot be used here, or nothing: found out by running one."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "this torch was built without oneDNN"
    try:
        return "" if is_right() else f"oneDNN's {what} product is not exact on this CPU"
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return f"this torch's oneDNN {what} operators do not run: {first[:120]}"


@cache
def why_none() -> str:
    """Return why oneDNN's INT8 products cannot be used here, or nothing.

    Tried once on codes whose pairs of products overflow 16 bits, as they do inside CPUs without VNNI. Few rows and
    many, as oneDNN has loops of their own for either.
    """
    return find_fault("INT8", lambda: _is_exact(1.0, torch.ones(OUTPUTS), torch.zeros(OUTPUTS)))


@cache
def rounds_as_ours() -> bool:
    """Return whether oneDNN rounds each step of the epilogue as our twin does: sum, times the scale of the activations,
    times that of the channel, plus bias. Tried once, on scaled sums that fall between FP32 numbers."""
    return _is_exact(0.0137, torch.linspace(0.001, 0.02, OUTPUTS), torch.linspace(-3, 3, OUTPUTS))


TRIED, INPUTS, OUTPUTS = (8, 64), 256, 16
"""The rows of the products that are tried, and the shape of their weight."""


def _is_exact(step: float, scale: Tensor, bias: Tensor) -> bool:
    """Whether products under this scale of activations, scales of channels and bias are what our twin gives."""
    weight = torch.arange(OUTPUTS * INPUTS).reshape(OUTPUTS, INPUTS).mul(29).remainder(255).sub(127).to(torch.int8)
    weight[0] = 127
    return all(torch.equal(*_twins(rows, weight, step, scale, bias)) for rows in TRIED)


def _twins(rows: int, weight: Tensor, step: float, scale: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """One product by oneDNN, and rounded step by step from its exact sums."""
    codes = torch.arange(rows * INPUTS).reshape(rows, INPUTS).mul(37).remainder(256).to(torch.uint8)
    codes[0] = 255
    zeros, no_words = torch.zeros(OUTPUTS, dtype=torch.int64), ("none", list[float](), "")
    packed = torch.ops.onednn.qlinear_prepack(weight, [rows, INPUTS])
    out = torch.ops.onednn.qlinear_pointwise(
        codes, step, 77, packed, scale, zeros, bias, 1.0, 0, torch.float32, *no_words
    )
    sums = (codes.double() - 77) @ weight.double().t()
    return out, sums.float() * torch.tensor(step) * scale + bias


refuse_linear, refuse_conv = refusals("INT8", lambda: why_none())


def _kernel(name: str, kinds: frozenset[str], build: Callable[[Site], Packed], refuse: Refuse, layout: Any) -> Kernel:
    return Kernel(name, "int8_static", "cpu", kinds, "uint8:static", "fp32", build, refuse, fuses=FUSES, layout=layout)


KERNELS = (
    _kernel("oneDNN qlinear", LINEAR, build_linear, refuse_linear, as_rows),
    _kernel("oneDNN qconv", CONVOLUTIONS, build_conv, refuse_conv, channels_last),
)
