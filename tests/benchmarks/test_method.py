"""The tables and pictures of the page of the method are what the committed results say, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks import report
from benchmarks.record import read
from benchmarks.report_method import NOTHING, fill_page, method_pictures
from benchmarks.scatter import Axes, Cloud, scatter_chart

PAGE = "Before.\n<!-- written: {name} -->\nold\n<!-- end -->\nAfter.\n"
ROWS = [["a/linear", "int8", 1e-5, 4e-5, 1.1e-5], ["b/linear", "w4", 2e-3, 9e-3, 1.9e-3]]
RECIPES = [[1e-4 * (1 + i), 2e-4 * (1 + i), 1.1e-4 * (1 + i), 5e-5, 2e-4] for i in range(8)]


def lines() -> list[dict[str, Any]]:
    model = {"model": "small", "part": "agreement"}
    return [
        model | {"kind": "ranks", "value": 0.99, "diagonal": 0.9, "cells": 2, "of": 3},
        model | {"kind": "ratios", "value": 0.05, "diagonal": 0.8, "cells": 2, "of": 3},
        model | {"kind": "cells", "rows": ROWS},
        model | {"kind": "wide", "rows": RECIPES},
        model | {"kind": "band", "value": 0.9, "before_any_trial": 0.8, "recipes": 50},
        {"part": "modelopt", "what": "measured KL", "value": 1e-6, "theirs": 2e-5, "unit": "nats", "bar": "<= 2e-05"},
    ]


def part(name: str, results: list[dict[str, Any]]) -> str:
    """What stands between the marks."""
    page = fill_page(PAGE.format(name=name), results)
    assert page.startswith("Before.\n<!-- written") and page.endswith("<!-- end -->\nAfter.\n")
    assert "old" not in page
    return page.partition("-->\n")[2].partition("<!-- end")[0]


def test_page_and_pictures_are_those_of_the_committed_results(root: Path) -> None:
    results = {name: read(f"{name}.jsonl") for name in ("agreement", "modelopt")}
    assert (root / "docs" / "method.md").read_text(encoding="utf-8") == report.method(results)


def test_each_table_says_what_was_measured() -> None:
    assert "| small | 2 of 3 | 0.9900 | 0.9000 | 0.050 | 0.800 |" in part("cells", lines())
    assert "| small | 8 | 100% | 0% | 1.10× | 0.550× |" in part("whole", lines())
    assert "| small | 50 | 90% | 80% |" in part("band", lines())
    assert "| 0.0001 to 0.001 | 8 | 1.10× | 1.10× to 1.10× |" in part("validity", lines())
    assert "| measured KL | 1.00e-06 | nats | 2.00e-05 | <= 2e-05 |" in part("rival", lines())


def test_nothing_is_said_before_anything_was_measured() -> None:
    for name in ("cells", "whole", "band", "validity", "rival"):
        assert part(name, []) == NOTHING
    assert method_pictures([]) == {}


def test_pictures_hold_every_point_that_can_be_drawn() -> None:
    found = method_pictures(lines())
    assert set(found) == {"method-cells.svg", "method-diagonal.svg", "method-recipes.svg"}
    drawn = ElementTree.fromstring(found["method-recipes.svg"])
    assert len(drawn.findall(".//{*}g/{*}circle")) == len(RECIPES)
    odd = {"a": [(1e-3, 1e-2), (0.0, 1.0), (float("inf"), 1.0)], "b": [(1.0, 1e-4)]}
    svg = ElementTree.fromstring(scatter_chart(Cloud("a < b", "x", "y", odd, 1.25)))
    assert len(svg.findall(".//{*}g/{*}circle")) == 2


def test_both_axes_span_the_same_decades_with_the_larger_value_further_up_and_right() -> None:
    axes = Axes.around([(2e-4, 3e-2)])
    assert (axes.low, axes.high) == (-4, -1)
    assert axes.x(1e-2) > axes.x(1e-3) and axes.y(1e-2) < axes.y(1e-3)
