"""Charts as SVG text that reads on a light and on a dark page: bars beside each other, and dots on a log axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP = 900, 300, 150, 20, 62
COLOURS = ("#2f81f7", "#d9730d", "#2da44e", "#a371f7", "#e0559b", "#8b949e")
STYLE = """text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}.head{font-weight:600}
.soft{fill:#57606a}.grid{stroke:#8c959f;stroke-opacity:.35}.unit{stroke:#57606a}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.soft{fill:#9da7b3}.unit{stroke:#9da7b3}}"""
MARKS = {
    "circle": '<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>',
    "square": '<rect x="{left}" y="{top}" width="9" height="9" fill="{colour}"/>',
    "diamond": '<path d="M{x} {y}m0 -6l6 6l-6 6l-6 -6z" fill="{colour}"/>',
    "triangle": '<path d="M{x} {y}m0 -6l6 11h-12z" fill="{colour}"/>',
    "cross": '<path d="M{x} {y}m-5 -5l10 10m0 -10l-10 10" stroke="{colour}" stroke-width="2.5"/>',
    "ring": '<circle cx="{x}" cy="{y}" r="4.5" fill="none" stroke="{colour}" stroke-width="2.5"/>',
}


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its length, whether it is ours, and what is written behind it."""

    label: str
    value: float
    ours: bool
    note: str = ""


def bar_chart(title: str, axis: str, groups: Mapping[str, Sequence[Bar]]) -> str:
    """Return groups of horizontal bars from 0, under a heading each."""
    largest = max(bar.value for bars in groups.values() for bar in bars)
    scale = (WIDTH - LEFT - RIGHT) / largest
    parts, y = [], TOP
    for heading, bars in groups.items():
        parts.append(_text(LEFT - 8, y + 13, heading, "head", "end"))
        y += ROW
        for bar in bars:
            colour, length = COLOURS[0] if bar.ours else COLOURS[-1], bar.value * scale
            parts.append(_text(LEFT - 8, y + 14, bar.label, "" if bar.ours else "soft", "end"))
            parts.append(f'<rect x="{LEFT}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" fill="{colour}"/>')
            parts.append(_text(LEFT + length + 6, y + 14, f"{bar.value:.2f}× {bar.note}".rstrip(), "soft"))
            y += ROW
        y += ROW // 2
    ticks = [(LEFT + tick * scale, f"{tick:g}×") for tick in _steps(largest)]
    return _chart(title, axis, ticks, LEFT + scale, parts, y)


def dot_chart(title: str, axis: str, rows: Mapping[str, Mapping[str, float]], series: Sequence[str]) -> str:
    """Return one row of marks for each entry of ``rows`` (series -> value) on a log axis; a series has one mark."""
    values = [value for row in rows.values() for value in row.values()]
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))

    def at(value: float) -> float:
        return LEFT + (math.log2(value) - low) / max(1, high - low) * (WIDTH - LEFT - 40)

    parts, looks = [], dict(zip(series, zip(MARKS, COLOURS, strict=True), strict=False))
    x = 14.0
    for name in series:
        parts += [_mark(*looks[name], x + 6, TOP - 16), _text(x + 17, TOP - 12, name)]
        x += 34 + 6.4 * len(name)
    y = TOP + 6
    for label, row in rows.items():
        parts.append(_text(LEFT - 8, y + 14, label, "", "end"))
        parts.append(f'<path class="grid" d="M{LEFT} {y + 10}H{WIDTH - 40}"/>')
        parts += [_mark(*looks[name], at(row[name]), y + 10) for name in series if name in row]
        y += ROW
    ticks = [(at(2.0**power), f"{2.0**power:g}×") for power in range(low, high + 1)]
    return _chart(title, axis, ticks, at(1.0) if low <= 0 <= high else LEFT, parts, y)


def _chart(
    title: str, axis: str, ticks: Sequence[tuple[float, str]], unit: float, parts: Sequence[str], bottom: int
) -> str:
    """The frame: title, grid with its labels under it, and a stronger line where the ratio is 1."""
    height = bottom + 44
    frame = [_text(14, 24, title, "title")]
    for x, label in ticks:
        frame.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
        frame.append(_text(x, bottom + 16, label, "soft", "middle"))
    frame.append(f'<path class="unit" d="M{unit:.1f} {TOP}V{bottom}"/>')
    frame.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 36, axis, "soft", "middle"))
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *frame, *parts, "</svg>", ""])


def _mark(kind: str, colour: str, x: float, y: float) -> str:
    return MARKS[kind].format(x=f"{x:.1f}", y=f"{y:.1f}", left=f"{x - 4.5:.1f}", top=f"{y - 4.5:.1f}", colour=colour)


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(words)}</text>'


def _steps(largest: float) -> list[float]:
    """Ticks from 0 up to ``largest``, some six of them, at a round distance."""
    step = next(size for size in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 1e9) if largest / size <= 8)
    return [step * count for count in range(int(largest / step) + 1)]
