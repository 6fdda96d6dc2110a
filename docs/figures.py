"""`python -m docs.figures`: the pictures and the table of docs/formats.md. Effects: a browser, files in docs/."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import plotly.graph_objects as go
import torch
from playwright.sync_api import sync_playwright
from torch import Tensor

import explorer as px
from explorer.formats import all_values, fake_quantize
from explorer.ranges import calibrate
from tests.browser.driving import launch

PAGE = Path(__file__).parent / "formats.md"
IMAGES = Path(__file__).parent / "images"
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#4a5568")
BLOCKS = ("mxfp8_e4m3", "mxint8", "mxfp6_e2m3", "nvfp4", "mxfp4")
CALIBRATORS = ("minmax", "moving_average", "percentile", "mse", "entropy")
HEADS = ("format", "bits with scales", "made of", "largest", "smallest normal", "smallest positive", "epsilon",
         "decimal digits", "finite values", "also", "source")  # fmt: skip
SIZE = {"width": 900, "height": 380}


def main() -> None:
    """Draw every figure as SVG in a browser that plotly can run in, and write the table of formats into the page."""
    IMAGES.mkdir(exist_ok=True)
    figures = {
        "wide": wide,
        "fp8": fp8,
        "small": small,
        "integers": integers,
        "blocks": blocks,
        "calibrators": clipping,
    }
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        for name, draw in figures.items():
            page.set_content(draw().to_html(include_plotlyjs=True))
            url = page.evaluate(
                "size => Plotly.toImage(document.querySelector('.js-plotly-plot'), size)", {"format": "svg", **SIZE}
            )
            (IMAGES / f"formats-{name}.svg").write_text(unquote(url.partition(",")[2]) + "\n", encoding="utf-8")
        browser.close()
    _write_table()


def wide() -> go.Figure:
    """Relative error of rounding for the formats of 16 bits and TF32: range across, precision down."""
    return _errors(("tf32", "fp16", "bf16"), range(-45, 41), "Rounding to nearest: largest relative error by magnitude")


def fp8() -> go.Figure:
    """The same for the two FP8 formats, without a scale."""
    return _errors(("fp8_e4m3", "fp8_e5m2"), range(-20, 20), "FP8 without a scale: largest relative error by magnitude")


def small() -> go.Figure:
    """Every value of the formats with so few that they can be drawn."""
    return _grid(("fp6_e3m2", "fp6_e2m3", "fp4_e2m1"), "Every value of FP6 and FP4 (E3M2 reaches 28: cut here)", 8)


def integers() -> go.Figure:
    """The same wave in INT8, INT4 and INT2, each under the scale of its largest value."""
    x = torch.linspace(0, 2 * math.pi, 600)
    figure = _figure("One wave, symmetric scale from its largest value", "angle", "value")
    for name, colour in zip(("int8", "int4", "int2"), COLOURS, strict=False):
        y = fake_quantize(x.sin(), px.Scheme(name))
        figure.add_scatter(x=x.tolist(), y=y.tolist(), name=px.FORMATS[name].label, line={"color": colour})
    return figure


def blocks() -> go.Figure:
    """What one outlier in every block costs the others: SQNR of the rest of the block."""
    torch.manual_seed(0)
    body = torch.randn(2000, 32)
    sizes = [2.0 ** (k / 2) for k in range(15)]
    figure = _figure(
        "One outlier per 32 elements: what is left of the others",
        "outlier, in standard deviations",
        "SQNR of the others, dB",
    )
    figure.update_xaxes(type="log", dtick=math.log10(2))
    for name, colour in zip(BLOCKS, COLOURS, strict=False):
        figure.add_scatter(
            x=sizes,
            y=[_others(body, size, name) for size in sizes],
            name=px.FORMATS[name].label,
            line={"color": colour},
        )
    return figure


def clipping() -> go.Figure:
    """SQNR of INT4 and INT8 under each calibrator, on a tensor with a heavy tail."""
    torch.manual_seed(0)
    batches = list(torch.distributions.StudentT(4.0).sample((64, 8192)))
    figure = _figure("Heavy-tailed activations (Student t, 4 degrees of freedom), per tensor", "", "SQNR, dB")
    for name, colour in (("int8", COLOURS[0]), ("int4", COLOURS[1])):
        figure.add_bar(
            x=list(CALIBRATORS),
            y=[_calibrated(batches, name, by) for by in CALIBRATORS],
            name=px.FORMATS[name].label,
            marker_color=colour,
        )
    return figure


def _calibrated(batches: list[Tensor], name: str, by: Any) -> float:
    scheme = px.Scheme(name, dynamic=False, calibrator=by)
    scale, zero_point = calibrate(batches, scheme)
    x = torch.cat(batches)
    return _sqnr(x, fake_quantize(x, scheme, scale, zero_point))


def _others(body: Tensor, size: float, name: str) -> float:
    x = body.clone()
    x[:, 7] = size
    rest = torch.arange(32) != 7
    return _sqnr(x[:, rest], px.round_to(x, name)[:, rest])


def _sqnr(x: Tensor, y: Tensor) -> float:
    return float(20 * torch.log10(x.norm() / (x - y).norm()))


def _errors(names: Iterable[str], exponents: Iterable[int], title: str) -> go.Figure:
    """The largest relative error in every binade, by rounding 1600 values in each."""
    low = torch.tensor(list(exponents), dtype=torch.float64)
    x = torch.exp2(low[:, None] + torch.linspace(0, 1, 1600, dtype=torch.float64))
    figure = _figure(title, "log2 of the value", "relative error")
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    for name, colour in zip(names, COLOURS, strict=False):
        error = ((px.round_to(x, name) - x).abs() / x).amax(1)
        figure.add_scatter(
            x=low.tolist(), y=error.tolist(), name=px.FORMATS[name].label, line={"color": colour, "shape": "hv"}
        )
    return figure


def _grid(names: tuple[str, ...], title: str, reach: float) -> go.Figure:
    figure = _figure(title, "value", "")
    for name, colour in zip(names, COLOURS, strict=False):
        values = [value for value in all_values(name).tolist() if abs(value) <= reach]
        marker = {"symbol": "line-ns", "size": 24, "line": {"width": 2, "color": colour}}
        label = px.FORMATS[name].label
        figure.add_scatter(
            x=values, y=[label] * len(values), mode="markers", name=label, marker=marker, showlegend=False
        )
    return figure


def _figure(title: str, x: str, y: str) -> go.Figure:
    layout: dict[str, Any] = {
        "template": "plotly_white",
        "title": title,
        "margin": {"l": 70, "r": 20, "t": 50, "b": 55},
    }
    return go.Figure(layout=go.Layout(**layout, xaxis_title=x, yaxis_title=y, **SIZE))


def _write_table() -> None:
    """Put the table between its marks in the page; everything else there is written by hand."""
    table = px.FORMATS.table()
    rows = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    rows += ["| " + " | ".join(_cells(name, row)) + " |" for name, row in table.iterrows()]
    text = PAGE.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)
    PAGE.write_text(marked.sub(lambda found: found[1] + "\n".join(rows) + "\n" + found[2], text), encoding="utf-8")


def _cells(name: object, row: Any) -> list[str]:
    made_of = f"{row.exponent} exponent, {row.mantissa} mantissa, bias {row.bias}"
    if pd.isna(row.exponent):
        made_of = "integer" if pd.isna(row.block) else f"{row.block} × {row.element}, scale {row.scale}"
    specials = ", ".join(word for word, has in (("Inf", row.inf), ("NaN", row.nan)) if has)
    numbers = (row.largest, row.smallest_normal, row.smallest_positive, row.epsilon, row.decimal_digits)
    written = ["" if pd.isna(number) else f"{number:.5g}" for number in numbers]
    return [f"`{name}`", f"{row.bits_per_element:g}", made_of, *written, f"{row['values']}", specials, row.source]


if __name__ == "__main__":
    main()
