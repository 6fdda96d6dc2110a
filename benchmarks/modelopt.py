"""NVIDIA's AutoQuantize beside ours: one model, one set of data, INT8 or FP8 or neither for each layer.

The package is no dependency; without it the part says so. To measure, run
`PYTHONPATH=. python -m benchmarks.modelopt` where nvidia-modelopt is installed beside torch. (Effect: clock, disk.)
"""

from __future__ import annotations

import copy
import importlib.util
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

import explorer as px
from benchmarks.record import note, spread, tell
from explorer.compare.runs import Extent
from explorer.measure import divergence
from explorer.predict import Ask, PredictedMap, predict_map
from explorer.predict.price import Pricer
from explorer.recipe import Recipe
from explorer.search import Problem, cheapest
from explorer.zoo.bundled import load_bundled

FILE = "modelopt.jsonl"
MODEL, SAMPLES, BATCH, PROBES = "digits-vit", 128, 32, 2
FORMATS = {"INT8_DEFAULT_CFG": "int8_static", "FP8_DEFAULT_CFG": "fp8_tensor"}
"""Their formats and ours with the same scales: per channel for weights, one for a whole activation."""
WIDE_BITS, NARROW_BITS = 16.0, 8.0
"""Bits of a weight that is left alone, as they count, and of one in either format."""
BUDGETS = (9.0, 10.0, 11.0, 12.0, 13.0, 14.0)
NO_WORSE = 1.02
"""Two choices whose measured costs differ by less are equal: a layer of the last millinat more or less."""


@dataclass(frozen=True, eq=False)
class Theirs:
    """What AutoQuantize answered under one budget: layer -> its format or None, the bits that this takes, the KL of its
    own quantised model; how long it took."""

    layers: Mapping[str, str | None]
    bits: float
    kl: float
    seconds: float


def main() -> None:
    """Compare the time that an analysis takes per cell, and what the choices cost at equal bits."""
    if importlib.util.find_spec("modelopt") is None:
        note("AutoQuantize of modelopt", None, "", FILE, absent="nvidia-modelopt is not installed here")
        return
    module, data = _load()
    answers, seconds = [], []
    for budget in BUDGETS:  # by turns, so that a busy moment slows both
        answers.append(ask_modelopt(module, data, budget))
        session = px.open(module, data=data, task="classification", name=MODEL, batch_size=BATCH)
        start = time.perf_counter()
        map_ = predict_map(session.subject, Ask(tuple(FORMATS.values()), PROBES), Extent(SAMPLES))
        seconds.append(time.perf_counter() - start)
    cells = len(answers[0].layers) * len(FORMATS)
    judge_time([each / cells for each in seconds], [answer.seconds / cells for answer in answers], len(map_.products))
    judge_choices(session, map_, answers)


def ask_modelopt(module: nn.Module, data: tuple[Tensor, Tensor], budget: float) -> Theirs:
    """Run AutoQuantize with its gradient score on a copy of ``module``."""
    import modelopt.torch.quantization as mtq

    model = copy.deepcopy(module).requires_grad_(True)
    x, y = data
    batches = list(zip(x[:SAMPLES].split(BATCH), y[:SAMPLES].split(BATCH), strict=True))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised, state = mtq.auto_quantize(
            model,
            constraints={"effective_bits": budget},
            quantization_formats=[getattr(mtq, name) for name in FORMATS],
            data_loader=batches,
            forward_step=lambda model, batch: model(batch[0]),
            loss_func=lambda output, batch: nn.functional.cross_entropy(output, batch[1]),
            num_calib_steps=len(batches),
            num_score_steps=len(batches),
        )
    seconds = time.perf_counter() - start
    layers = {
        name.removesuffix(".quant_recipe"): next((known for known in FORMATS if known in str(recipe)), None)
        for name, recipe in state["best"]["recipe"].items()
    }
    return Theirs(layers, float(state["best"]["constraints"]["effective_bits"]), _kl(quantised, module, x), seconds)


def judge_time(ours: list[float], theirs: list[float], all_cells: int) -> None:
    """Tell the seconds of an analysis per layer and format; ours finds ``all_cells``, other ops' besides."""
    mine, middle = float(np.median(ours)), float(np.median(theirs))
    tell(
        "analysis per cell, against AutoQuantize", mine * 1e3, "ms", f"< {middle * 1e3:.3g} ms", mine < middle, FILE,
        what="analysis per layer and format", theirs=middle * 1e3, theirs_ms=spread([1e3 * one for one in theirs]),
        ours_ms=spread([1e3 * one for one in ours]), ratio=round(mine / middle, 3), cells=all_cells, probes=PROBES,
        modelopt=version("nvidia-modelopt"), samples=SAMPLES,
    )  # fmt: skip


def judge_choices(session: px.Session, map_: PredictedMap, answers: list[Theirs]) -> None:
    """Tell what both choices cost, run by the same kernels on all data, at the bits that theirs took."""
    pricer = Pricer(map_)
    for budget, answer in zip(BUDGETS, answers, strict=True):
        names = {layer: None if form is None else FORMATS[form] for layer, form in answer.layers.items()}
        theirs = session.evaluate(_recipe(session, names)).kl
        chosen = choose(session, pricer, list(names), answer.bits)
        ours = session.evaluate(chosen).kl
        tell(
            f"KL at {answer.bits:.2f} effective bits, against AutoQuantize", ours, "nats", f"<= {theirs:.3g} nats",
            ours <= theirs * NO_WORSE, FILE, what=f"measured KL at {answer.bits:.2f} bits", theirs=theirs,
            asked_bits=budget, predicted=pricer.price(chosen).cost, in_their_own_kernels=answer.kl,
        )  # fmt: skip


def choose(session: px.Session, pricer: Pricer, layers: list[str], bits: float) -> Recipe:
    """The cheapest choice of our precisions for these layers, by predicted cost, within so many bits per weight."""
    ops = {layer: _op_of(session, layer) for layer in layers}
    sizes = {layer: float(session.ops.loc[op, "params"]) for layer, op in ops.items()}
    quality = {
        layer: {"fp32": 0.0, **{name: pricer.costs[ops[layer], name] for name in FORMATS.values()}} for layer in layers
    }
    spent = {
        layer: {name: sizes[layer] * (WIDE_BITS if name == "fp32" else NARROW_BITS) for name in quality[layer]}
        for layer in layers
    }
    found = cheapest(Problem(tuple(layers), quality, spent), bits * sum(sizes.values()))
    assert found is not None, "their own choice takes these bits"
    return _recipe(session, dict(found.choice))


def _recipe(session: px.Session, names: Mapping[str, str | None]) -> Recipe:
    recipe = session.subject.baseline.recipe
    for layer, name in names.items():
        recipe = recipe.with_precision([_op_of(session, layer)], name or "fp32", "chosen")
    return recipe


def _op_of(session: px.Session, layer: str) -> str:
    """The product that a layer is in the graph."""
    return next(op.id for op in session.subject.graph.rows if op.layer == layer and op.role == "compute")


@torch.no_grad()
def _kl(quantised: nn.Module, module: nn.Module, x: Tensor) -> float:
    return float(divergence(quantised(x), module(x)).mean())


def _load() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    loaded = load_bundled(MODEL)
    return loaded.module, loaded.data


if __name__ == "__main__":
    main()
