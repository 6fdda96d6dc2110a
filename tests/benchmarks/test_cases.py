"""The cases of the benchmarks: the shapes of named models, and every real kernel right at small ones of them."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from benchmarks.candidates import converter, real_kernels, site_of
from benchmarks.cases import LARGE, ROW, Case, Filter, Matrix, cases, distinct, llama_8b, resnet50, vit_base
from explorer.kernels import CARRIERS, KERNELS, Kernel, Site
from explorer.measure import find_device

CPU = find_device("cpu")
STEPS = {"bf16": 2 * 2**-7, "fp16": 2 * 2**-10}
"""What sums in another order, rounded before the bias too, may differ by, of the largest output."""
SMALL = tuple({case.shrunk().shape: case.shrunk() for case in cases()}.values())


@cache
def _site(case: Case) -> tuple[Site, Tensor]:
    module, x = case.make()
    return site_of(module, x), x


def _run(kernel: Kernel, site: Site, x: Tensor) -> Tensor:
    out: Tensor = kernel.build(site).run(converter(kernel, x)())
    return out


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.shape.label.replace(" ", "_"))
def test_every_real_kernel_equals_its_twin_at_the_shapes_of_models(case: Case) -> None:
    site, x = _site(case)
    for kernel in real_kernels(site, CPU):
        got, wanted = _run(kernel, site, x), _wanted(kernel, site, x)
        assert got.shape == wanted.shape, kernel.name
        if CARRIERS[kernel.takes].scheme is not None and kernel.gives == "fp32":
            assert torch.equal(got, wanted), f"{kernel.name} sums integers"
        else:
            bound = STEPS.get(kernel.gives, 2 * 2**-10 if kernel.precision == "w16" else 1e-5)
            error = (got.float() - wanted.float()).abs().max()
            assert error <= bound * wanted.float().abs().max(), f"{kernel.name} differs by {error}"


def _wanted(kernel: Kernel, site: Site, x: Tensor) -> Tensor:
    """What the emulated twin gives, or for a native format the product of the rounded operands in FP64."""
    twins = [k for k in KERNELS if k.precision == kernel.precision and k.emulated and k.takes == kernel.takes]
    for twin in twins:
        if twin.serves(site.op.kind) and not twin.refuse(site, CPU):
            return _run(twin, site, x)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[kernel.precision]
    product = site.product
    assert product is not None
    weight = product.weight.to(dtype).double()
    bias = None if product.bias is None else product.bias.to(dtype).double()
    rounded = x.to(dtype).double()
    if site.op.kind == "linear":
        return torch.nn.functional.linear(rounded, weight, bias).to(dtype)
    return torch.nn.functional.conv2d(rounded, weight, bias, *product.settings).to(dtype)


def test_no_real_kernel_of_a_product_is_left_out() -> None:
    ran = {kernel.name for case in SMALL for kernel in real_kernels(_site(case)[0], CPU)}
    here = {
        kernel.name
        for kernel in KERNELS
        for kind in ("linear", "conv2d")
        if not kernel.emulated and kernel.device in ("cpu", "any") and kernel.serves(kind)
    }
    refused = {name for name in here - ran if "slow" in name or ("VNNI" in name and "AVX512-VNNI" not in CPU.features)}
    assert here - ran == refused


def test_the_shapes_are_those_of_the_models() -> None:
    """Multiplications an image and weights, as the papers of the architectures tell them."""
    resnet = list(resnet50(batch=1))
    assert sum(case.shape.operations for case in resnet) / 2e9 == pytest.approx(4.09, abs=0.01)
    vit = sum(case.shape.operations * case.layers for case in vit_base(batch=1)) / 2e9
    assert vit == pytest.approx(16.86, abs=0.05), "17.5 with attention's own products, which are no layers"
    weights = sum(case.layers * case.shape.depth * case.shape.width for case in llama_8b(1, "") if _is_matrix(case))
    assert weights / 1e9 == pytest.approx(6.98, abs=0.01), "8.03 with both embeddings of 128256 tokens"


def _is_matrix(case: Case) -> bool:
    assert isinstance(case.shape, Matrix)
    return True


def test_every_shape_is_there_once() -> None:
    found = cases()
    assert len({case.shape for case in found}) == len(found)
    assert {LARGE, ROW} <= set(found)
    middle = Filter(8, 64, 56, 64, side=3, padding=1)
    assert {case.shape: case.layers for case in distinct(resnet50())}[middle] == 3


def test_cases_are_drawn_alike_each_time() -> None:
    (module, x), (again, y) = SMALL[0].make(), SMALL[0].make()
    assert torch.equal(x, y)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))
