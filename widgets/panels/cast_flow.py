"""The experiment of casts up and down: what each step of a chain loses, and what comes back at its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import ipywidgets
import torch

import explorer as px
from explorer.arithmetic import CastChain, CastStep, cast_chain
from widgets.panels.experiment import Experiment, chip, listing, number, percent

ELEMENTS = 20_000
CHAINS = (
    "fp32 bf16 fp16 fp8_e4m3 fp32",
    "fp32 bf16 fp32",
    "fp32 fp16 fp32",
    "fp32 tf32 bf16 fp16 fp32",
    "bf16 fp16 bf16",
    "fp16 bf16 fp16",
    "fp32 fp8_e5m2 fp8_e4m3 fp32",
    "fp32 fp8_e4m3 fp4_e2m1 fp32",
)
MOST_FORMATS = 12
MOST_TEXT = 200
DATA = {
    "activations: normal, some channels 300 times larger": "activations",
    "weights: normal, standard deviation 0.02": "weights",
    "gradients: from 1e-10 to 1e-2": "gradients",
    "spread evenly over the powers of ten, 1e-8 to 1e8": "spread",
}
PARTS = {
    "same": "unchanged",
    "rounded": "rounded",
    "flushed": "flushed to zero",
    "saturated": "saturated",
    "inf": "became Inf",
    "nan": "became NaN",
}

ABOUT = (
    "A cast to a wider format loses nothing and brings nothing back. BF16 has the range of FP32 and few digits, FP16 "
    "more digits and a small range: between those two, each direction loses something else."
)


@dataclass(frozen=True)
class Chain:
    """What the controls hold."""

    formats: tuple[str, ...]
    data: str
    saturate: bool


class CastFlow(Experiment[Chain, CastChain]):
    """One tensor through a chain of formats."""

    def __init__(self) -> None:
        self.preset = ipywidgets.Dropdown(options=[(_arrows(chain), chain) for chain in CHAINS])
        self.chain = ipywidgets.Text(CHAINS[0], continuous_update=False)
        self.data = ipywidgets.Dropdown(options=list(DATA.items()))
        self.saturate = ipywidgets.Checkbox(True, description="beyond the largest: saturate", indent=False)
        self.flow = ipywidgets.HTML()
        self.words = ipywidgets.HTML()
        controls = {"chain": self.preset, "or your own": self.chain, "data": self.data, "casts": self.saturate}
        super().__init__(ABOUT, controls, [self.flow, self.words])
        self.preset.observe(self._take_preset, "value")

    def _take_preset(self, change: dict[str, str]) -> None:
        self.chain.value = change["new"]

    def settings(self) -> Chain:
        text = self.chain.value
        names = tuple(text.lower().replace("→", " ").replace(",", " ").replace("-", "_").split())
        if len(text) > MOST_TEXT or len(names) > MOST_FORMATS:
            raise px.ExplorerError("cast chain", "it is too long to show", f"at most {MOST_FORMATS} formats")
        return Chain(names, self.data.value, self.saturate.value)

    def compute(self, settings: Chain) -> CastChain:
        return cast_chain(make_data(settings.data), settings.formats, settings.saturate)

    def show(self, result: CastChain) -> None:
        cards = "".join(_card(step) for step in result.steps)
        legend = "".join(f"<span><i class='px-part-{key}'></i>{words}</span>" for key, words in PARTS.items())
        start = f"<div class='px-cast'>{chip(result.formats[0])} <span class='px-sub'>{ELEMENTS:,} values</span></div>"
        self.flow.value = f"<div class='px-legend'>{legend}</div><div data-testid='cast-flow'>{start}{cards}</div>"
        self.words.value = listing([_verdict(result)], "cast-words")


def make_data(kind: str) -> torch.Tensor:
    """The tensor of a kind, the same at every call [elements]."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(ELEMENTS, generator=generator)
    even = torch.rand(ELEMENTS, generator=generator)
    if kind == "activations":
        return normal * torch.where(torch.arange(ELEMENTS) % 64 == 7, 300.0, 1.0)
    if kind == "weights":
        return normal * 0.02
    low, high = (-10, -2) if kind == "gradients" else (-8, 8)
    return normal.sign() * 10.0 ** (low + (high - low) * even)


def _arrows(chain: str) -> str:
    return " → ".join(px.FORMATS[name].label for name in chain.split())


def _parts(step: CastStep) -> dict[str, int]:
    """How many elements met which fate; they add up to all of them."""
    parts = {"flushed": step.flushed, "saturated": step.saturated, "inf": step.infs, "nan": step.nans}
    return {"same": step.elements - step.changed, "rounded": step.changed - sum(parts.values()), **parts}


def _card(step: CastStep) -> str:
    parts = {key: count for key, count in _parts(step).items() if count}
    bars = "".join(
        f"<i class='px-part-{key}' style='flex: {count} 0 0' title='{PARTS[key]}: {count:,}'></i>"
        for key, count in parts.items()
    )
    counts = ", ".join(_counts(step, parts))
    return (
        f"<div class='px-cast'><span class='px-arrow'>↓ {step.direction}</span> {chip(step.target)}"
        f"<div class='px-bar' role='img' aria-label='{counts}'>{bars}</div>"
        f"<div class='px-sub'>{counts}</div><div class='px-sub'>{_quality(step)}</div></div>"
    )


def _counts(step: CastStep, parts: dict[str, int]) -> Iterator[str]:
    for key, count in parts.items():
        yield f"{count:,} {PARTS[key]}"
    if step.subnormal:
        yield f"{step.subnormal:,} became subnormal"


def _quality(step: CastStep) -> str:
    if not step.changed:
        return f"this step loses nothing; {_decibels(step.total_sqnr_db)} since the start"
    return (
        f"largest relative error {percent(step.max_relative_error)}; SQNR of this step {_decibels(step.sqnr_db)}, "
        f"{_decibels(step.total_sqnr_db)} since the start"
    )


def _decibels(value: float) -> str:
    return f"{number(value, 3)} dB"


def _verdict(chain: CastChain) -> str:
    n, restored = chain.start.numel(), chain.restored
    many = f"{restored:,} of {n:,} values ({percent(restored / n)})" if restored else "not one value"
    verb = "are" if restored > 1 else "is"
    start, end = chip(chain.formats[0]), chip(chain.formats[-1])
    return f"At the end, in {end}, {many} {verb} what went in, in {start}, bit for bit."
