"""The bars of the kernels, worked out from the lines that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import geometric_mean
from typing import Any

from benchmarks.cases import LARGE, ROW
from benchmarks.rivals import CHANNELS_LAST

Line = dict[str, Any]
EQUAL = 1.05
"""A kernel may be slower than the best rival by this much."""


def bars(lines: list[Line]) -> Iterator[dict[str, Any]]:
    """Yield name, value, unit, bar in words, whether it is met, and what explains it, for all that was measured."""
    lines = [line for line in lines if "case" in line]
    large = [line for line in lines if line.get("shape") == LARGE.shape.label]
    row = [line for line in lines if line.get("shape") == ROW.shape.label]
    rates = _rates(lines)
    yield from _speed("INT8 dynamic linear over eager", large, "int8", "over_eager", 5.0, rates)
    yield from _speed("INT8 dynamic linear over best FP32", large, "int8", "over_fp32", 2.5, rates)
    yield from _speed("BF16 linear over eager", large, "bf16", "over_eager", 4.0, rates)
    yield from _speed("best FP32 linear over eager", large, "fp32", "over_eager", 2.0, rates)
    yield from _speed("W4 linear over eager", row, "w4", "over_eager", 6.0, rates)
    yield from _rivals(lines)
    yield from _convolutions(lines)


def _speed(
    name: str, lines: list[Line], precision: str, over: str, bar: float, rates: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the bar of a precision's kernel: the one that the table takes, or for FP32 the fastest."""
    wanted = "best_fp32" if precision == "fp32" else "chosen"
    for line in lines:
        if line["precision"] == precision and line["role"] in ("kernel", "eager") and line[wanted]:
            yield {
                "name": f"{name}, {line['shape']}", "value": line[over], "unit": "x", "bar": f">= {bar:g}",
                "met": line[over] >= bar, "interval_95": line[f"{over}_95"], "kernel": line["kernel"],
                "gops": line["gops"], **rates,
            }  # fmt: skip


def _rates(lines: list[Line]) -> dict[str, Any]:
    """Return the highest rate seen of each kind of product, in 10^9 operations a second: what limits the ratios."""
    found: dict[str, float] = {}
    for line in lines:
        if line.get("kind") == "linear" and line["precision"] in ("fp32", "bf16", "int8"):
            found[line["precision"]] = max(found.get(line["precision"], 0.0), line["gops"])
    return {"highest_gops": found}


def _rivals(lines: list[Line]) -> Iterator[dict[str, Any]]:
    """Yield how the table's INT8 linear compares with the best of torch's and torchao's, at the worst shape."""
    shares: dict[str, tuple[float, str]] = {}
    for shape, (ours, rivals) in _sides(lines).items():
        best = min(rivals, key=lambda line: float(line["value"]))
        shares[shape] = ours["value"] / best["value"], best["kernel"]
    if shares:
        worst = max(shares, key=lambda shape: shares[shape][0])
        value, rival = shares[worst]
        slower = {shape: round(share, 3) for shape, (share, _) in shares.items() if share > EQUAL}
        yield {
            "name": "INT8 dynamic linear, time over the best rival's, worst of all shapes", "value": value, "unit": "x",
            "bar": f"<= {EQUAL}", "met": value <= EQUAL, "shape": worst, "rival": rival, "shapes": len(shares),
            "slower": slower, "geometric_mean": round(geometric_mean(share for share, _ in shares.values()), 4),
        }  # fmt: skip


def _sides(lines: list[Line]) -> dict[str, tuple[Line, list[Line]]]:
    """Shape -> the table's INT8 linear and its rivals."""
    sides: dict[str, tuple[Line, list[Line]]] = {}
    linear = [line for line in lines if line.get("kind") == "linear" and line["precision"] == "int8"]
    for ours in linear:
        if ours["role"] == "kernel" and ours["chosen"]:
            rivals = [line for line in linear if line["role"] == "rival" and line["shape"] == ours["shape"]]
            if rivals:
                sides[ours["shape"]] = ours, rivals
    return sides


def _convolutions(lines: list[Line]) -> Iterator[dict[str, Any]]:
    """Yield the speed-up of static INT8 over FP32 in channels_last at the worst of ResNet-50's 3x3 convolutions."""
    found: dict[str, float] = {}
    for line in lines:
        if line["role"] == "inside" and line["precision"] == "int8_static" and line["chosen"]:
            base = [fp32 for fp32 in lines if fp32["kernel"] == CHANNELS_LAST and fp32["shape"] == line["shape"]]
            if base and line["shape"].startswith("3x3"):
                found[line["shape"]] = base[0]["value"] / line["value"]
    if found:
        worst = min(found, key=lambda shape: found[shape])
        yield {
            "name": "INT8 static 3x3 convolution over FP32 channels_last, worst of ResNet-50's", "value": found[worst],
            "unit": "x", "bar": ">= 3", "met": found[worst] >= 3.0, "shape": worst,
            "each": {shape: round(value, 3) for shape, value in found.items()},
            "geometric_mean": round(geometric_mean(found.values()), 4),
        }  # fmt: skip
