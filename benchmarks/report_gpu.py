"""The section on GPUs of the page of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.tables import number, table

Line = dict[str, Any]


def gpu_section(lines: list[Line]) -> str:
    """Return a table of the newest line of every case on every GPU, or that there is none."""
    if not lines:
        return "not yet run on a GPU\n"
    devices = dict.fromkeys(line["device"]["name"] for line in lines)
    return "\n".join(part for device in devices for part in _device(device, lines))


def _device(device: str, lines: list[Line]) -> Iterator[str]:
    newest = {(line["part"], line["name"]): line for line in lines if line["device"]["name"] == device}
    first = next(iter(newest.values()))
    facts = (
        f"### {device}\n\ntorch {first['device']['torch_version']}, Triton {first['triton']}; a copy moves "
        f"{number(first['copy_gb_per_s'])} GB/s, a BF16 product reaches {number(first['bf16_tflops'])} TFLOP/s. "
        f"Measured {first['when'][:10]}, caches emptied before each call.\n"
    )
    yield facts
    yield table(
        ("part", "case", "µs", "GB/s", "of a copy", "TFLOP/s", "others, µs", "bar", ""), map(_row, newest.values())
    )


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
