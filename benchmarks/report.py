"""`python -m benchmarks.report`: docs/benchmarks.md, the tables of docs/method.md, pictures. (Effect: files.)

Of each device and benchmark the newest run counts. Nothing is in the page that is not in a file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import kernel_bars, model_bars
from benchmarks.record import RESULTS, read
from benchmarks.report_gpu import gpu_section
from benchmarks.report_kernels import kernel_pictures, kernel_tables
from benchmarks.report_method import fill_page, method_pictures
from benchmarks.report_models import model_pictures, model_tables
from benchmarks.tables import number, table

DOCS = RESULTS if "BENCHMARK_RESULTS" in os.environ else Path(__file__).parents[1] / "docs"
"""Where the page goes: of a trial, beside its results."""
METHOD = Path(__file__).parents[1] / "docs" / "method.md"
FILES = (
    "kernels", "models", "main_job", "overhead", "formats", "ranges", "mapping", "agreement", "searching", "modelopt",
)  # fmt: skip
TITLES = {
    "kernels": "Kernels",
    "models": "Whole models",
    "main_job": "The main job: `digits-vit`, replay, capture, the page, repeatability",
    "formats": "Rounding and calibration",
    "ranges": "Ranges of every tensor in one pass",
    "overhead": "Overhead of a plan",
    "mapping": "What the predicted map takes, on transformers of 6, 12 and 24 layers",
    "agreement": "The predicted map against brute force",
    "searching": "The search, in a made-up problem and on the bundled models",
    "modelopt": "The predicted map against AutoQuantize of modelopt",
}
INTRO = """# Benchmarks

`make bench` measures, and `python -m benchmarks.report` writes this page from `benchmarks/results/`: nothing here is
typed by hand. A ratio is one of medians, from one run in which all calls take turns in random order. A speed-up is
over *eager* (torch as a user runs it, FP32) unless it says *best FP32* (the fastest FP32 kernel here). Quantising
activations is inside the time that is told, and every result was compared with eager's on the tensors that were timed.
"""
Line = dict[str, Any]
Results = Mapping[str, list[Line]]


def main() -> None:
    """Write the page and its pictures."""
    results = {name: read(f"{name}.jsonl") for name in (*FILES, "gpu")}
    (DOCS / "images").mkdir(parents=True, exist_ok=True)
    (DOCS / "benchmarks.md").write_text(page(results), encoding="utf-8")
    (DOCS / METHOD.name).write_text(method(results), encoding="utf-8")
    for name, svg in pictures(results).items():
        (DOCS / "images" / name).write_text(svg, encoding="utf-8")
    print(f"report: wrote {DOCS / 'benchmarks.md'} and {METHOD.name}", file=sys.stderr)


def page(results: Results) -> str:
    """Return the page's text."""
    parts = [INTRO]
    for place, (device, lines) in enumerate(by_device(results).items()):
        parts += [f"## {device}\n", _facts(lines), *_sections(_ending(place), lines)]
    return "\n".join([*parts, "## GPU\n", gpu_section(results.get("gpu", []))])


def method(results: Results) -> str:
    """Return the page of the method with its tables written anew."""
    return fill_page(METHOD.read_text(encoding="utf-8"), _of_method(results))


def pictures(results: Results) -> dict[str, str]:
    """Return the pictures that the pages show, as SVG by file name."""
    found = method_pictures(_of_method(results))
    for place, lines in enumerate(by_device(results).values()):
        found |= model_pictures(_ending(place), lines.get("models", []))
        found |= kernel_pictures(_ending(place), lines.get("kernels", []))
    return found


def _of_method(results: Results) -> list[Line]:
    """What the page of the method is written from: the costs in it are those of the models, not of a device."""
    return [line for name in ("agreement", "modelopt") for line in newest(results.get(name, []))]


def by_device(results: Results) -> dict[str, dict[str, list[Line]]]:
    """Return device -> file -> its newest lines."""
    found: dict[str, dict[str, list[Line]]] = {}
    for name in FILES:
        for device in dict.fromkeys(_device(line) for line in results.get(name, [])):
            mine = [line for line in results[name] if _device(line) == device]
            if lines := list(newest(mine)):
                found.setdefault(device, {})[name] = lines
    return found


