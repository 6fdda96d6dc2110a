"""The experiment of a softmax in a narrow format: where Inf and NaN are born, and the form that avoids them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import ipywidgets
import numpy as np

import explorer as px
from explorer.arithmetic import Step, Steps, logsumexp_in, softmax_in
from widgets.panels.experiment import Experiment, chip, listing, number

FORMATS = ("fp16", "bf16", "fp32", "fp8_e5m2", "fp8_e4m3")
LOGITS = np.array([1.0, 0.9, 0.5, 0.0, -0.5, -1.0])
COMPUTE = {"softmax": softmax_in, "log-sum-exp": logsumexp_in}

ABOUT = (
    "exp grows fast: exp(12) is already beyond FP16's largest number. A softmax that is written as the textbook has it "
    "overflows to Inf, and Inf / Inf is NaN. Subtracting the largest logit first changes nothing in exact arithmetic, "
    "and then no exponential exceeds 1."
)


@dataclass(frozen=True)
class Logits:
    """What the controls hold."""

    format: str
    scale: float
    what: str


class SoftmaxOverflow(Experiment[Logits, tuple[Logits, Steps, Steps]]):
    """Softmax or log-sum-exp of six logits, as the textbook has it and mended, every intermediate on show."""

    def __init__(self) -> None:
        self.what = ipywidgets.Dropdown(options=list(COMPUTE))
        self.format = ipywidgets.Dropdown(options=[(px.FORMATS[name].label, name) for name in FORMATS])
        self.scale = ipywidgets.FloatSlider(12.0, min=1.0, max=120.0, step=0.5, readout_format=".1f")
        self.words = ipywidgets.HTML()
        self.tables = ipywidgets.HTML()
        controls = {"compute": self.what, "in": self.format, "largest logit": self.scale}
        super().__init__(ABOUT, controls, [self.words, self.tables])

    def settings(self) -> Logits:
        return Logits(self.format.value, self.scale.value, self.what.value)

    def compute(self, settings: Logits) -> tuple[Logits, Steps, Steps]:
        run = COMPUTE[settings.what]
        logits = LOGITS * settings.scale
        return settings, run(logits, settings.format, stable=False), run(logits, settings.format, stable=True)

    def show(self, result: tuple[Logits, Steps, Steps]) -> None:
        settings, naive, mended = result
        self.words.value = listing([_naive_sentence(settings, naive), _mended_sentence(mended)], "softmax-words")
        tables = _table("as the textbook has it", naive) + _table("mended: the largest logit subtracted first", mended)
        self.tables.value = f"<div class='px-pair' data-testid='softmax-tables'>{tables}</div>"


def _naive_sentence(settings: Logits, steps: Steps) -> str:
    who = f"{chip(steps.format)} as the textbook has it:"
    if steps.first_inf is None and steps.first_nan is None:
        return f"{who} nothing overflows at this scale; the largest error is {number(steps.largest_error, 3)}."
    firsts = (("Inf", steps.first_inf), ("NaN", steps.first_nan))
    born = [f"{word} in <i>{first}</i> ({_reason(first, settings, steps)})" for word, first in firsts if first]
    silent = "" if steps.first_nan else " The result is wrong, and no NaN tells."
    return f"{who} {' and '.join(born)}.{silent}"


def _reason(name: str, settings: Logits, steps: Steps) -> str:
    """Why Inf or NaN appears first in the step of this name."""
    end = number(px.FORMATS[steps.format].largest)
    if name == "e = exp(x)":
        return f"exp({number(settings.scale)}) is {number(_exp(settings.scale), 3)}, and the format ends at {end}"
    if name == "sum of e":
        return f"every exponential fits, but their sum is beyond {end}"
    return "Inf / Inf" if name == "e / sum" else "the logarithm of Inf"


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf


def _mended_sentence(steps: Steps) -> str:
    zeros = next(step.zeros for step in steps.steps if step.name.startswith("e ="))
    flushed = f" {zeros} of the exponentials are flushed to zero, which costs no more than that." if zeros else ""
    return f"{chip(steps.format)} mended: the largest error is {number(steps.largest_error, 3)}.{flushed}"


def _table(caption: str, steps: Steps) -> str:
    rows = "".join(_row(step, _birth(step, steps)) for step in steps.steps)
    exact = _row(Step("exact", steps.exact), "")
    table = f"<table class='px-steps'><caption>{escape(caption)}</caption>{rows}{exact}</table>"
    return f"<div class='px-scroll'>{table}</div>"


def _birth(step: Step, steps: Steps) -> str:
    born = [word for word, first in (("Inf", steps.first_inf), ("NaN", steps.first_nan)) if first == step.name]
    return f" <span class='px-tag px-born'>{' and '.join(born)} born here</span>" if born else ""


def _row(step: Step, birth: str) -> str:
    width = 1 if step.values.size > 1 else LOGITS.size
    cells = "".join(_cell(float(value), width) for value in step.values)
    return f"<tr><th scope='row'>{escape(step.name)}{birth}</th>{cells}</tr>"


def _cell(value: float, width: int) -> str:
    kind = "px-bad" if not math.isfinite(value) else "px-nil" if value == 0 else ""
    return f"<td class='{kind}' colspan='{width}'>{number(value, 4)}</td>"
