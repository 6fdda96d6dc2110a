"""How well the predicted map agrees with brute force: every cell alone, and whole recipes drawn at random.

`python -m benchmarks.agreement [MODEL ...]`: each model in a process of its own. Models are the bundled ones and two
that `benchmarks.trained` makes. Cells are judged on at most 512 samples. So are whole recipes, but for two models:
of these a few samples near a tie carry most of the cost, what a recipe measures is one draw of its roundings, as its
prediction is, and only more samples bring the two together. `adder-gpt` is judged on 2,048 sums outside its training,
`digits-vit` on all 1,797 images there are, the 397 for tests and those of its training. Both are told on the first 512
samples besides.
(Effect: disk.)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

import explorer as px
from benchmarks.children import own_store, run
from benchmarks.record import note, spread, tell
from benchmarks.trained import TRAINED, trained
from explorer.compare.runs import Extent, cost_by_sample
from explorer.predict import Ask, Band, Cell, Flow, PredictedMap, Price, Pricer, elementwise, predict_map
from explorer.recipe import Choice, Recipe
from explorer.sweep import sweep
from explorer.zoo.bundled import load_bundled
from explorer.zoo.data import digits, sums

FILE = "agreement.jsonl"
MODELS = (*("digits-vit", "digits-cnn", "adder-gpt"), *TRAINED)
PRECISIONS = ("int8", "w4", "fp8", "mxfp4", "bf16")
WIDE = ("fp32", "bf16", "fp8", "int8", "w8")
NARROW = (*WIDE, "w4", "mxfp4")
ALL = tuple(dict.fromkeys((*PRECISIONS, *NARROW[1:])))
SAMPLES, PROBES = 512, 4
SUMS = 2048
"""Sums that whole recipes of `adder-gpt` are judged on."""
TRAINED_ON = 40_000
"""Sums that it was trained on (`explorer.zoo.train.adder`)."""
LEAST, MOST = 1e-7, 0.05
"""Measured nats between which cells are judged: below is FP32's own rounding, above errors are not small."""
RANKED, RATIO, WITHIN, SHARE = 0.98, 0.15, 1.25, 0.85
RECIPES, CALIBRATING = 50, 20
LARGE, MILLISECONDS, TURNS = 500, 1.0, 100
"""How fast a recipe of so many ops must be priced, in the median of so many turns."""
MOST_SECONDS = 3600.0
"""For one model."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model under test, and its predictions: the map, and the same with the element-wise score."""

    name: str
    session: px.Session
    map: PredictedMap
    diagonal: PredictedMap

    @property
    def ops(self) -> list[str]:
        """Ids of the compute ops that have a prediction."""
        known = {op for op, _ in self.map.products}
        return [op.id for op in self.session.subject.graph.rows if op.role == "compute" and op.id in known]


@dataclass(frozen=True)
class Trial:
    """A whole recipe, priced before it was measured. first: predicted and measured cost on the first samples alone."""

    price: Price
    measured: float
    first: tuple[float, float]

    @property
    def pair(self) -> tuple[float, float]:
        return self.price.cost, self.measured


def main() -> int:
    """Judge the models named on the command line, or all; with ``--here`` in this process."""
    here = "--here" in sys.argv
    names = [argument for argument in sys.argv[1:] if argument != "--here"] or MODELS
    if here:
        for name in names:
            judge(name)
        return 0
    with own_store():
        failed = sum(not run("agreement", name, "--here", seconds=MOST_SECONDS) for name in names)
    judge_speed()
    return int(failed > 0)


def judge(name: str) -> None:
    """Judge one model: its cells, then whole recipes."""
    start = time.perf_counter()
    case = predict(name)
    judge_cells(case, measure_cells(case))
    judge_recipes(with_more_samples(case) if name in MORE else case)
    note(f"{name}: agreement measured in", time.perf_counter() - start, "s", FILE, part=_part(name))


def open_model(name: str) -> px.Session:
    """Open a bundled model, or one that is trained here."""
    if name not in TRAINED:
        return px.open(name)
    module, data = trained(name)
    return px.open(module, data=data, task=TRAINED[name].task, name=name)


def predict(name: str) -> Case:
    """Open a model and predict its map with both scores."""
    session = open_model(name)
    map_ = predict_map(session.subject, Ask(ALL, PROBES), Extent(SAMPLES))
    diagonal = predict_map(session.subject, Ask(PRECISIONS, PROBES, elementwise), Extent(SAMPLES))
    return Case(name, session, map_, diagonal)


