"""The section on kernels of the page of benchmarks: a table and a chart for linear layers, and for convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.drawing import dot_chart
from benchmarks.rivals import CHANNELS_LAST
from benchmarks.tables import number, table, times

Line = dict[str, Any]
LINEAR = {"best FP32": "fp32", "BF16": "bf16", "INT8 dynamic": "int8", "INT8 static": "int8_static", "W4": "w4"}
RIVAL = "best other INT8"
CONVOLUTION = {"best FP32": "fp32", "BF16": "bf16", "INT8 static and casts": "int8_static"}
LAST, INSIDE = "FP32 channels_last", "INT8 static on codes"
ORDER = ("best FP32", LAST, "BF16", "INT8 dynamic", "INT8 static", "INT8 static and casts", INSIDE, "W4", RIVAL)
TITLES = {"linear": "Linear layers", "conv2d": "Convolutions of ResNet-50"}


def kernel_tables(ending: str, lines: list[Line]) -> Iterator[str]:
    """Yield for each kind its chart and a table with one row for each shape."""
    for kind, shapes in _kinds(lines).items():
        rows = {shape: _speedups(kind, found) for shape, found in shapes.items()}
        series = _series(rows)
        yield f"**{TITLES[kind]}**: times as fast as eager FP32\n\n![{TITLES[kind]}]({picture(ending, kind)})\n"
        yield table(
            ("layer", "shape", "of the model", "eager, ms", "eager, GOP/s", *series),
            [_row(found, rows[shape], series) for shape, found in shapes.items()],
        )
    yield (
        "Shapes of linear layers are M x K x N. *On codes*: UINT8 codes in and out, as between convolutions. *Other "
        "INT8*: the fastest of torch's operators and torchao's, dynamic for linear layers, on codes for convolutions. "
        f"{_choices(lines)}\n"
    )


def kernel_pictures(ending: str, lines: list[Line]) -> dict[str, str]:
    """Return the charts by file name."""
    found = {}
    for kind, shapes in _kinds(lines).items():
        rows = {_label(lines[0]): _speedups(kind, lines) for lines in shapes.values()}
        title = f"{TITLES[kind]}: times as fast as torch eager FP32"
        name = picture(ending, kind).partition("/")[2]
        found[name] = dot_chart(title, "speed-up over eager, logarithmic", rows, _series(rows))
    return found


def picture(ending: str, kind: str) -> str:
    return f"images/benchmarks-{kind}{ending}.svg"


def _series(rows: dict[str, dict[str, float]]) -> list[str]:
    """What at least one shape has, in the order of columns."""
    return [name for name in ORDER if any(name in row for row in rows.values())]


def _kinds(lines: list[Line]) -> dict[str, dict[str, list[Line]]]:
    """Kind -> shape -> its lines."""
    found: dict[str, dict[str, list[Line]]] = {}
    for line in lines:
        if "case" in line:
            found.setdefault(line["kind"], {}).setdefault(line["shape"], []).append(line)
    return found


def _speedups(kind: str, lines: list[Line]) -> dict[str, float]:
    """What a chart shows of one shape: the kernel that the table takes for each precision, and the best rival."""
    columns = LINEAR if kind == "linear" else CONVOLUTION
    found: dict[str, float] = {}
    for name, precision in columns.items():
        for line in lines:
            wanted = line["best_fp32"] if precision == "fp32" else line["chosen"] and line["role"] == "kernel"
            if line["precision"] == precision and wanted:
                found[name] = line["over_eager"]
    for line in lines:
        if _is_inside(line):
            found[INSIDE] = line["over_eager"]
        if line["kernel"] == CHANNELS_LAST:
            found[LAST] = line["over_eager"]
        if line["role"] == "rival" and line["precision"].startswith("int8"):
            found[RIVAL] = max(line["over_eager"], found.get(RIVAL, 0.0))
    return found


def _is_inside(line: Line) -> bool:
    return line["role"] == "inside" and line["precision"] == "int8_static" and bool(line["chosen"])


def _row(lines: list[Line], speedups: dict[str, float], series: list[str]) -> tuple[str, ...]:
    eager = next(line for line in lines if line["role"] == "eager")
    return (
        eager["case"].partition(",")[0], eager["shape"], f"{eager['layers']} layers" if eager["layers"] > 1 else "",
        number(eager["value"]), number(eager["gops"]), *(times(speedups.get(name)) for name in series),
    )  # fmt: skip


def _label(line: Line) -> str:
    """A convolution is known by its shape; a linear layer by its model's first word, the layer and the shape."""
    if line["kind"] == "conv2d":
        return str(line["shape"])
    layer = line["case"].removeprefix(f"{line['model']} ").partition(",")[0]
    return f"{line['model'].partition('-')[0]} {layer} {line['shape']}"


def _choices(lines: list[Line]) -> str:
    """Which kernels the table takes."""
    taken = {line["kernel"] for line in lines if line.get("chosen") and line["role"] == "kernel"}
    return f"The table of kernels takes here: {', '.join(sorted(taken))}."
