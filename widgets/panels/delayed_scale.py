"""The experiment of delayed scaling: FP8 scales from earlier steps meet a sudden outlier."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ipywidgets
import torch

import explorer as px
from explorer.ranges import DelayedScaling, ScalingStep, compare_scaling
from widgets.panels.experiment import Experiment, chip, listing, number, percent
from widgets.plots import AXIS, BAD, COLORS, SOFT, make_figure
from widgets.views.plot import Plot

FORMATS = ("fp8_e4m3", "fp8_e5m2")
STEPS, ELEMENTS = 48, 4096
SHARES = {"one value in a thousand": 0.001, "the whole tensor": 1.0}
JUMPS = (1, 4, 16, 64, 256, 1024, 16_384, 262_144)
WINDOWS = (1, 4, 16, 1024)
ALGORITHMS = {"the largest of the window": "max", "the latest": "most_recent"}

LAYOUT: dict[str, Any] = {
    "height": 440,
    "legend_y": 1.04,
    "xaxis_anchor": "y2",
    "yaxis": {"type": "log", "domain": [0.56, 1], "exponentformat": "power"},
    "yaxis2": {**AXIS, "title": {"text": "SQNR, dB"}, "domain": [0, 0.46], "rangemode": "tozero"},
}
"""Two charts over one axis: what must be held and what can be, and the quality that follows."""

ABOUT = (
    "A scale that fits a tensor needs its largest magnitude first: one more pass over the data. Delayed scaling takes "
    "the largest magnitude of earlier steps instead. That works until a tensor jumps: then the scale is too "
    "small, values saturate, and afterwards the window remembers the jump for as long as it is wide."
)


@dataclass(frozen=True)
class Jump:
    """What the controls hold. ``times``: how much larger values become; ``share``: which part of them; ``at``: when."""

    format: str
    times: int
    share: float
    at: int
    scaling: DelayedScaling


class DelayedScale(Experiment[Jump, tuple[Jump, tuple[ScalingStep, ...]]]):
    """Successive tensors with one jump, under delayed scaling and under a scale from each tensor itself."""

    def __init__(self) -> None:
        self.format = ipywidgets.Dropdown(options=[(px.FORMATS[name].label, name) for name in FORMATS])
        self.times = ipywidgets.Dropdown(options=[(f"{times:,} times", times) for times in JUMPS], value=256)
        self.share = ipywidgets.Dropdown(options=list(SHARES.items()))
        self.at = ipywidgets.IntSlider(16, min=1, max=STEPS - 2)
        self.window = ipywidgets.Dropdown(options=[(f"{window:,} steps", window) for window in WINDOWS], value=16)
        self.margin = ipywidgets.IntSlider(0, min=0, max=8)
        self.algorithm = ipywidgets.Dropdown(options=list(ALGORITHMS.items()))
        self.plot = Plot("delayed-scaling")
        self.words = ipywidgets.HTML()
        controls = {"format": self.format, "jumps by": self.times, "what jumps": self.share, "at step": self.at}
        controls |= {"window": self.window, "scale from": self.algorithm, "margin (powers of two)": self.margin}
        super().__init__(ABOUT, controls, [self.plot, self.words])

    def settings(self) -> Jump:
        scaling = DelayedScaling(self.format.value, self.window.value, self.margin.value, self.algorithm.value)
        return Jump(self.format.value, self.times.value, self.share.value, self.at.value, scaling)

    def compute(self, settings: Jump) -> tuple[Jump, tuple[ScalingStep, ...]]:
        tensors = make_steps(settings)
        state = settings.scaling
        for _ in range(min(settings.scaling.window, STEPS)):
            state = state.after(float(tensors[0].abs().amax()))  # a training that runs already has a history
        return settings, compare_scaling(tensors, state)

    def show(self, result: tuple[Jump, tuple[ScalingStep, ...]]) -> None:
        settings, steps = result
        self.plot.show(make_figure("step", "largest magnitude", _traces(settings, steps), **LAYOUT))
        self.words.value = listing(_sentences(settings, steps), "delayed-words")


def make_steps(settings: Jump) -> list[torch.Tensor]:
    """Normal tensors of successive steps, the same at every call; at one step some of the values are larger."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(ELEMENTS, generator=generator) for _ in range(STEPS)]
    tensors[settings.at][: max(1, round(settings.share * ELEMENTS))] *= settings.times
    return tensors


def _traces(settings: Jump, steps: tuple[ScalingStep, ...]) -> list[dict[str, object]]:
    largest, color = float(px.FORMATS[settings.format].largest), COLORS[settings.format]
    x = [step.step for step in steps]
    bad = [step for step in steps if step.saturated > 0]
    line: dict[str, object] = {"type": "scatter", "mode": "lines", "x": x}
    holds = [step.scale * largest for step in steps]
    solid, dashed = {"color": color, "width": 2.2}, {"color": SOFT, "dash": "dash", "width": 2}
    cross = {"symbol": "x", "size": 9, "color": BAD}
    marks = {"type": "scatter", "mode": "markers", "name": "values saturate", "x": [step.step for step in bad]}
    return [
        line
        | {
            "name": "largest magnitude",
            "y": [step.amax for step in steps],
            "line": dashed | {"dash": "dot", "shape": "hvh"},
        },
        line | {"name": "largest that the scale holds", "y": holds, "line": solid | {"shape": "hvh"}},
        marks | {"y": [step.amax for step in bad], "marker": cross},
        line | {"name": "SQNR, delayed", "y": _finite(step.sqnr_db for step in steps), "line": solid, "yaxis": "y2"},
        line
        | {
            "name": "SQNR, own scale",
            "y": _finite(step.current_sqnr_db for step in steps),
            "line": dashed,
            "yaxis": "y2",
        },
    ]


def _finite(values: Iterable[float]) -> list[float | None]:
    """The values with gaps where they are Inf or NaN."""
    return [value if math.isfinite(value) else None for value in values]


def _sentences(settings: Jump, steps: tuple[ScalingStep, ...]) -> list[str]:
    at, who = steps[settings.at], chip(settings.format)
    held = at.scale * float(px.FORMATS[settings.format].largest)
    lost = f"{percent(at.saturated)} of the values saturate" if at.saturated else "nothing saturates"
    first = (
        f"At step {at.step} the largest magnitude is {number(at.amax, 3)}, and the scale of earlier steps holds "
        f"{number(held, 3)}: {lost} in {who}. The step's SQNR is {number(at.sqnr_db, 3)} dB; a scale from the tensor "
        f"itself would have given {number(at.current_sqnr_db, 3)} dB."
    )
    return [first, _aftermath(settings, steps)]


def _aftermath(settings: Jump, steps: tuple[ScalingStep, ...]) -> str:
    """How long the scale stays larger than it was, and what that costs."""
    before, after = steps[settings.at - 1], steps[settings.at + 1 :]
    raised = [step for step in after if step.scale > 2 * before.scale]
    if not raised:
        return "The steps after it are scaled as those before."
    worst = min(raised, key=lambda step: step.sqnr_db)
    end = "to the end" if len(raised) == len(after) else f"for {len(raised)} step{'s' if len(raised) > 1 else ''}"
    return (
        f"The window remembers: {end}, the scale is {number(raised[0].scale / before.scale, 3)} times what it was, and "
        f"SQNR goes down to {number(worst.sqnr_db, 3)} dB ({number(worst.current_sqnr_db, 3)} dB with its own scale)."
    )
