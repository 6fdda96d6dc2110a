"""The search: how fast it solves, and what its proposals measure beside greedy and uniform recipes, model by model."""

from __future__ import annotations

import math
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import explorer as px
from benchmarks.record import tell
from explorer.compare.runs import Extent
from explorer.kernels import settle
from explorer.latency import LatencyTable
from explorer.predict import Ask, predict_map
from explorer.predict.price import Pricer
from explorer.recipe import Recipe
from explorer.search import Goal, Known, Problem, cheapest, least
from explorer.search.baselines import greedy
from explorer.search.problem import Joint, Shared
from explorer.search.search import make_searcher
from explorer.search.searcher import Searcher
from explorer.session import Session

MODELS = ("digits-vit", "digits-cnn", "adder-gpt")
PRECISIONS = ("bf16", "fp16", "int8", "int8_static", "w8", "w4")
BUDGETS, SAMPLES, SECONDS = 10, 512, 1.0
EQUAL = 1.01
"""Latencies within this factor count as equal: what a second of measuring tells apart."""
FILE = "searching.jsonl"

OPS = 500
TAKES = {
    "fp32": "fp32", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "int8": "int8", "int8_static": "uint8",
    "w8": "bf16", "w4": "bf16", "mxfp8": "mxfp8", "nvfp4": "nvfp4",
}  # fmt: skip
GIVES = {
    name: "fp32" if name in ("fp32", "int8", "int8_static") else "fp16" if name == "fp16" else "bf16" for name in TAKES
}
QUALITY = dict(zip(TAKES, (0, 1e-6, 1e-7, 3e-5, 1e-5, 2e-5, 1e-5, 1e-3, 3e-5, 6e-4), strict=True))
TIME = dict(zip(TAKES, (1, 0.6, 0.6, 0.35, 0.45, 0.38, 0.55, 0.5, 0.4, 0.25), strict=True))


def main() -> None:
    """Solve the made-up problem, then search each bundled model and measure what was found."""
    _tell_solving()
    with tempfile.TemporaryDirectory() as folder:
        found = [_measure(px.open(name, device="cpu", store=Path(folder) / f"{name}.sqlite")) for name in MODELS]
    _tell_found([each for model in found for each in model])


# Solving


def made_up(ops: int = OPS, seed: int = 0) -> Problem:
    """Return a chain with residuals and branches of three: ops of unlike sizes and sensitivities, a cast for each value
    and carrier, and calls that take each other in."""
    draw = random.Random(seed)  # noqa: S311  a problem, no secret
    names = tuple(f"op{index}" for index in range(ops))
    quality, spent = {}, {}
    for op in names:
        size, sensitivity = draw.choice((1, 1, 4, 16)) * draw.uniform(18, 22), 10 ** draw.uniform(-2, 2)
        quality[op] = {name: QUALITY[name] * sensitivity * draw.uniform(0.5, 2) for name in TAKES}
        spent[op] = {name: size * TIME[name] * draw.uniform(0.9, 1.1) for name in TAKES}
    readers = {index: [index + 1] for index in range(ops - 1)}
    for index in range(0, ops - 4, 4):
        readers[index].append(index + 4)
    for index in range(5, ops - 6, 12):
        readers[index] += [index + 2, index + 3]
    shared = [
        Shared(
            draw.uniform(1, 6),
            tuple((names[reader], _in(TAKES, carrier)) for reader in ends),
            (names[index], _in(GIVES, carrier)),
        )
        for index, ends in readers.items()
        for carrier in sorted(set(TAKES.values()))
    ]
    int8 = frozenset(("int8",))
    joint = [
        Joint(-draw.uniform(0.5, 1.5), ((names[index], int8), (names[index + 1], int8)))
        for index, ends in readers.items()
        if len(ends) == 1
    ]
    return Problem(names, quality, spent, tuple(shared), tuple(joint))


def _in(flows: dict[str, str], carrier: str) -> frozenset[str]:
    return frozenset(name for name, each in flows.items() if each == carrier)


def _tell_solving() -> None:
    problem = made_up()
    lowest = least(problem)
    assert lowest is not None, "there is no limit"
    highest = problem.spent_by(dict.fromkeys(problem.ops, "fp32"))
    seconds, gaps = [], []
    for step in range(1, BUDGETS + 1):
        start = time.perf_counter()
        found = cheapest(problem, lowest.spent + (highest - lowest.spent) * step / (BUDGETS + 1))
        seconds.append(time.perf_counter() - start)
        assert found is not None, "the budget is above the least"
        gaps.append(found.gap)
    tell(
        f"search: solving {OPS} ops x {len(TAKES)} precisions", max(seconds), "s", "<= 1", max(seconds) <= 1, FILE,
        median=round(median(seconds), 3), casts=len(problem.shared), joint=len(problem.joint), largest_gap=max(gaps),
    )  # fmt: skip


