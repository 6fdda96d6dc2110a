"""The experiments that the format lab shows, each under its heading; a panel is made when it is first opened."""

from __future__ import annotations

import threading
from collections.abc import Callable

import ipywidgets

from explorer.arithmetic import accumulate
from widgets.panels.cast_flow import CastFlow
from widgets.panels.delayed_scale import DelayedScale
from widgets.panels.long_sum import LongSum
from widgets.panels.promotion import Promotion
from widgets.panels.softmax import SoftmaxOverflow
from widgets.plots import load
from widgets.views.plot import library

Make = Callable[[], ipywidgets.Widget]


def panels() -> list[tuple[str, Make]]:
    """Heading and maker of every experiment, in the order of the page."""
    return [
        ("Add a long sum", LongSum),
        ("Softmax that overflows", SoftmaxOverflow),
        ("Casts up and down", CastFlow),
        ("Delayed scaling meets an outlier", DelayedScale),
        ("Type promotion in JAX and PyTorch", Promotion),
    ]


def warm_up() -> threading.Thread:
    """Loads in the background what the first experiments would wait for: plotly, and the compiled loop of sums."""

    def prepare() -> None:
        load()
        library()
        accumulate([1.0, 1.0], "fp16")

    thread = threading.Thread(target=prepare, name="lab warm-up", daemon=True)
    thread.start()
    return thread
