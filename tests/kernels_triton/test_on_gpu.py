"""Whole sessions on a GPU: what is executed, what is lowered and what a CUDA graph replays are the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import explorer as px
from benchmarks.gpu_plans import Network, networks, open_network, time_one
from explorer.formats import Scheme, quantize

pytest.importorskip("triton", reason="our GPU kernels need Triton")

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="these run on a GPU")
PRECISIONS = (
    "fp32",
    "tf32",
    "bf16",
    "fp16",
    "int8",
    "int8_static",
    "fp8",
    "fp8_block",
    "fp8_tensor",
    "w8",
    "w4",
    "w4_hqq",
)


@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_lowered_plans_equal_executed_ones(precision: str, tmp_path: Path) -> None:
    network = next(networks(small=True))
    session = open_network(network, "cuda", tmp_path)
    recipe = session.set("kind:linear", precision)
    quality = session.evaluate(recipe)
    assert quality.n == len(network.samples)
    latency = session.latency(recipe, engine="cudagraph", seconds=0.2)
    assert latency.candidate_ms > 0


@needs_gpu
@pytest.mark.parametrize("name", ["int8", "fp8_e4m3"])
def test_plain_torch_finds_the_same_scales_as_on_a_cpu(name: str) -> None:
    """A GPU divides by a Python number by multiplying with its inverse, which would round twice."""
    x = torch.randn(300, 70) * torch.logspace(-20, 20, 300)[:, None]
    got, wanted = quantize(x.cuda(), Scheme(name, "token")), quantize(x, Scheme(name, "token"))
    assert torch.equal(got.scale.cpu(), wanted.scale)
    assert torch.equal(got.codes.cpu().float(), wanted.codes.float())


def test_a_plan_is_timed_or_says_why_not(tmp_path: Path) -> None:
    """The benchmark's own function, at small sizes."""
    network = Network("tiny", nn.Sequential(nn.Linear(32, 64), nn.Linear(64, 16)).eval(), torch.randn(4, 32), 2)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    session = open_network(network, device, tmp_path)
    line = time_one(session, network, "bf16", "eager", seconds=0.02)
    assert "wrong" not in line and line["us"] > 0, line
    line = time_one(session, network, "bf16", "cudagraph", seconds=0.02)
    assert "wrong" not in line, line
    assert device == "cuda" or "this device is a CPU" in line["absent"]


def test_engines_are_the_ones_there_are() -> None:
    from benchmarks.gpu_plans import ENGINES
    from explorer.run.engines import ENGINES as KNOWN

    assert set(ENGINES) == set(KNOWN) and px.PRECISIONS.keys() >= set(PRECISIONS)
