"""Calibration: the static scales of a graph's values, found from data that runs through it once in FP32."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from explorer.errors import Cancelled, PrecisionError
from explorer.graph import ModelGraph, Op, interpret
from explorer.kernels import CARRIERS, StaticScale
from explorer.ranges import Calibrator, find_calibrator

METHOD = "percentile"


@dataclass(frozen=True)
class Calibration:
    """The scale of every value that may flow in static codes, found by ``method`` from ``n`` samples."""

    scales: Mapping[str, StaticScale]
    method: str
    n: int

    @property
    def fingerprint(self) -> str:
        """Equal for equal scales: what makes two measurements under static scales comparable."""
        digest = hashlib.blake2b(digest_size=8)
        for name, fixed in sorted(self.scales.items()):
            digest.update(f"{name} {fixed.scale!r} {fixed.zero_point};".encode())
        return digest.hexdigest()


def calibrate(
    graph: ModelGraph,
    values: Iterable[str],
    batches: Iterable[tuple[tuple[Any, ...], int]],
    method: str = METHOD,
    cancel: Any = None,
) -> Calibration:
    """Return the scales of ``values`` (inputs of the graph or outputs of ops) from ``batches``.

    Each batch is the graph's inputs and how many of its samples count; the rest fills the batch up. ``method`` is a
    calibrator of :func:`explorer.ranges.find_calibrator`. Raises :class:`PrecisionError` where there is none so called,
    and where a value was never finite.
    """
    scheme = CARRIERS["uint8:static"].scheme
    assert scheme is not None
    scheme = replace(scheme, calibrator=method)  # type: ignore[arg-type]  # checked by the scheme itself
    watching = {name: find_calibrator(scheme) for name in values}
    seen = 0
    for inputs, count in batches:
        if cancel is not None and cancel.is_set():
            raise Cancelled("calibrate a recipe")
        _watch(graph, inputs, count, watching)
        seen += count
    return Calibration({name: _read(name, calibrator) for name, calibrator in watching.items()}, method, seen)


def _watch(graph: ModelGraph, inputs: tuple[Any, ...], count: int, watching: Mapping[str, Calibrator]) -> None:
    """Show each calibrator its value's first ``count`` samples; a value without a batch dimension is shown whole."""
    size = len(inputs[0])

    def show(name: str, value: Any) -> None:
        if name in watching and isinstance(value, Tensor):
            batched = value.dim() > 0 and len(value) == size
            watching[name].see((value[:count] if batched else value).float())

    def observe(op: Op, output: Any) -> None:
        show(op.name, output)

    for name, value in zip(graph.inputs, inputs, strict=True):
        show(name, value)
    interpret(graph, inputs, observe)


def _read(name: str, calibrator: Calibrator) -> StaticScale:
    try:
        scale, zero_point = calibrator.scale()
    except PrecisionError as error:
        raise PrecisionError(f"calibrate {name!r}", error.found, "data on which this value is finite") from error
    return StaticScale(float(scale), 0 if zero_point is None else round(float(zero_point)))
