"""The tables and pictures of docs/method.md, from the results of `benchmarks.agreement` and `benchmarks.modelopt`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.scatter import Cloud, scatter_chart
from benchmarks.tables import number, table, times

Line = dict[str, Any]
WITHIN = 1.25
EDGES = (0.0, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, float("inf"))
"""Predicted nats between which recipes are told together."""
FEWEST = 5
NOTHING = "not yet measured\n"
_SECTION = re.compile(r"(<!-- written: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill_page(page: str, lines: Sequence[Line]) -> str:
    """Return the page with each part between its marks written anew."""
    return _SECTION.sub(lambda found: found[1] + _SECTIONS[found[2]](lines) + found[3], page)


def method_pictures(lines: Sequence[Line]) -> dict[str, str]:
    """Return the charts by file name; none where nothing was measured."""
    cells = {line["model"]: [(p, kl) for _, _, p, _, kl in line["rows"]] for line in _of(lines, "cells")}
    diagonal = {line["model"]: [(d, kl) for _, _, _, d, kl in line["rows"]] for line in _of(lines, "cells")}
    recipes: dict[str, list[tuple[float, float]]] = {}
    for line in _recipes(lines):
        recipes.setdefault(line["model"], []).extend((row[0], row[2]) for row in line["rows"])
    return {
        name: scatter_chart(Cloud(title, f"predicted, nats{how}", "measured, nats", series, WITHIN))
        for name, title, how, series in (
            ("method-cells.svg", "One op alone in one precision; grey: within 25 %", "", cells),
            ("method-diagonal.svg", "The same cells, scored element by element", " by the diagonal form", diagonal),
            ("method-recipes.svg", "Whole recipes, drawn at random; grey: within 25 %", "", recipes),
        )
        if any(series.values())
    }


def _cells(lines: Sequence[Line]) -> str:
    """Agreement of single cells, ours beside the element-wise score."""
    ratios = {line["model"]: line for line in _of(lines, "ratios")}
    rows = [
        (
            line["model"], f"{line['cells']} of {line['of']}", f"{line['value']:.4f}", f"{line['diagonal']:.4f}",
            f"{ratios[line['model']]['value']:.3f}", f"{ratios[line['model']]['diagonal']:.3f}",
        )
        for line in _of(lines, "ranks")
    ]  # fmt: skip
    heads = ("model", "cells", "Spearman", "element-wise", "median abs log ratio", "element-wise")
    pictures = "![Cells](images/method-cells.svg)\n\n![Diagonal](images/method-diagonal.svg)\n"
    return f"{table(heads, rows)}\n{pictures}" if rows else NOTHING


def _whole(lines: Sequence[Line]) -> str:
    """How near predictions of recipes of 8 bits or more are, with pairs and without."""
    rows = []
    for line in _of(lines, "wide"):
        cost, additive, measured = np.array(line["rows"])[:, :3].T
        near = [np.mean(np.abs(np.log(measured / by)) <= np.log(WITHIN)) for by in (cost, additive)]
        middle = [float(np.median(measured / by)) for by in (cost, additive)]
        rows.append((line["model"], str(len(cost)), *(f"{share:.0%}" for share in near), *map(times, middle)))
    heads = ("model", "recipes", "within 25 %", "sum over ops", "measured over predicted", "over the sum")
    return f"{table(heads, rows)}\n![Recipes](images/method-recipes.svg)\n" if rows else NOTHING


def _band(lines: Sequence[Line]) -> str:
    """How often the band holds recipes with 4 bits."""
    rows = [
        (line["model"], str(line["recipes"]), f"{line['value']:.0%}", f"{line['before_any_trial']:.0%}")
        for line in _of(lines, "band")
    ]
    heads = ("model", "recipes", "in the band after 20 trials", "in the default band")
    return f"{table(heads, rows)}" if rows else NOTHING


def _validity(lines: Sequence[Line]) -> str:
    """Measured over predicted by predicted cost, over all recipes."""
    pairs = np.array([(row[0], row[2]) for line in _recipes(lines) for row in line["rows"]]).reshape(-1, 2)
    rows = []
    for low, high in pairwise(EDGES):
        some = pairs[(pairs[:, 0] >= low) & (pairs[:, 0] < high)]
        if len(some) >= FEWEST:
            ratio = some[:, 1] / some[:, 0]
            edges = " to ".join(map(times, np.quantile(ratio, (0.05, 0.95)).tolist()))
            rows.append((_between(low, high), str(len(some)), times(float(np.median(ratio))), edges))
    return table(("predicted, nats", "recipes", "measured over predicted", "9 of 10"), rows) if rows else NOTHING


def _rival(lines: Sequence[Line]) -> str:
    """Beside modelopt's auto_quantize."""
    rows = [
        (line["what"], number(line["value"]), line["unit"], number(line.get("theirs")), line.get("bar", ""))
        for line in lines
        if line.get("part") == "modelopt" and "what" in line
    ]
    return table(("what", "ours", "unit", "modelopt", "bar"), rows) if rows else NOTHING


_SECTIONS: Mapping[str, Callable[[Sequence[Line]], str]] = {
    "cells": _cells,
    "whole": _whole,
    "band": _band,
    "validity": _validity,
    "rival": _rival,
}


def _of(lines: Sequence[Line], kind: str) -> Iterator[Line]:
    return (line for line in lines if line.get("kind") == kind)


def _recipes(lines: Sequence[Line]) -> Iterator[Line]:
    return (line for line in lines if line.get("kind") in ("wide", "narrow"))


def _between(low: float, high: float) -> str:
    if not low:
        return f"under {high:g}"
    return f"{low:g} to {high:g}" if high < float("inf") else f"over {low:g}"
