"""Predicted against measured on two log axes, as SVG text that reads on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.drawing import COLOURS, STYLE

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 80, 200, 50, 56
Point = tuple[float, float]


@dataclass(frozen=True)
class Cloud:
    """A chart of points: its title, what its axes show, its points by series, and the factor around equality that is
    shaded."""

    title: str
    across: str
    up: str
    series: Mapping[str, Sequence[Point]]
    factor: float


@dataclass(frozen=True)
class Axes:
    """Both axes reach from 10**low to 10**high, so that equality is the diagonal."""

    low: int
    high: int

    @classmethod
    def around(cls, points: Iterable[Point]) -> Axes:
        values = [value for point in points for value in point]
        return cls(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))

    def x(self, value: float) -> float:
        return LEFT + self._share(value) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - self._share(value) * (HEIGHT - TOP - BOTTOM)

    def _share(self, value: float) -> float:
        return min(1.0, max(0.0, (math.log10(value) - self.low) / max(1, self.high - self.low)))


def scatter_chart(cloud: Cloud) -> str:
    """Return the chart. Points that are not positive and finite on both axes cannot be drawn and are left out."""
    series = {
        name: [(x, y) for x, y in points if 0 < x < math.inf and 0 < y < math.inf]
        for name, points in cloud.series.items()
    }
    axes = Axes.around(point for points in series.values() for point in points)
    parts = [_text(14, 24, cloud.title, "title"), *_grid(axes), _shade(axes, cloud.factor), *_axis_names(cloud)]
    for place, (name, points) in enumerate(series.items()):
        colour = COLOURS[place % len(COLOURS)]
        marks = "".join(f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3"/>' for x, y in points)
        parts.append(f'<g fill="{colour}" fill-opacity=".75">{marks}</g>')
        at = TOP + 14 + 20 * place
        parts.append(f'<circle cx="{WIDTH - RIGHT + 20}" cy="{at - 4}" r="5" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 32, at, f"{name} ({len(points)})"))
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(cloud.title)}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _grid(axes: Axes) -> Iterable[str]:
    for power in range(axes.low, axes.high + 1):
        x, y = axes.x(10.0**power), axes.y(10.0**power)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield _text(x, HEIGHT - BOTTOM + 16, f"1e{power}", "soft", "middle")
        yield _text(LEFT - 8, y + 4, f"1e{power}", "soft", "end")


def _shade(axes: Axes, factor: float) -> str:
    """The diagonal of equality and, behind it, what is within the factor of it."""
    low, high = 10.0**axes.low, 10.0**axes.high
    ends = [(low, low * factor), (high / factor, high), (high, high), (high, high / factor), (low * factor, low)]
    corners = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in [(low, low), *ends])
    line = f"M{axes.x(low):.1f} {axes.y(low):.1f}L{axes.x(high):.1f} {axes.y(high):.1f}"
    return f'<polygon points="{corners}" fill="#8c959f" fill-opacity=".18"/><path class="unit" d="{line}"/>'


def _axis_names(cloud: Cloud) -> Iterable[str]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, cloud.across, "soft", "middle")
    turned = _text(0, 0, cloud.up, "soft", "middle")
    yield f'<g transform="translate(18 {middle:.0f}) rotate(-90)">{turned}</g>'


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(words)}</text>'
