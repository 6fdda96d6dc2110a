"""The section on GPUs of the page of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.tables import number, table, times

Line = dict[str, Any]
PLAN = "plan"
"""The part of lines that tell of a whole plan, not of one kernel."""


def gpu_section(lines: list[Line]) -> str:
    """Return a table of the newest line of every case on every GPU, or that there is none."""
    if not lines:
        return "not yet run on a GPU\n"
    devices = dict.fromkeys(line["device"]["name"] for line in lines)
    return "\n".join(part for device in devices for part in _device(device, lines))


def _device(device: str, lines: list[Line]) -> Iterator[str]:
    newest = {(line["part"], line["name"]): line for line in lines if line["device"]["name"] == device}
    kernels = [line for line in newest.values() if line["part"] != PLAN]
    plans = [line for line in newest.values() if line["part"] == PLAN]
    yield f"### {device}\n"
    if kernels:
        first = kernels[0]
        yield (
            f"torch {first['device']['torch_version']}, Triton {first['triton']}; a copy moves "
            f"{number(first['copy_gb_per_s'])} GB/s, a BF16 product reaches {number(first['bf16_tflops'])} TFLOP/s. "
            f"Measured {first['when'][:10]}, caches emptied before each call.\n"
        )
        yield table(("part", "case", "µs", "GB/s", "of a copy", "TFLOP/s", "others, µs", "bar", ""), map(_row, kernels))
    if plans:
        yield "Whole plans, warm:\n"
        yield table(("plan", "µs", "over eager", "over best FP32", "sum of its kernels, µs", ""), map(_plan, plans))


def _plan(line: Line) -> tuple[str, ...]:
    if "us" not in line:
        return line["name"], "", "", "", "", f"**wrong: {line['wrong']}**" if "wrong" in line else line["absent"]
    over_eager, over_fp32 = (times(line[key][0]) for key in ("over_eager", "over_fp32"))
    return line["name"], number(line["us"]), over_eager, over_fp32, number(line["sum_us"]), ""


def _row(line: Line) -> tuple[str, ...]:
    if "wrong" in line:
        return line["part"], line["name"], "", "", "", "", "", "", f"**wrong: {line['wrong']}**"
    others = ", ".join(
        f"{name} {us if isinstance(us, str) else number(us)}" for name, us in line.get("rivals_us", {}).items()
    )
    met = "" if "met" not in line else "met" if line["met"] else "**missed**"
    reached = f" ({number(line['speedup'])}×)" if "speedup" in line else ""
    return (
        line["part"], line["name"], number(line["us"]), number(line["gb_per_s"]), f"{line['of_copy']:.0%}",
        number(line.get("tflops")), others, line.get("bar", "") + reached, met,
    )  # fmt: skip