def more_sums() -> tuple[Tensor, ...]:
    """The sums of before, and as many as it takes of those that come after the training."""
    few, more = sums(), sums(train=TRAINED_ON + SUMS)
    parts = zip((few.test_x, few.test_y), (more.train_x, more.train_y), strict=True)
    return tuple(torch.cat([test, train[TRAINED_ON:]])[:SUMS] for test, train in parts)


def all_images() -> tuple[Tensor, ...]:
    """The images for tests, then those of the training."""
    data = digits()
    return torch.cat([data.test_x, data.train_x]), torch.cat([data.test_y, data.train_y])


MORE: Mapping[str, tuple[str, Callable[[], tuple[Tensor, ...]], int]] = {
    "adder-gpt": ("causal-lm", more_sums, 256),
    "digits-vit": ("classification", all_images, 128),
}
"""Task, data and batch size of the models whose recipes are judged on more samples."""


def with_more_samples(case: Case) -> Case:
    """The same model on more samples, with their map."""
    task, data, size = MORE[case.name]
    session = px.open(load_bundled(case.name).module, data=data(), task=task, name=case.name, batch_size=size)
    map_ = predict_map(session.subject, Ask(ALL, PROBES), Extent(session.samples))
    return replace(case, session=session, map=map_)


def measure_cells(case: Case) -> dict[Cell, float]:
    """Run the whole model with each cell alone: the KL in nats per position."""
    compute = [cell for cell in case.map.products if cell[0] in case.ops and cell[1] in PRECISIONS]
    return {cell: found.cost for cell, found in sweep(case.session.subject, compute, n=SAMPLES).cells.items()}


def judge_cells(case: Case, measured: dict[Cell, float]) -> None:
    """Tell rank correlation and median ratio of the cells whose measured cost is neither rounding nor large."""
    judged = [cell for cell, kl in measured.items() if LEAST <= kl <= MOST]
    truth, ours, theirs = (
        np.array([cost(cell) for cell in judged])
        for cost in (measured.__getitem__, lambda c: case.map.cost(*c).value, lambda c: case.diagonal.cost(*c).value)
    )
    more = {"model": case.name, "part": _part(case.name), "cells": len(judged), "of": len(measured)}
    ranks = [float(spearmanr(truth, costs).statistic) for costs in (ours, theirs)]
    tell(
        f"{case.name}: Spearman with brute force", ranks[0], "", f">= {RANKED}", ranks[0] >= RANKED, FILE,
        kind="ranks", diagonal=round(ranks[1], 4), **more,
    )  # fmt: skip
    ratios = [float(np.median(np.abs(np.log(costs / truth)))) for costs in (ours, theirs)]
    tell(
        f"{case.name}: median |log ratio|", ratios[0], "", f"<= {RATIO}", ratios[0] <= RATIO, FILE,
        kind="ratios", diagonal=round(ratios[1], 4), **more,
    )  # fmt: skip
    rows = [
        [op, precision, *_digits(case.map.cost(op, precision).value, case.diagonal.cost(op, precision).value, kl)]
        for (op, precision), kl in measured.items()
    ]
    note(
        f"{case.name}: cells", len(rows), "cells", FILE, kind="cells", model=case.name, rows=rows, part=_part(case.name)
    )


def judge_recipes(case: Case) -> None:
    """Tell how many random recipes are within 25 %, and how many within a band that other trials calibrated."""
    wide = list(run_trials(case, WIDE, RECIPES, seed=1))
    near, first = (_share_near(pairs) for pairs in ([trial.pair for trial in wide], [trial.first for trial in wide]))
    tell(
        f"{case.name}: recipes of 8 bits or more within 25 %", near, "", f">= {SHARE}", near >= SHARE, FILE,
        model=case.name, recipes=len(wide), samples=case.map.samples, on_the_first_512=first, part=_part(case.name),
    )  # fmt: skip
    band = Band.of(trial.pair for trial in run_trials(case, NARROW, CALIBRATING, seed=2))
    narrow = list(run_trials(case, NARROW, RECIPES, seed=3, band=band))
    held = [_share_held(trials) for trials in (narrow, _under(narrow, Band.of()))]
    tell(
        f"{case.name}: recipes with 4 bits within their band", held[0], "", f">= {SHARE}", held[0] >= SHARE, FILE,
        kind="band", model=case.name, recipes=len(narrow), calibrated_by=band.count, before_any_trial=held[1],
        part=_part(case.name),
    )  # fmt: skip
    for kind, trials in (("wide", wide), ("narrow", narrow)):
        rows = [_digits(t.price.cost, t.price.additive, t.measured, t.price.low, t.price.high) for t in trials]
        more = {"kind": kind, "model": case.name, "rows": rows, "part": _part(case.name)}
        note(f"{case.name}: {kind} recipes", len(rows), "recipes", FILE, **more)


