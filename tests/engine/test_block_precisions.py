"""Precisions in block formats: emulated operands are exactly those of the format, along what a product sums over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.formats import Scheme, fake_quantize, find_format, round_to
from explorer.graph import capture
from explorer.kernels import CARRIERS, Kernel, Packed, Site, choose
from explorer.measure import Device, find_device
from explorer.precision import BLOCK_PRECISIONS, PRECISIONS

CPU = find_device("cpu")
B200 = Device("cuda", "invented sm_100", 1, (), (10, 0))
NAMES = list(BLOCK_PRECISIONS)


def site_of(module: nn.Module, x: Tensor) -> Site:
    """The site of the only op of a module of one op."""
    graph = capture(module.eval(), (x,))
    (op,) = graph.rows
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    return Site(op, constants, {graph.inputs[0]: tuple(x.shape)}, frozenset(graph.inputs[:1]))


def kernel_of(site: Site, precision: str) -> Kernel:
    kernel = choose(site, precision, CPU).kernel
    assert kernel is not None
    return kernel


def run(site: Site, precision: str, x: Tensor) -> tuple[Tensor, Packed]:
    kernel = kernel_of(site, precision)
    packed = kernel.build(site)
    return packed.run(CARRIERS[kernel.takes].convert(x)), packed


def test_the_table_has_one_precision_for_each_width_and_nvfp4() -> None:
    assert NAMES == ["mxfp8", "mxfp6", "mxfp4", "nvfp4"]
    for name in NAMES:
        precision = PRECISIONS[name]
        assert precision.weight == precision.activation == Scheme(precision.compute)
        assert precision.output == "bf16"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("depth", "bias"), [(64, True), (70, False)])
def test_linear_multiplies_what_the_blocks_hold(name: str, depth: int, bias: bool) -> None:
    torch.manual_seed(depth)
    layer, x = nn.Linear(depth, 24, bias=bias).eval(), torch.randn(2, 5, depth)
    out, packed = run(site_of(layer, x), name, x)
    format_ = PRECISIONS[name].compute
    held = None if layer.bias is None else layer.bias.detach().bfloat16().float()
    weight = round_to(layer.weight.detach(), format_)
    assert torch.equal(out, nn.functional.linear(round_to(x, format_), weight, held).bfloat16())
    spec = find_format(format_)
    blocks = 24 * -(-depth // spec.block)  # type: ignore[union-attr]
    assert packed.weight_bytes == blocks * spec.block * spec.bits // 8  # type: ignore[union-attr]
    assert packed.scale_bytes == blocks + (4 if name == "nvfp4" else 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(48, 16, 3, padding=1), (3, 48, 6, 5)),
        (nn.Conv2d(3, 16, 3, stride=2), (3, 3, 6, 5)),
        (nn.Conv2d(64, 16, 3, groups=2), (2, 64, 6, 5)),
        (nn.Conv1d(40, 8, 3), (2, 40, 9)),
    ],
)
def test_convolutions_have_their_blocks_along_the_channels(name: str, module: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x = torch.randn(shape)
    out, _ = run(site_of(module, x), name, x)
    scheme = Scheme(PRECISIONS[name].compute, axis=1)
    convolve = nn.functional.conv1d if x.ndim == 3 else nn.functional.conv2d
    weight, bias = fake_quantize(module.weight, scheme), module.bias.detach().bfloat16().float()
    settings = (module.stride, module.padding, module.dilation, module.groups)
    assert torch.equal(out, convolve(fake_quantize(x, scheme), weight, bias, *settings).bfloat16())


def test_groups_that_would_share_a_block_are_refused() -> None:
    x = torch.randn(2, 32, 6, 5)
    site = site_of(nn.Conv2d(32, 32, 3, groups=2), x)
    assert choose(site, "nvfp4", CPU).kernel is not None, "16 channels a group are one block each"
    refused = choose(site, "mxfp4", CPU)
    assert refused.kernel is None
    assert "blocks of 32 channels do not fit the groups of 16" in refused.reason


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", [CPU, B200], ids=lambda d: d.type)
def test_is_never_called_a_real_kernel(name: str, device: Device) -> None:
    option = choose(site_of(nn.Linear(64, 32), torch.randn(20, 64)), name, device).option
    assert (option.possible, option.emulated) == (True, True)
    assert f"no {name} kernel for linear" in option.reason


@pytest.mark.parametrize("name", NAMES)
def test_a_session_takes_them(name: str, session: px.Session) -> None:
    session.set(["kind:linear", "kind:attention"], name)
    quality = session.evaluate()
    assert quality.sqnr_db > (8 if "4" in name else 20)  # 4-bit operands: 16 dB each, through five products in a row
    table = session.ops[session.ops.kind.isin(["linear", "attention"])]
    assert (table.precision == name).all()
    assert table.emulated.all()


def test_digits_vit_evaluates(tmp_path: Path) -> None:
    session = px.open("digits-vit", device="cpu", store=tmp_path / "trials.sqlite")
    linears = session.ops.index[session.ops.kind == "linear"]
    recipe = session.set("kind:linear", "mxfp4")
    assert recipe.counts["mxfp4"] == len(linears) > 10
    quality = session.evaluate()
    assert quality.kl > 0
    assert quality.agreement > 0.97  # a wrong scale or axis leaves about 0.1
    table = session.ops.loc[linears]
    assert table.emulated.all()
    assert table.refusal.str.contains("no mxfp4 kernel for linear").all()