def newest(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the last line of each name, of the last run of each part; quick runs are trials and do not count."""
    kept = [line for line in lines if not line.get("quick")]
    runs = {line.get("part"): line.get("run") for line in kept}
    known = {line["name"] for line in kept if line.get("run")}
    last = {line["name"]: line for line in kept if line.get("run") or line["name"] not in known}
    yield from (line for line in last.values() if line.get("run") == runs[line.get("part")])


def _ending(place: int) -> str:
    """How the names of a device's pictures end: nothing for the first device."""
    return f"-{place + 1}" if place else ""


def _device(line: Line) -> str:
    facts = line["device"]
    return f"{facts['name']}, {facts['threads']} threads, torch {facts['torch_version']}"


def _facts(lines: Mapping[str, list[Line]]) -> str:
    """What the figures of a device were taken on and when, and with which versions of peers."""
    every = [line for part in lines.values() for line in part]
    last = max(every, key=lambda line: str(line["when"]))
    days = sorted({line["when"][:10] for line in every})
    versions: dict[str, str] = next((line["versions"] for line in lines.get("models", []) if line.get("versions")), {})
    peers = ", ".join(f"{name} {version}" for name, version in versions.items())
    rows = [
        *_instructions(every),
        ("waiting threads", f"`GOMP_SPINCOUNT` or policy: {last['device']['waiting']}"),
        ("measured", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"),
    ]
    return table(("fact", "value"), [*rows, ("peers", peers)] if peers else rows)


def _instructions(lines: list[Line]) -> list[tuple[str, str]]:
    """What the processor can do; machines of one name may differ, and then which parts were measured on which."""
    parts: dict[str, dict[str, None]] = {}
    for line in lines:
        parts.setdefault(", ".join(line["device"]["features"]), {})[line.get("part", "others").split(",")[0]] = None
    if len(parts) == 1:
        return [("instructions", next(iter(parts)))]
    return [(f"instructions: {', '.join(names)}", features) for features, names in parts.items()]


def _sections(ending: str, lines: Mapping[str, list[Line]]) -> Iterator[str]:
    yield "### Bars\n"
    yield table(("what", "figure", "95 % interval", "bar", "", "details"), _bar_rows(lines))
    if "models" in lines:
        yield "### Whole models\n"
        yield from model_tables(ending, lines["models"])
    if "kernels" in lines:
        yield "### Kernels\n"
        yield from kernel_tables(ending, lines["kernels"])


def _bar_rows(lines: Mapping[str, list[Line]]) -> Iterator[tuple[str, ...]]:
    """Yield a heading for each file, then its bars; those of kernels and models follow from their times."""
    for name, found in lines.items():
        worked_out = {"kernels": kernel_bars.bars, "models": model_bars.bars}.get(name)
        bars = list(worked_out(found)) if worked_out else [line for line in found if "bar" in line]
        if bars:
            yield f"**{TITLES[name]}**", "", "", "", "", ""
        for bar in bars:
            interval = " to ".join(number(x) for x in bar.get("interval_95", []))
            yield (
                bar["name"], f"{number(bar['value'])} {bar['unit']}", interval, bar["bar"],
                "met" if bar["met"] else "**missed**", _details(bar),
            )  # fmt: skip


def _details(bar: Line) -> str:
    """What a reader needs to judge a bar: the recipe or kernel, what it was held against, and the device's rates."""
    words = [bar[key] for key in ("recipe", "kernel", "shape", "why") if bar.get(key)]
    if "peer_ms" in bar:
        sides = ((bar["ms"], bar["sqnr_db"]), (bar["peer_ms"], bar["peer_sqnr_db"]))
        words.append(" against ".join(f"{number(ms)} ms at {number(sqnr)} dB" for ms, sqnr in sides))
    if "rival" in bar:
        words.append(f"against {bar['rival']}")
    if "geometric_mean" in bar:
        words.append(f"geometric mean {number(bar['geometric_mean'])}")
    if "highest_gops" in bar and not bar["met"]:
        rates = ", ".join(f"{name} {rate:.0f}" for name, rate in bar["highest_gops"].items())
        words.append(f"products here reach, in 10⁹ operations a second: {rates}")
    return "; ".join(words)


if __name__ == "__main__":
    main()
