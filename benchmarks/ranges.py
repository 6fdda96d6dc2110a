"""Ranges of every tensor in one pass: its time over a plain forward pass and torch's observers, its memory, and how
well forecasts from it tell what formats do. (Effect: processes, disk.)"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import Plain
from benchmarks.ranges_forecast import KINDS, WITHIN_DB, judge
from benchmarks.record import tell
from explorer.graph import ModelGraph, as_fp32, capture, fold_batch_norms, interpret
from explorer.measure import Effort, find_device, time_rounds
from explorer.measure.ratios import ratio_of_medians
from explorer.observe import observe
from explorer.observe.watch import choose_watched
from explorer.ranges import Histogram, Runs, TensorRange
from explorer.samples import Samples
from explorer.zoo import bundled

FILE = "ranges.jsonl"
SECONDS, DUEL_SECONDS = 40.0, 30.0
MOST, FASTER = 1.6, 4.0
SHARE_OF_LARGEST, BYTES_PER_TENSOR = 0.15, 64 << 10
MOST_WITHIN = 0.95
FORECAST_SAMPLES, WEIGHT_ELEMENTS = 2, 1 << 19
"""What forecasts are held against: what so many samples bring about, and so many elements of a weight, whole rows."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model in one graph, and its data: all that ``observe`` needs of a subject."""

    graph: ModelGraph
    samples: Samples


def digits_vit() -> Case:
    """The bundled vision transformer on its 397 test images."""
    loaded = bundled.load_bundled("digits-vit")
    x, _ = loaded.data
    return _case(loaded.module, x, 32)


def resnet18() -> Case:
    """ResNet-18's shape, random weights, 16 images of 224 x 224 in batches of 8."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic", num_labels=1000)
    images = torch.randn(16, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    model = ResNetForImageClassification(config)
    with torch.no_grad():
        model.train()(images[:8])  # batch norms of fresh statistics would let activations grow
    return _case(Plain(model, "logits"), images, 8)


def gpt2() -> Case:
    """GPT-2's shape (12 layers of width 768), random weights, 16 sequences of 128 tokens in batches of 2."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokens = torch.randint(0, 50257, (16, 128), generator=torch.Generator().manual_seed(0))
    return _case(Plain(GPT2LMHeadModel(GPT2Config(use_cache=False)), "logits"), tokens, 2)


CASES: Mapping[str, Callable[[], Case]] = {"digits-vit": digits_vit, "resnet-18": resnet18, "gpt-2": gpt2}


def main() -> None:
    """Run the whole, or with the name of a case only its peak memory, in this process (Linux)."""
    if len(sys.argv) > 1:
        print(*_extra_peak(CASES[sys.argv[1]]()))
        return
    for name, build in CASES.items():
        case = build()
        tell_times(name, case)
        tell_memory(name)
        tell_forecasts(name, case)


def tell_times(name: str, case: Case) -> None:
    """The pass over the plain forward pass, where the two take turns; and what torch's HistogramObserver on the same
    tensors adds to a forward pass, over what the pass adds, where all three do."""
    device, works = find_device("cpu"), {"plain": _run, "ours": _observe, "theirs": _attach_observers}
    calls = {way: partial(work, case) for way, work in works.items()}
    pair = {way: calls[way] for way in ("plain", "ours")}
    rounds = time_rounds(pair, device, Effort(DUEL_SECONDS, within=0.0))
    whole = rounds.ratio("ours", "plain")
    tell(
        f"{name}, ranges of every tensor, over a plain forward pass", whole.value, "x", f"<= {MOST}",
        whole.value <= MOST, FILE, interval_95=[round(value, 3) for value in whole.interval], n=rounds.n,
        forward_ms=round(rounds.median_ms("plain"), 2), samples=len(case.samples), elements=_elements(case),
    )  # fmt: skip
    rounds = time_rounds(calls, device, Effort(SECONDS, within=0.0))
    added = {
        way: [t - plain for t, plain in zip(rounds.times_s[way], rounds.times_s["plain"], strict=True)] for way in calls
    }
    ratio = ratio_of_medians(added["theirs"], added["ours"])
    tell(
        f"{name}, what HistogramObserver adds to a forward pass over what ranges add", ratio.value, "x", f">= {FASTER}",
        ratio.value >= FASTER, FILE, interval_95=[round(value, 3) for value in ratio.interval], n=rounds.n,
        why=f"whole passes {rounds.ratio('theirs', 'ours').value:.2f} x",
    )  # fmt: skip


