"""The section on whole models of the page of benchmarks: a table and a chart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.drawing import Bar, bar_chart
from benchmarks.tables import number, table, times

Line = dict[str, Any]
EAGER = "torch eager"
HEADS = ("", "ms", "over eager", "95 % interval", "over best FP32", "SQNR, dB")


def model_tables(ending: str, lines: list[Line]) -> Iterator[str]:
    """Yield the chart and a table for each model, fastest first; absent peers are named."""
    yield f"Batch 8, random weights; *explorer* is ours, named by its recipe.\n\n![Whole models]({picture(ending)})\n"
    for model, ways in _models(lines).items():
        done = sorted((line for line in ways if line["value"] is not None), key=lambda line: float(line["value"]))
        yield f"**{model}**\n"
        yield table(HEADS, [_row(line) for line in done])
        if absent := [f"{line['way']} ({line['absent']})" for line in ways if line["value"] is None]:
            yield f"Absent: {', '.join(absent)}.\n"


def model_pictures(ending: str, lines: list[Line]) -> dict[str, str]:
    """Return the chart of speed-ups over eager, by file name; nothing where nothing was measured."""
    groups = {
        model: [
            Bar(line["way"], line["over_eager"], line["way"].startswith("explorer"), _quality(line))
            for line in sorted(ways, key=lambda line: -float(line.get("over_eager") or 0))
            if line["value"] is not None and line["way"] != EAGER
        ]
        for model, ways in _models(lines).items()
    }
    title = "Whole models, batch 8: times as fast as torch eager FP32"
    axis = "speed-up over eager; behind it the SQNR of the outputs"
    return {picture(ending).partition("/")[2]: bar_chart(title, axis, groups)} if any(groups.values()) else {}


def picture(ending: str) -> str:
    return f"images/benchmarks-models{ending}.svg"


def _models(lines: list[Line]) -> dict[str, list[Line]]:
    measured = [line for line in lines if "way" in line]
    return {
        model: [line for line in measured if line["model"] == model]
        for model in dict.fromkeys(line["model"] for line in measured)
    }


def _row(line: Line) -> tuple[str, ...]:
    interval = " to ".join(number(x) for x in line["over_eager_95"])
    sqnr = "∞" if line["sqnr_db"] is None else number(line["sqnr_db"])
    return line["way"], number(line["value"]), times(line["over_eager"]), interval, times(line["over_fp32"]), sqnr


def _quality(line: Line) -> str:
    return "" if line["sqnr_db"] is None else f"· {line['sqnr_db']:.0f} dB"