def _part(model: str) -> str:
    """The part of a model's lines, so that one model can be measured anew."""
    return f"agreement, {model}"


def judge_speed() -> None:
    """Tell how long a random recipe of many ops takes to price, from drawn products of the usual size."""
    drawn = np.random.default_rng(0)
    ops = tuple(f"op{index}" for index in range(LARGE))
    cells = [(op, precision) for op in ops for precision in PRECISIONS]
    products = {cell: drawn.standard_normal((SAMPLES, PROBES), np.float32) for cell in cells}
    flows = dict.fromkeys(cells, Flow("fp32", "fp32"))
    map_ = PredictedMap(
        ops, PRECISIONS, products, {}, flows, {}, frozenset(), 1, "nats", SAMPLES, PROBES, "drawn"
    )  # fmt: skip
    pricer, baseline = Pricer(map_), Recipe.baseline("drawn", "drawn", ops)
    taken = []
    for _ in range(TURNS):
        recipe = replace(baseline, choices=tuple((op, Choice(str(drawn.choice(PRECISIONS)))) for op in ops))
        start = time.perf_counter()
        pricer.price(recipe)
        taken.append((time.perf_counter() - start) * 1e3)
    middle = float(np.median(taken))
    tell(
        f"price of a recipe of {LARGE} ops", middle, "ms", f"<= {MILLISECONDS:g} ms", middle <= MILLISECONDS, FILE,
        spread=spread(taken),
    )  # fmt: skip


def run_trials(
    case: Case, precisions: tuple[str, ...], count: int, seed: int, band: Band | None = None
) -> Iterator[Trial]:
    """Yield random recipes of the compute ops, priced and measured.

    The share of each precision is drawn first (uniformly among all shares), so that recipes are unlike in their mix.
    """
    drawn, pricer = np.random.default_rng(seed), Pricer(case.map, band=band or Band.of())
    few = Pricer(case.map.only(case.map.precisions, SAMPLES))
    while count:
        shares = drawn.dirichlet(np.ones(len(precisions)))
        recipe = draw_recipe(case, drawn.choice(precisions, len(case.ops), p=shares))
        if not recipe.is_baseline:
            costs = measure_samples(case, recipe)
            first = few.price(recipe).cost, float(costs[:SAMPLES].mean())
            yield Trial(pricer.price(recipe), float(costs.mean()), first)
            count -= 1


def measure_samples(case: Case, recipe: Recipe) -> Tensor:
    """Run a recipe on the samples of the map: the KL of each [samples], in nats per position."""
    subject = case.session.subject
    pairs = subject.evaluator.pairs(subject.plan(recipe), subject.baseline, subject.kernels, n=case.map.samples)
    return torch.cat([cost_by_sample(pair.wanted, pair.output, True) for pair in pairs])


def draw_recipe(case: Case, chosen: NDArray[np.str_]) -> Recipe:
    """The recipe in which each compute op has the precision drawn for it; FP32 where that is not possible."""
    recipe = case.session.subject.baseline.recipe
    for precision in sorted(set(chosen.tolist())):
        ops = [op for op, name in zip(case.ops, chosen, strict=True) if name == precision]
        recipe = recipe.with_precision([op for op in ops if (op, precision) in case.map.products], precision, "drawn")
    return recipe


def _under(trials: Iterable[Trial], band: Band) -> list[Trial]:
    """The same trials, as another band would have had them."""
    edges = [band.around(each.cost, each.error, each.additive) for each in (trial.price for trial in trials)]
    return [
        replace(trial, price=replace(trial.price, low=low, high=high))
        for trial, (low, high) in zip(trials, edges, strict=True)
    ]


def _share_near(pairs: Iterable[tuple[float, float]]) -> float:
    """The share of (predicted, measured) costs that are within 25 % of each other."""
    return float(np.mean([1 / WITHIN <= measured / predicted <= WITHIN for predicted, measured in pairs]))


def _share_held(trials: Iterable[Trial]) -> float:
    return float(np.mean([trial.price.low <= trial.measured <= trial.price.high for trial in trials]))


def _digits(*costs: float) -> list[float]:
    """Costs as they are kept in the file of results."""
    return [float(f"{cost:.4g}") for cost in costs]


if __name__ == "__main__":
    sys.exit(main())