def tell_memory(name: str) -> None:
    """The most memory of the pass beyond that of a plain forward pass, over what the bar allows.

    Each larger piece of memory is asked of Linux and given back by itself, so that what is resident is what is in use.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ranges", name]
    printed = subprocess.check_output(command, env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "32768"})
    extra, allowed, largest, tensors = (int(each) for each in printed.split())
    tell(
        f"{name}, peak memory of the ranges over what they may take", extra / allowed, "x", "<= 1", extra <= allowed,
        FILE, extra_bytes=extra, largest_activation_bytes=largest, tensors=tensors,
    )  # fmt: skip


def tell_forecasts(name: str, case: Case) -> None:
    """How many tensors' forecasts are right, of every format: SQNR within 1 dB, shares within their margin.

    The ranges are those of a pass, with the runs that it keeps; tensors so small that these are all of them are
    forecast from their values, so the share among the others is told too.
    """
    judged = [judge(x, found) for x, found in _tensors(case)]
    larger = [each for each in judged if not each.small]
    right, cells = sum(each.right for each in judged), len(judged) * len(KINDS)
    counted, shares = sum(each.counted for each in judged), sum(each.shares for each in judged)
    tell(
        f"{name}, forecast SQNR within {WITHIN_DB:g} dB of the measured", right / cells, "of cells",
        f">= {MOST_WITHIN}", right / cells >= MOST_WITHIN, FILE, tensors=len(judged), formats=len(KINDS),
        samples=FORECAST_SAMPLES, most_elements_of_a_weight=WEIGHT_ELEMENTS, larger_tensors=len(larger),
        of_larger_tensors=round(sum(each.right for each in larger) / (len(larger) * len(KINDS)), 4),
    )  # fmt: skip
    tell(
        f"{name}, forecast shares within one bin's mass of the counted", shares / counted, "of cells", "= 1",
        shares == counted, FILE, tensors=len(judged), cells=counted,
    )  # fmt: skip


def _case(model: nn.Module, x: Tensor, batch_size: int) -> Case:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = capture(as_fp32(model.eval().requires_grad_(False)), (x[:2],))
    return Case(fold_batch_norms(graph), Samples((x,), None, batch_size))


def _run(case: Case) -> None:
    for inputs, _ in case.samples.first(len(case.samples)):
        interpret(case.graph, inputs)


def _observe(case: Case) -> None:
    observe(case)  # type: ignore[arg-type]  # of a subject it reads graph and samples


def _attach_observers(case: Case) -> None:
    """torch's observer on each tensor that the pass counts, weights too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = partial(torch.ao.quantization.HistogramObserver, dtype=torch.qint8)
        watched = {name: make() for name in choose_watched(case.graph).counted}
        for inputs, count in case.samples.first(len(case.samples)):

            def show(name: str, value: Any, count: int = count, size: int = len(inputs[0])) -> None:
                if name in watched:
                    watched[name](value[:count] if value.dim() and len(value) == size else value)

            for name, value in zip(case.graph.inputs, inputs, strict=True):
                show(name, value)
            interpret(case.graph, inputs, lambda op, output, show=show: show(op.name, output))
        for weight in _weights(case.graph):
            make()(weight)


def _weights(graph: ModelGraph) -> list[Tensor]:
    read = dict.fromkeys(name for op in graph.ops for name in op.refs if name in graph.constants)
    return [graph.constants[name] for name in read if graph.constants[name].is_floating_point()]


def _tensors(case: Case) -> Iterator[tuple[Tensor, TensorRange]]:
    """What a few samples bring about, with its range from a pass over them; and weights, of large ones some rows."""
    few = Samples(tuple(x[:FORECAST_SAMPLES] for x in case.samples.inputs), None, FORECAST_SAMPLES)
    found = observe(SimpleNamespace(graph=case.graph, samples=few))  # type: ignore[arg-type]
    kept: dict[str, Tensor] = {}

    def keep(op: Any, output: Any) -> None:
        if op.name in found.values and isinstance(output, Tensor) and output.numel():
            kept[op.name] = output

    interpret(case.graph, few.inputs, keep)
    counted = choose_watched(case.graph).counted
    yield from ((kept.pop(name), found.values[name]) for name in counted if name in kept)
    for weight in _weights(case.graph):
        part = weight[: max(1, WEIGHT_ELEMENTS * len(weight) // weight.numel())] if weight.dim() else weight
        yield part, TensorRange(Histogram.of(part), runs=Runs.of(part))


def _elements(case: Case) -> int:
    found = observe(case)  # type: ignore[arg-type]  # of a subject it reads graph and samples
    return sum(each.histogram.count for each in {id(x): x for x in found.values.values()}.values())


def _extra_peak(case: Case) -> tuple[int, int, int, int]:
    """Bytes that the pass takes beyond a plain one at their peaks, those allowed, the largest activation, tensors."""
    largest = 0

    def note(op: Any, output: Any) -> None:
        nonlocal largest
        largest = max(largest, output.nbytes if isinstance(output, Tensor) else 0)

    warm = SimpleNamespace(graph=case.graph, samples=Samples(tuple(x[:2] for x in case.samples.inputs), None, 2))
    observe(warm)  # type: ignore[arg-type]  # compiles the loops
    for inputs, _ in case.samples.first(1):
        interpret(case.graph, inputs, note)
    _run(case)
    plain = _peak(partial(_run, case))
    kept: list[Any] = []
    extra = _peak(lambda: kept.append(observe(case))) - plain  # type: ignore[arg-type]
    tensors = len({id(x) for x in kept[0].values.values()}) + len(kept[0].weights)
    return max(extra, 0), int(SHARE_OF_LARGEST * largest) + tensors * BYTES_PER_TENSOR, largest, tensors


def _peak(work: Callable[[], None]) -> int:
    """The most bytes of memory in use while ``work`` runs, beyond those before."""
    status = Path("/proc/self/status")

    def read(field: str) -> int:
        return 1024 * int(next(line for line in status.read_text().splitlines() if line.startswith(field)).split()[1])

    now = read("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    work()
    return read("VmHWM:") - now


if __name__ == "__main__":
    main()
