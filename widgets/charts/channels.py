"""The largest magnitude of each channel of a tensor, beside their median and what a format holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from widgets.charts.magnitudes import Held, legend_of_band
from widgets.plots import BAD, SOFT, WARM, make_figure, powers_of_two, see_through

if TYPE_CHECKING:
    import pandas as pd

OUTLIER = 8.0
"""A channel is an outlier from so many times the median channel's magnitude: three bits of a shared scale are lost."""
CHANNELS, OUTLIERS, LOST = "channels", f"{OUTLIER:g} times the median or more", "wholly flushed to zero"
KINDS = {
    CHANNELS: {"color": SOFT, "size": 5},
    LOST: {"color": WARM, "size": 7, "symbol": "triangle-down"},
    OUTLIERS: {"color": BAD, "size": 9, "symbol": "x"},
}
FLOOR = 2.0**-24
"""Of the largest channel: one below it, zero too, is drawn there, for a logarithmic axis has no end."""


def find_outliers(channels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[C] which channels reach ``OUTLIER`` times the median; none where the median is zero."""
    median = float(np.median(channels))
    return np.asarray((channels >= OUTLIER * median) & (median > 0))


def draw_channels(channels: NDArray[np.float32], held: Held, by_size: bool) -> tuple[Any, pd.DataFrame]:
    """The figure, channels in their order or largest first, and the table behind it."""
    table = _table(channels, held)
    if by_size:
        table = table.sort_values("absmax", ascending=False, kind="stable", ignore_index=True)
    y = np.log2(np.maximum(table["absmax"].to_numpy(), _floor(channels)))
    span = _span(y, held)
    marks = {kind: (table["kind"] == kind).to_numpy() for kind in KINDS}
    traces = [_points(kind, table[mark], y[mark]) for kind, mark in marks.items() if mark.any()]
    figure = make_figure(
        "channels, largest first" if by_size else "channel", "largest magnitude",
        [*traces, _median(channels, len(table)), legend_of_band(held)],
        height=330, legend={"y": 1.04}, yaxis={"range": span, **powers_of_two(*span)},
        shapes=_band(held, span), xaxis={"range": [-0.02 * len(table), 1.02 * len(table)]},
    )  # fmt: skip
    return figure, table


def _floor(channels: NDArray[np.float32]) -> float:
    """Where what is zero, or far below the others, is drawn: a quarter of the smallest that is neither."""
    least = float(channels.max()) * FLOOR
    seen = channels[channels > least]
    return float(seen.min()) / 4 if len(seen) else 1.0


def _span(y: NDArray[np.float64], held: Held) -> list[float]:
    """The axis: the channels, and the ends of the format that are near."""
    low, high = float(y.min()) - 0.5, float(y.max()) + 0.5
    near = [end for end in (held.up.low, held.up.high) if low - 6 <= end <= high + 3]
    return [min([low, *(end - 0.5 for end in near)]), max([high, *(end + 0.5 for end in near)])]


def _table(channels: NDArray[np.float32], held: Held) -> pd.DataFrame:
    import pandas as pd

    sizes = channels.astype(float)
    lost = (sizes > 0) & (sizes < 2.0**held.up.low) & (not held.many)
    kind = np.where(find_outliers(channels), OUTLIERS, np.where(lost, LOST, CHANNELS))
    return pd.DataFrame({"channel": np.arange(len(sizes)), "absmax": sizes, "kind": kind})


def _points(kind: str, rows: pd.DataFrame, y: Any) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": kind, "x": rows.index.to_numpy(), "y": y,
        "marker": KINDS[kind], "customdata": rows[["channel", "absmax"]].to_numpy(),
        "hovertemplate": "channel %{customdata[0]:,}: at most %{customdata[1]:.4g}<extra></extra>",
    }  # fmt: skip


def _median(channels: NDArray[np.float32], count: int) -> dict[str, Any]:
    median = float(np.log2(max(float(np.median(channels)), _floor(channels))))
    line = {"color": SOFT, "dash": "dot", "width": 1.4}
    ends = {"x": [0, max(count - 1, 1)], "y": [median, median]}
    return {"type": "scatter", "mode": "lines", "name": "median channel", "line": line, "hoverinfo": "skip", **ends}


def _band(held: Held, span: list[float]) -> list[dict[str, Any]]:
    low, high = max(held.up.low, span[0]), min(held.up.high, span[1])
    if low >= high:
        return []
    fill = {"fillcolor": see_through(held.color, 0.14), "line": {"width": 0}, "layer": "below"}
    return [{"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": low, "y1": high, **fill}]
