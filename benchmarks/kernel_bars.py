"""The bars of the kernels, worked out from the lines that were measured: each from pairs that were timed alone."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import geometric_mean
from typing import Any

from benchmarks.candidates import EAGER
from benchmarks.cases import LARGE, ROW
from benchmarks.duels import BEST_FP32, RIVAL
from benchmarks.rivals import CHANNELS_LAST

Line = dict[str, Any]
EQUAL = 1.05
"""A kernel may be slower than the best rival by this much."""


def bars(lines: list[Line]) -> Iterator[dict[str, Any]]:
    """Yield name, value, unit, bar in words, whether it is met, and what explains it, for all that was measured."""
    pairs = [line for line in lines if "against" in line]
    large = [line for line in pairs if line["shape"] == LARGE.shape.label]
    row = [line for line in pairs if line["shape"] == ROW.shape.label]
    rates = _rates(lines)
    yield from _speed("INT8 dynamic linear over eager", large, "int8", EAGER, 5.0, rates)
    yield from _speed("INT8 dynamic linear over best FP32", large, "int8", BEST_FP32, 2.5, rates)
    yield from _speed("BF16 linear over eager", large, "bf16", EAGER, 4.0, rates)
    yield from _speed("best FP32 linear over eager", large, "fp32", EAGER, 2.0, rates)
    yield from _speed("W4 linear over eager", row, "w4", EAGER, 6.0, rates)
    yield from _rivals([line for line in pairs if line["about"] == RIVAL])
    yield from _convolutions([line for line in pairs if line["about"] == CHANNELS_LAST])


def _speed(
    name: str, pairs: list[Line], precision: str, about: str, bar: float, rates: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield how many times as fast a precision's kernel is as what it is held against."""
    for line in pairs:
        if line["precision"] == precision and line["about"] == about:
            yield {
                "name": f"{name}, {line['shape']}", "value": line["value"], "unit": "x", "bar": f">= {bar:g}",
                "met": line["value"] >= bar, "interval_95": line["interval_95"], "kernel": line["kernel"], **rates,
            }  # fmt: skip


def _rates(lines: list[Line]) -> dict[str, Any]:
    """Return the highest rate seen of each kind of product, in 10^9 operations a second: what limits the ratios."""
    found: dict[str, float] = {}
    for line in lines:
        if line.get("kind") == "linear" and "gops" in line and line["precision"] in ("fp32", "bf16", "int8"):
            found[line["precision"]] = max(found.get(line["precision"], 0.0), line["gops"])
    return {"highest_gops": found}


def _rivals(pairs: list[Line]) -> Iterator[dict[str, Any]]:
    """Yield how the table's INT8 linear compares with the best of torch's and torchao's, at the worst shape."""
    if not pairs:
        return
    shares = {line["shape"]: 1 / line["value"] for line in pairs}
    worst = min(pairs, key=lambda line: float(line["value"]))
    value = shares[worst["shape"]]
    low, high = worst["interval_95"]
    yield {
        "name": "INT8 dynamic linear, time over the best rival's, worst of all shapes", "value": value, "unit": "x",
        "bar": f"<= {EQUAL}", "met": value <= EQUAL, "interval_95": [1 / high, 1 / low if low else float("inf")],
        "shape": worst["shape"], "rival": worst["against"], "shapes": len(shares),
        "slower": {shape: round(share, 3) for shape, share in shares.items() if share > EQUAL},
        "geometric_mean": round(geometric_mean(shares.values()), 4),
    }  # fmt: skip


def _convolutions(pairs: list[Line]) -> Iterator[dict[str, Any]]:
    """Yield the speed-up of static INT8 over FP32 in channels_last at the worst of ResNet-50's 3x3 convolutions."""
    if not pairs:
        return
    worst = min(pairs, key=lambda line: float(line["value"]))
    yield {
        "name": "INT8 static 3x3 convolution over FP32 channels_last, worst of ResNet-50's", "value": worst["value"],
        "unit": "x", "bar": ">= 3", "met": worst["value"] >= 3.0, "interval_95": worst["interval_95"],
        "shape": worst["shape"], "each": {line["shape"]: round(line["value"], 3) for line in pairs},
        "geometric_mean": round(geometric_mean(line["value"] for line in pairs), 4),
    }  # fmt: skip
