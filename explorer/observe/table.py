"""Ranges as a table for people: one row per tensor at each op."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from explorer.formats import Scheme, find_format
from explorer.formats.spec import IntSpec
from explorer.graph import ModelGraph
from explorer.observe.range_set import WEIGHT, Ranges, RangeSet, ports
from explorer.ranges import Forecast, TensorRange, forecast_each

FORMATS = ("bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "int4")
PERCENTILES = {"p0.1": 0.001, "p1": 0.01, "p50": 0.5, "p99": 0.99, "p99.9": 0.999}
COLUMNS = (
    "op", "port", "layer", "slice", "elements", "min", "max", "absmax", "mean", "std", *PERCENTILES, "zeros", "nan",
    "inf", "outlier_ratio",
)  # fmt: skip


def range_table(graph: ModelGraph, found: RangeSet, formats: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per floating tensor at each op that has a precision, in execution order, by port and slice.

    port: ``output``, ``input:<k>`` or ``weight:<name>``; a tensor between two ops is a row of both. slice: "" for all
    the data. Percentiles are right to one bin, an eighth of an octave: 9 % of the value at most. zeros, nan and inf are
    numbers of elements. For each format (default :data:`FORMATS`; empty for none), ``saturated``, ``flushed`` and
    ``subnormal`` are shares of the elements and ``sqnr_db`` is expected, as ``forecast`` has them. Formats of 16 bits
    and more are plain casts; others have one scale for the tensor, from its extremes, block formats one per block.
    """
    chosen = FORMATS if formats is None else tuple(formats)
    describe = _Describer(chosen)
    rows = []
    for op in graph.rows:
        for port, name in ports(graph, op.id).items():
            for label, ranges in _tables(found, port):
                if name in ranges:
                    rows.append((op.id, port, op.layer, label, *describe(ranges[name])))
    forecasts = [f"{name}.{field}" for name in chosen for field in ("saturated", "flushed", "subnormal", "sqnr_db")]
    return pd.DataFrame(rows, columns=[*COLUMNS, *forecasts])


def kind_of(name: str) -> str | Scheme:
    """What the table's columns of a format foretell: a cast, or a scheme of one scale for the tensor."""
    spec = find_format(name)
    if spec.bits >= 16:
        return name
    return Scheme(name, symmetric=not (isinstance(spec, IntSpec) and spec.symmetric_limit is None))


def _tables(found: RangeSet, port: str) -> Iterable[tuple[str, Ranges]]:
    """Slice -> ranges by name; weights have none."""
    if port.startswith(WEIGHT):
        return [("", found.weights)]
    return [("", found.values), *found.slices.items()]


class _Describer:
    """The columns of a range, each range once however often it is in the table."""

    def __init__(self, formats: tuple[str, ...]) -> None:
        self._kinds = [kind_of(name) for name in formats]
        self._found: dict[int, tuple[float, ...]] = {}

    def __call__(self, found: TensorRange) -> tuple[float, ...]:
        if id(found) not in self._found:
            self._found[id(found)] = self._describe(found)
        return self._found[id(found)]

    def _describe(self, found: TensorRange) -> tuple[float, ...]:
        each = found.histogram
        quantiles = (each.quantile(q) for q in PERCENTILES.values())
        numbers = (each.count, each.min, each.max, each.absmax, each.mean, each.std, *quantiles)
        expected = map(_numbers, forecast_each(found, self._kinds) if self._kinds else ())
        joined = (number for numbers in expected for number in numbers)
        return (*numbers, each.zeros, each.nan, each.inf, found.outlier_ratio, *joined)


def _numbers(expected: Forecast) -> tuple[float, ...]:
    return expected.saturated, expected.flushed, expected.subnormal, expected.sqnr_db
