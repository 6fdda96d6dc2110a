"""The experiment of a long sum: where it drifts and where it stops growing, with and without Kahan's correction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import ipywidgets
import numpy as np

import explorer as px
from explorer.arithmetic import Method, RunningSum, Values, accumulate
from widgets.panels.experiment import Experiment, FormatChoice, chip, listing, number, percent
from widgets.plots import COLORS, SOFT, make_figure
from widgets.views.plot import Plot

FORMATS = ("fp32", "tf32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2")
TERMS = {
    "always 0.1": "tenth",
    "always 0.0001": "tiny",
    "at random from 0 to 1": "uniform",
    "at random around 0": "normal",
    "10,000 first, then 1 again and again": "late",
}
COUNTS = (1_000, 10_000, 100_000, 1_000_000)
METHODS: dict[str, tuple[Method, ...]] = {
    "one after the other": ("plain",),
    "and with Kahan's correction": ("plain", "kahan"),
    "and in pairs, as a tree": ("plain", "pairwise"),
}
DASH = {"plain": "solid", "kahan": "dash", "pairwise": "dot"}
HOW = {"plain": "", "kahan": " with Kahan", "pairwise": " in pairs"}
SHOWN = {"the sum itself": False, "how far off it is": True}
LEAST = 1e-9
"""The smallest drift on the axis: nothing here holds more than FP32's seven digits."""

ABOUT = (
    "Add many numbers in a narrow format, and every partial sum is rounded. Once a term is less than half a step of "
    "the sum, adding it changes nothing: the sum stands still, however many more terms there are."
)


@dataclass(frozen=True)
class Sums:
    """What the controls hold."""

    formats: tuple[str, ...]
    terms: str
    count: int
    methods: tuple[Method, ...]
    drift: bool


class LongSum(Experiment[Sums, tuple[Sums, list[RunningSum]]]):
    """Running sums of one sequence in several formats."""

    def __init__(self) -> None:
        self.formats = FormatChoice(FORMATS, ("fp32", "bf16", "fp16"))
        self.terms = ipywidgets.Dropdown(options=list(TERMS.items()))
        self.count = ipywidgets.Dropdown(options=[(f"{count:,}", count) for count in COUNTS], value=10_000)
        self.method = ipywidgets.Dropdown(options=list(METHODS.items()))
        self.shown = ipywidgets.Dropdown(options=list(SHOWN.items()))
        self.plot = Plot("long-sum")
        self.words = ipywidgets.HTML()
        controls = {"formats": self.formats, "terms": self.terms, "how many": self.count, "added": self.method}
        super().__init__(ABOUT, controls | {"chart": self.shown}, [self.plot, self.words])

    def settings(self) -> Sums:
        if not self.formats.value:
            raise px.ExplorerError("add a long sum", "no format is chosen", "press one of the formats")
        return Sums(self.formats.value, self.terms.value, self.count.value, self.method.value, self.shown.value)

    def compute(self, settings: Sums) -> tuple[Sums, list[RunningSum]]:
        values = make_terms(settings.terms, settings.count)
        pairs = product(settings.formats, settings.methods)
        return settings, [accumulate(values, name, method) for name, method in pairs]

    def show(self, result: tuple[Sums, list[RunningSum]]) -> None:
        settings, sums = result
        traces = [_line(each, settings.drift) for each in sums] + ([] if settings.drift else [_exact_line(sums[0])])
        signed = not settings.drift and settings.terms == "normal"
        scale = {"type": "linear" if signed else "log", "exponentformat": "power"}
        y_title = "relative error" if settings.drift else "sum"
        self.plot.show(make_figure("terms added", y_title, traces, xaxis={"type": "log"}, yaxis=scale))
        self.words.value = listing((_sentence(each) for each in sums), "sum-words")


def make_terms(kind: str, count: int) -> Values:
    """The terms of a kind, the same at every call [count]."""
    generator = np.random.default_rng(0)
    if kind == "uniform":
        return generator.uniform(0, 1, count)
    if kind == "normal":
        return generator.normal(0, 1, count)
    terms = np.full(count, {"tenth": 0.1, "tiny": 1e-4, "late": 1.0}[kind])
    if kind == "late":
        terms[0] = 10_000
    return terms


def _line(record: RunningSum, drift: bool) -> dict[str, object]:
    """A plotly trace of a record: the sum, or the largest error in each twentieth of a decade of terms.

    Between, an error passes through zero again and again, which a logarithmic axis cannot show: a point without error
    is left out, and a sum without any lies on the axis's lower edge.
    """
    x, y = record.steps, record.sums
    if drift:
        rank = np.floor(20 * np.log10(x)).astype(int)
        first = np.flatnonzero(np.diff(rank, prepend=-1))
        x, y = x[first], np.maximum.reduceat(np.abs(record.drifts), first)
        x, y = (x[y > 0], y[y > 0]) if (y > 0).any() else (x, np.full(x.size, LEAST))
    label = px.FORMATS[record.format].label + HOW[record.method]
    return {
        "type": "scatter",
        "name": label,
        "x": x,
        "y": np.where(np.isfinite(y), y, np.nan),
        "line": {"color": COLORS[record.format], "dash": DASH[record.method], "width": 2.2},
        "hovertemplate": f"{label}: %{{y:.6g}} after %{{x:,}} terms<extra></extra>",
    }


def _exact_line(record: RunningSum) -> dict[str, object]:
    return {
        "type": "scatter",
        "name": "exact",
        "x": record.steps,
        "y": record.exact_sums,
        "line": {"color": SOFT, "dash": "dashdot", "width": 1},
        "hovertemplate": "exact: %{y:.6g} after %{x:,} terms<extra></extra>",
    }


def _sentence(record: RunningSum) -> str:
    """Where a sum stalled or broke, else how far off it is."""
    who = f"{chip(record.format)}{HOW[record.method]}"
    if record.not_finite_after is not None:
        after = _terms(record.not_finite_after)
        return f"{who} passes its largest value, {_largest(record)}, after {after}: {_wreck(record)}."
    if not record.exact_of_terms and record.exact:
        return f"{who} cannot hold the terms: each of them is rounded to zero."
    if record.stalled_after is not None:
        return (
            f"{who} stands still after {_terms(record.stalled_after)}, at {number(record.result)}, where a step is "
            f"{number(_step(record))}. Exact is {number(record.exact, 9)}: it is off by {percent(record.drift)}."
        )
    share = (record.exact_of_terms - record.exact) / (abs(record.exact) or 1.0)
    return (
        f"{who} ends at {number(record.result, 9)}; exact is {number(record.exact, 9)}. It is off by "
        f"{percent(record.drift)}; rounding the terms alone makes {percent(share)}."
    )


def _terms(count: int) -> str:
    return f"{count:,} term{'s' if count > 1 else ''}"


def _largest(record: RunningSum) -> str:
    return number(px.FORMATS[record.format].largest)


def _step(record: RunningSum) -> float:
    """The distance from the result to the next value above."""
    return float(np.spacing(abs(record.result)) * 2.0**52 * px.FORMATS[record.format].epsilon)


def _wreck(record: RunningSum) -> str:
    if math.isinf(record.result):
        return "the sum is Inf"
    if record.method == "kahan" and record.format != "fp8_e4m3":
        return "the sum is Inf, the next correction Inf \N{MINUS SIGN} Inf, and all is NaN"
    return "the sum is NaN, for the format has no Inf"