# Searching


@dataclass(frozen=True)
class Measured:
    """What was measured of a recipe: nats of KL and milliseconds, and the milliseconds that were predicted."""

    kl: float
    ms: float
    predicted_ms: float


@dataclass(frozen=True)
class Compared:
    """A proposal for one budget, what greedy finds for it (None: nothing), and the uniform recipes."""

    model: str
    proposal: Measured
    greedy: Measured | None
    uniform: tuple[Measured, ...]

    @property
    def beaten_by(self) -> float:
        """By which factor the best rival that is no slower costs less; 1 or less where none does."""
        rivals = [*self.uniform, *([self.greedy] if self.greedy else [])]
        costs = [rival.kl for rival in rivals if rival.ms <= self.proposal.ms * EQUAL]
        return max((_ratio(self.proposal.kl, cost) for cost in costs), default=0.0)

    @property
    def gain(self) -> float:
        """How many times as much the best uniform recipe that is no slower costs; NaN where there is none."""
        costs = [rival.kl for rival in self.uniform if rival.ms <= self.proposal.ms * EQUAL]
        return _ratio(min(costs), self.proposal.kl) if costs else math.nan


def _ratio(over: float, under: float) -> float:
    return over / under if under else 1.0 if not over else math.inf


def _measure(session: Session) -> list[Compared]:
    """Search a model under ten budgets between the least and FP32; measure proposals, greedy and uniform recipes."""
    start = time.perf_counter()
    searcher = _searcher(session)
    prepared = time.perf_counter() - start
    presets = [recipe for recipe in session.presets().values() if not session.plan_of(recipe).emulated]
    uniform = tuple(_measured(session, searcher, recipe) for recipe in presets)
    low, high = searcher.limits
    found = []
    for step in range(1, BUDGETS + 1):
        budget = low + (high - low) * step / (BUDGETS + 1)
        stepwise = searcher.within(budget, lambda target: greedy(searcher.path, target))
        rival = None if stepwise is None else _measured(session, searcher, stepwise)
        found.append(Compared(session.name, _measured(session, searcher, searcher.at(budget).recipe), rival, uniform))
        print(session.name, f"{budget:.3f} ms", found[-1].proposal, found[-1].greedy, flush=True)
    print(f"{session.name}: {prepared:.1f} s to predict and time {len(searcher.problem.ops)} ops", flush=True)
    return found


def _searcher(session: Session) -> Searcher:
    subject = session.subject
    presets = [session.plan_of(recipe) for recipe in session.presets().values()]
    settle([choice for plan in presets for choice in subject.planner.choices(plan)], session.device)
    subject.planner.forget_choices()
    predicted = predict_map(subject, Ask(PRECISIONS, probes=4), Extent(SAMPLES, None, None))
    return make_searcher(subject, Known(Pricer(predicted), LatencyTable()), Goal(precisions=PRECISIONS))


def _measured(session: Session, searcher: Searcher, recipe: Recipe) -> Measured:
    """What a recipe measures; one measured before is not measured again."""
    known = session.known(recipe).latency
    latency = known or session.latency(recipe, against="fp32", seconds=SECONDS)
    return Measured(session.evaluate(recipe).kl, latency.candidate_ms, searcher.amounts(recipe)[0])


def _tell_found(found: list[Compared]) -> None:
    worst = max(found, key=lambda each: each.beaten_by)
    worse = sum(each.beaten_by > 1 for each in found)
    tell(
        "search: budgets at which greedy or a uniform recipe is no slower and better", worse, f"of {len(found)}", "0",
        worse == 0, FILE, worst=round(worst.beaten_by, 3), model=worst.model,
    )  # fmt: skip
    gains = [each.gain for each in found if not math.isnan(each.gain)]
    tell(
        "search: KL of the best uniform recipe that is no slower, over the proposal's", median(gains), "x (median)",
        ">= 1.5", median(gains) >= 1.5, FILE, least=round(min(gains), 3), n=len(gains),
    )  # fmt: skip
    errors = [abs(each.proposal.predicted_ms / each.proposal.ms - 1) for each in found]
    tell(
        "search: predicted against measured latency of proposals", max(errors), "", "<= 0.1", max(errors) <= 0.1, FILE,
        median=round(median(errors), 4), n=len(errors),
    )  # fmt: skip


if __name__ == "__main__":
    main()
