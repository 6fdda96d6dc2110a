"""The page of benchmarks is what the report writes from the committed results, and says nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import kernel_bars, model_bars, report
from benchmarks.candidates import Candidate
from benchmarks.cases import LARGE
from benchmarks.drawing import Bar, bar_chart, dot_chart
from benchmarks.duels import duels
from benchmarks.record import read
from benchmarks.report_gpu import gpu_section
from benchmarks.tables import number

DEVICE = {"name": "a CPU", "threads": 2, "torch_version": "2.13", "features": ["AVX2"], "waiting": "default"}


@pytest.fixture(scope="module")
def committed() -> dict[str, list[dict[str, Any]]]:
    return {name: read(f"{name}.jsonl") for name in (*report.FILES, "gpu")}


def line(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "ms", "when": "2026-01-02T03:04:05", "device": DEVICE} | more


def test_page_and_pictures_are_those_of_the_committed_results(root: Path, committed: Any) -> None:
    assert (root / "docs" / "benchmarks.md").read_text(encoding="utf-8") == report.page(committed)
    for name, svg in report.pictures(committed).items():
        assert (root / "docs" / "images" / name).read_text(encoding="utf-8") == svg, name


def test_newest_run_of_each_part_counts_and_trials_do_not() -> None:
    lines = [
        line("kept", 1, part="a", run="1"),
        line("renamed since", 1, part="b", run="1"),
        line("kept", 2, part="a", run="2"),
        line("new name", 2, part="b", run="2"),
        line("kept", 3, part="a", run="3", quick=True),
        line("from before runs were told", 4),
    ]
    found = {one["name"]: one["value"] for one in report.newest(lines)}
    assert found == {"kept": 2, "new name": 2, "from before runs were told": 4}


def test_gpu_section_says_nothing_until_one_ran() -> None:
    assert gpu_section([]) == "not yet run on a GPU\n"
    ran = {
        "part": "int8 product", "name": "a case", "us": 12.5, "gb_per_s": 3000.0, "of_copy": 0.83, "device": DEVICE,
        "rivals_us": {"BF16 linear": 25.0, "other": "no such kernel"}, "bar": ">= 1 x BF16 linear", "speedup": 2.0,
        "met": True, "when": "2026-01-02", "triton": "3.6", "copy_gb_per_s": 3600.0, "bf16_tflops": 700.0,
    }  # fmt: skip
    wrong = {key: ran[key] for key in ("part", "device", "when", "triton", "copy_gb_per_s", "bf16_tflops")}
    plan = {
        "part": "plan", "name": "a plan", "us": 80.0, "sum_us": 70.0, "over_eager": [3.0, 2.9, 3.1],
        "over_fp32": [2.0, 1.9, 2.1], "device": DEVICE, "when": "2026-01-02",
    }  # fmt: skip
    text = gpu_section([ran, wrong | {"name": "another", "wrong": "codes differ"}, plan])
    assert "| a plan | 80.0 | 3.00× | 2.00× | 70.0 |" in text
    assert "| 12.5 | 3000 | 83% |" in text and "other no such kernel" in text and "(2.00×) | met |" in text
    assert "wrong: codes differ" in text


def test_bars_of_kernels_come_from_pairs_that_were_timed_alone() -> None:
    def pair(value: float, about: str, shape: str = "512x1024x4096", against: str = "rival") -> Any:
        return line(
            f"{shape} {about}", value, shape=shape, kind="linear", precision="int8", kernel="ours", against=against,
            about=about, interval_95=[value / 2, value * 2],
        )  # fmt: skip

    lines = [
        pair(6.0, "torch eager"),
        pair(2.0, "best FP32"),
        pair(0.8, "the best rival"),
        pair(2.0, "the best rival", shape="1x2x3", against="another"),
        line("a round of all", 9.0, case="a case", shape="512x1024x4096", kind="linear", precision="int8", gops=700.0),
    ]
    found = {bar["name"].partition(",")[0]: bar for bar in kernel_bars.bars(lines)}
    over_eager = found["INT8 dynamic linear over eager"]
    assert (over_eager["value"], over_eager["met"], over_eager["highest_gops"]) == (6, True, {"int8": 700.0})
    assert not found["INT8 dynamic linear over best FP32"]["met"]
    worst = next(bar for bar in found.values() if "rival" in bar)
    assert (worst["value"], worst["met"], worst["rival"]) == (1.25, False, "rival")
    assert worst["slower"] == {"512x1024x4096": 1.25}


def test_each_pair_is_of_a_kernel_that_the_table_takes() -> None:
    ways = [
        Candidate("torch eager", "fp32", "eager", object),
        Candidate("fp32: packed", "fp32", "kernel", object),
        Candidate("int8: slow", "int8", "kernel", object),
        Candidate("int8: ours", "int8", "kernel", object, chosen=True),
        Candidate("one rival", "int8", "rival", object),
        Candidate("faster rival", "int8", "rival", object),
    ]
    ms = {"torch eager": 4.0, "fp32: packed": 3.0, "one rival": 2.0, "faster rival": 1.0}
    found = set(duels(LARGE, ways, ms.__getitem__))
    assert found == {
        ("int8: ours", "torch eager", "torch eager"),
        ("int8: ours", "fp32: packed", "best FP32"),
        ("fp32: packed", "torch eager", "torch eager"),
        ("int8: ours", "faster rival", "the best rival"),
    }


def test_bars_of_models_compare_the_fastest_recipe_with_each_peer() -> None:
    def way(model: str, name: str, value: float | None) -> Any:
        return line(f"{model} {name}", value, model=model, way=name, sqnr_db=30.0)

    lines = [
        way("ViT-B/16", "explorer int8-dynamic", 50.0),
        way("ViT-B/16", "explorer int8-static", 40.0),
        way("ViT-B/16", "explorer bf16", 10.0),
        way("ViT-B/16", "torch quantize_dynamic", 60.0),
        way("ViT-B/16", "ONNX Runtime INT8 dynamic", None),
        way("ResNet-50", "explorer int8-static", 40.0),
        way("ResNet-50", "ONNX Runtime INT8 static", 50.0),
        way("ResNet-50", "OpenVINO INT8 (NNCF)", 20.0),
    ]
    found = {bar["name"]: (bar["value"], bar["met"]) for bar in model_bars.bars(lines)}
    assert found == {
        "ViT-B/16: INT8 over torch quantize_dynamic": (1.5, True),
        "ResNet-50: INT8 over ONNX Runtime INT8 static": (1.25, False),
        "ResNet-50: best recipe's time over OpenVINO INT8 (NNCF)'s": (2.0, False),
    }


@pytest.mark.parametrize(
    "svg",
    [
        bar_chart("A <title>", "axis", {"one": [Bar("ours & theirs", 3.0, True, "30 dB"), Bar("other", 0.5, False)]}),
        dot_chart("A <title>", "axis", {"row": {"a": 0.7, "b": 8.0}, "next": {"a": 1.0}}, ["a", "b"]),
    ],
)
def test_charts_are_svg_with_their_words(svg: str) -> None:
    drawn = ElementTree.fromstring(svg)
    words = {element.text for element in drawn.iter() if element.tag.endswith("text")}
    assert "A <title>" in words
    assert "prefers-color-scheme:dark" in svg
    width = float(drawn.attrib["width"])
    assert all(0 <= float(element.attrib["x"]) <= width for element in drawn.iter() if "x" in element.attrib)


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0"), (1.0, "1.00"), (12.345, "12.3"), (123.45, "123"), (float("inf"), "∞"), (None, "")]
)
def test_numbers_have_three_digits(value: float | None, said: str) -> None:
    assert number(value) == said


def test_a_machine_of_the_same_name_with_other_instructions_is_told_apart() -> None:
    other = DEVICE | {"features": ["AVX2", "AMX-INT8"]}
    lines = [line("a", 1.0, part="kernels"), line("b", 2.0, part="page", device=other)]
    text = report.page({"main_job": lines})
    assert "| instructions: kernels | AVX2 |" in text
    assert "| instructions: page | AVX2, AMX-INT8 |" in text
    assert "| instructions | AVX2 |" in report.page({"main_job": lines[:1]})
