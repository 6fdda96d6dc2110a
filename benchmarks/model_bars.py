"""The bars of whole models, worked out from the lines that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Line = dict[str, Any]
OPENVINO = "OpenVINO INT8 (NNCF)"
TRANSFORMERS = ("ViT-B/16", "BERT-base")
INT8 = ("explorer int8-dynamic", "explorer int8-static")


def bars(lines: list[Line]) -> Iterator[dict[str, Any]]:
    """Yield name, value, unit, bar in words and whether it is met, for all that was measured."""
    times = {(line["model"], line["way"]): line for line in lines if line.get("way") and line["value"] is not None}
    for model in TRANSFORMERS:
        for peer in ("ONNX Runtime INT8 dynamic", "torch quantize_dynamic"):
            yield from _faster(times, model, INT8, peer, 1.0)
    yield from _faster(times, "ResNet-50", INT8[1:], "ONNX Runtime INT8 static", 1.5)
    for model in dict.fromkeys(model for model, _ in times):
        yield from _near(times, model)


def _faster(
    times: dict[tuple[str, str], Line], model: str, ours: tuple[str, ...], peer: str, bar: float
) -> Iterator[dict[str, Any]]:
    """Yield how many times as fast as a peer the fastest of our recipes ``ours`` is."""
    mine = _fastest([times[model, way] for way in ours if (model, way) in times])
    theirs = times.get((model, peer))
    if mine and theirs:
        value = theirs["value"] / mine["value"]
        yield _bar(f"{model}: INT8 over {peer}", value, f">= {bar:g}", value >= bar, mine, theirs)


def _near(times: dict[tuple[str, str], Line], model: str) -> Iterator[dict[str, Any]]:
    """Yield the time of our fastest recipe over that of OpenVINO's INT8."""
    theirs = times.get((model, OPENVINO))
    ours = [line for (of, way), line in times.items() if of == model and way.startswith("explorer ")]
    mine = _fastest(ours)
    if mine and theirs:
        value = mine["value"] / theirs["value"]
        yield _bar(f"{model}: best recipe's time over {OPENVINO}'s", value, "<= 1.3", value <= 1.3, mine, theirs)


def _fastest(lines: list[Line]) -> Line | None:
    return min(lines, key=lambda line: float(line["value"]), default=None)


def _bar(name: str, value: float, bar: str, met: bool, mine: Line, theirs: Line) -> dict[str, Any]:
    return {
        "name": name, "value": value, "unit": "x", "bar": bar, "met": met, "recipe": mine["way"],
        "ms": mine["value"], "sqnr_db": mine["sqnr_db"], "peer_ms": theirs["value"], "peer_sqnr_db": theirs["sqnr_db"],
        "quick": mine.get("quick", False),
    }  # fmt: skip
