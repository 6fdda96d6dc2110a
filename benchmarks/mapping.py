"""What the predicted map costs: against forward passes, against brute force, and as the model gets deeper.

`python -m benchmarks mapping [--quick]`. A map of F precisions and K probes is held to 1.5 x (1 + 2K + F) forward
passes over the same samples, whatever the number of layers. The first call of each, in which weights are packed once
for a session, is told but not held to the bar; static scales, which a session finds once too, are found before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import explorer as px
from benchmarks.record import tell
from explorer.compare.runs import Extent
from explorer.predict import Ask, predict_map, survey
from explorer.recipe import Recipe
from explorer.run import Executor
from explorer.subject import Subject

FILE = "mapping.jsonl"
PRECISIONS = ("bf16", "fp16", "fp8", "int8", "int8_static", "w8", "w4", "mxfp4")
PROBES, TOKENS, VOCABULARY, HEAD, WIDTH = 4, 64, 128, 32, 256
DEPTHS = {6: 64, 12: 32, 24: 16}
"""Layers -> samples of a batch: all work of a pass, products and what is done element by element, is the same for all.
With 12 layers it is the batch that a session has by default."""
BATCHES, ROUNDS, PLAIN = 2, 3, 16
"""Batches of a map, timed so many times; cells that are run in full to tell what brute force takes."""
SLACK, FLATNESS, GAIN = 1.5, 1.15, 20.0


class Block(nn.Module):
    """A layer of GPT-2's shape: causal attention and four times as wide an MLP, norms first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        parts = self.qkv(self.norm1(x)).reshape(n, tokens, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))
        out: Tensor = x + self.fc2(self.act(self.fc1(self.norm2(x))))
        return out


class Deep(nn.Module):
    """Tokens [n, tokens] to logits [n, tokens, vocabulary] through so many layers."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(layers)))

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.embed(tokens)))
        return out


@dataclass(frozen=True)
class Times:
    """Seconds a batch: of one FP32 pass, of a map, of the first such map, and of running each of its cells in full (0
    where not timed)."""

    forward: float
    map: float
    first: float
    cells: int
    plain: float = 0.0

    @property
    def passes(self) -> float:
        """The map's cost in forward passes."""
        return self.map / self.forward


def main() -> None:
    """Time all depths, the one of 12 layers also against brute force."""
    rounds = 1 if "--quick" in sys.argv else ROUNDS
    times = {layers: _time(layers, rounds) for layers in DEPTHS}
    bar = SLACK * (1 + 2 * PROBES + len(PRECISIONS))
    for layers, found in times.items():
        _tell(f"map of {layers} layers", found.passes, "forward passes", f"<= {bar:g}", found.passes <= bar, found)
    passes = [found.passes for found in times.values()]
    spread = max(passes) / min(passes)
    tell(
        "map, deepest against shallowest", spread, "x", f"<= {FLATNESS:g}", spread <= FLATNESS, FILE,
        passes={layers: round(found.passes, 2) for layers, found in times.items()},
    )  # fmt: skip
    gain = times[12].plain / times[12].map
    _tell("brute force over the map, 12 layers", gain, "x", f">= {GAIN:g}", gain >= GAIN, times[12])


def _tell(name: str, value: float, unit: str, bar: str, met: bool, times: Times) -> None:
    tell(
        name, value, unit, bar, met, FILE, forward_ms=round(1e3 * times.forward, 2), map_ms=round(1e3 * times.map, 1),
        first_ms=round(1e3 * times.first, 1),
        plain_ms=round(1e3 * times.plain, 1), cells=times.cells, precisions=list(PRECISIONS), probes=PROBES,
    )  # fmt: skip


def _time(layers: int, rounds: int) -> Times:
    batch = DEPTHS[layers]
    torch.manual_seed(0)
    model, tokens = Deep(layers, WIDTH).eval(), torch.randint(0, VOCABULARY, (BATCHES * batch, TOKENS))
    with TemporaryDirectory() as folder:
        session = px.open(
            model, inputs=tokens[:2], data=(tokens, tokens), task="causal-lm", device="cpu", batch_size=batch,
            name=f"{layers} layers", store=Path(folder) / "trials.sqlite",
        )  # fmt: skip
        subject = session.subject
        subject.calibration()
        ask = Ask(PRECISIONS, PROBES)
        first = _clock(lambda: predict_map(subject, ask, Extent(len(tokens)))) / BATCHES
        forward = _full_run(subject, subject.baseline.recipe)
        forwards, maps = [], []
        for _ in range(rounds):
            forwards += [_clock(forward) for _ in range(2 * BATCHES)]
            maps.append(_clock(lambda: predict_map(subject, ask, Extent(len(tokens)))) / BATCHES)
        cells = list(survey(subject, PRECISIONS)[0])
        plain = _brute_force(subject, cells) if layers == 12 else 0.0
    return Times(median(forwards), median(maps), first, len(cells), plain)


def _brute_force(subject: Subject, cells: list[tuple[str, str]]) -> float:
    """Seconds to run the model once per cell, from some of the cells spread over all of them."""
    chosen = cells[:: max(1, len(cells) // PLAIN)]
    runs = [
        _full_run(subject, subject.baseline.recipe.with_precision([op], precision, "alone")) for op, precision in chosen
    ]
    for run in runs:
        run()
    return median(map(_clock, runs)) * len(cells)


def _full_run(subject: Subject, recipe: Recipe) -> Callable[[], Tensor]:
    """Return a call that runs a recipe on the first batch, planned and its weights packed before."""
    executor = Executor(subject.planner.plan(recipe), subject.kernels)
    return lambda: executor.run(dict(zip(subject.graph.inputs, subject.samples.batch(0), strict=True)))


def _clock(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
