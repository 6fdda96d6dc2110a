"""Which precision a named recipe gives the ops of convolutional networks and of transformers."""

from __future__ import annotations

from typing import Any

from explorer.kernels import Option
from explorer.recipe import build_presets


def test_static_int8_reaches_from_convolution_to_convolution(bench: Any) -> None:
    """Sums and pools pass codes on in a convolutional network; a transformer's residual stream stays in FP32."""
    static = build_presets(bench.graph, bench.planner.option)["int8-static"].precisions
    coded = {op for op, precision in static.items() if precision == "int8_static"}
    if any(op.kind == "conv2d" for op in bench.graph.rows):
        assert coded == {"stem/conv2d", "conv/conv2d", "add", "fc/linear"}
    else:
        linears = {op.id for op in bench.graph.rows if op.kind == "linear"}
        assert coded == linears != set()


def test_a_preset_does_not_mix_real_and_emulated_kernels(vit_bench: Any) -> None:
    ops = [op.id for op in vit_bench.graph.rows]
    first = next(op.id for op in vit_bench.graph.rows if op.role == "compute")

    def option(op: str, precision: str) -> Option:
        real = precision in ("fp32", "bf16") or (op == first and precision == "w16")
        return Option(precision, True, not real, "kernel", "" if real else "none here")

    presets = build_presets(vit_bench.graph, option)
    assert [op for op in ops if presets["w16"][op] == "w16"] == [first]
    compute = {op.id for op in vit_bench.graph.rows if op.role == "compute"}
    assert {op for op in ops if presets["w4-g128"][op] == "w4_g128"} == compute, "emulated throughout"
