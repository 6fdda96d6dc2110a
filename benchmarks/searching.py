"""The search: how fast it solves, and what its proposals measure beside greedy and uniform recipes, model by model.

Under ten budgets between the least that is possible and FP32's: the solver's choices, and what is proposed once they
were verified, beside all greedy and uniform recipes. Latencies are compared as shares of FP32's in the same rounds.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import explorer as px
from benchmarks.children import own_store
from benchmarks.record import note, tell
from explorer.latency import Latency
from explorer.recipe import Recipe
from explorer.search import Frontier, Problem, Proposal, cheapest, least
from explorer.search.call_time_store import default_call_times
from explorer.search.problem import Joint, Shared
from explorer.search.rivals import EQUAL, better_than
from explorer.session import Session

MODELS = ("digits-vit", "digits-cnn", "adder-gpt")
PRECISIONS = ("bf16", "fp16", "int8", "int8_static", "w8", "w4")
BUDGETS, SECONDS = 10, 3.0
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
    found: list[Compared] = []
    with tempfile.TemporaryDirectory() as folder, own_store():
        default_call_times().forget()  # another benchmark's, where one ran before
        for name in MODELS:
            found += _measure(px.open(name, device="cpu", store=Path(folder) / f"{name}.sqlite"))
            _tell_found(name, [each for each in found if each.model == name])
    _tell_found("all models", found)


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
class Compared:
    """What is proposed for one budget once all was verified, what was solved for it, and the rivals: greedy and uniform
    recipes. All measured. fp32_ms: what best FP32 took when the predictions were made."""

    model: str
    fp32_ms: float
    proposal: Proposal
    solved: Proposal
    rivals: tuple[Proposal, ...]

    def beaten_by(self, proposal: Proposal) -> float:
        """By which factor the best rival that is no slower costs less; 1 or less where none does."""
        costs = _no_slower(self.rivals, proposal)
        return _ratio(proposal.measured_cost, min(costs)) if costs else 0.0

    def gain(self, proposal: Proposal) -> float:
        """How many times as much the best uniform recipe that is no slower costs; NaN where there is none."""
        costs = _no_slower([rival for rival in self.rivals if rival.kind == "uniform"], proposal)
        return _ratio(min(costs), proposal.measured_cost) if costs else math.nan

    @property
    def latency_error(self) -> float:
        """How far the predicted latency of what was solved for is from the measured one, of the measured one; both as
        shares of FP32's, each of the minute in which it was taken."""
        return abs(self.solved.latency_ms / self.fp32_ms / _share(self.solved) - 1)

    @property
    def error_in_ms(self) -> float:
        """The same in milliseconds: what the machine's pace changed by meanwhile is in it."""
        assert self.solved.latency is not None, "solved choices were measured"
        return abs(self.solved.latency_ms / self.solved.latency.candidate_ms - 1)


def _no_slower(rivals: Sequence[Proposal], proposal: Proposal) -> list[float]:
    """What those rivals cost that take no longer than a proposal."""
    return [each.measured_cost for each in rivals if _share(each) <= _share(proposal) * EQUAL]


def _share(proposal: Proposal) -> float:
    """Of FP32's latency, as measured in the same rounds."""
    assert proposal.latency is not None, "all are measured"
    return proposal.latency.candidate_ms / proposal.latency.fp32_ms


def _ratio(over: float, under: float) -> float:
    return over / under if under else 1.0 if not over else math.inf


def _measure(session: Session) -> list[Compared]:
    """Search a model for a front, measure it with its greedy and uniform baselines, and solve for ten budgets."""
    start = time.perf_counter()
    front = _with_short_looks(session.search("latency", precisions=PRECISIONS), session)
    prepared = time.perf_counter() - start
    (low, high), found = front.limits, []
    budgets = [low + (high - low) * step / (BUDGETS + 1) for step in range(1, BUDGETS + 1)]
    solved = [front.at(budget) for budget in budgets]
    verified = replace(front, proposals=tuple(solved)).verify(baselines=True)
    known = {each.recipe.hash: each for each in verified.measured}
    fp32_ms = _best_fp32_ms(session, front)
    for budget, each in zip(budgets, solved, strict=True):
        raw = known[each.recipe.hash]
        proposed = better_than(raw, verified.measured, "latency", budget)
        found.append(Compared(session.name, fp32_ms, proposed, raw, verified.baselines))
        print(f"{session.name}, {budget:.3f} ms: {_words(found[-1].solved)}; {_words(found[-1].proposal)}", flush=True)
    note(f"search on {session.name}: map, times and front", prepared, "s", FILE, ops=len(session.ops))
    return found


def _best_fp32_ms(session: Session, front: Frontier) -> float:
    """What best FP32 took in the minute of the predictions: what the FP32 recipe took, over its own speed-up."""
    assert session.recipe.is_baseline, "nothing was chosen"
    fp32 = session.latency(against="fp32", seconds=3 * SECONDS)
    return front.amounts(session.recipe)[0] * fp32.fp32_ms / fp32.candidate_ms


def _with_short_looks(front: Frontier, session: Session) -> Frontier:
    """The front without recipes drawn at random, that takes a second for each latency."""
    assert front.meters is not None, "a session measures"

    def latency(recipe: Recipe, progress: Any, cancel: Any) -> Latency:
        return session.latency(recipe, "fp32", SECONDS, progress=progress, cancel=cancel)

    kept = tuple(each for each in front.baselines if each.kind != "random")
    return replace(front, baselines=kept, meters=replace(front.meters, latency=latency))


def _words(proposal: Proposal) -> str:
    assert proposal.latency is not None, "all are measured"
    times = f"{proposal.latency_ms:.3f} ms predicted, {proposal.latency.candidate_ms:.3f} measured"
    return f"{proposal.price.cost:.2e} nats predicted, {proposal.measured_cost:.2e} measured, {times}"


def _tell_found(model: str, found: list[Compared]) -> None:
    """Tell the bars for one model, or all."""
    beaten = [each.beaten_by(each.proposal) for each in found]
    before = [each.beaten_by(each.solved) for each in found]
    worse = sum(each > 1 for each in beaten)
    tell(
        f"search on {model}: budgets at which greedy or a uniform recipe is no slower and better", worse,
        f"of {len(found)}", "0", worse == 0, FILE, worst=round(max(beaten), 3),
        before_verifying=sum(each > 1 for each in before), worst_before=round(max(before), 3),
    )  # fmt: skip
    gains, solved = _known([each.gain(each.proposal) for each in found]), [each.gain(each.solved) for each in found]
    tell(
        f"search on {model}: KL of the best uniform recipe that is no slower, over the proposal's", median(gains),
        "x (median)", ">= 1.5", median(gains) >= 1.5, FILE, least=round(min(gains), 3), n=len(gains),
        before_verifying=median(_known(solved)),
    )  # fmt: skip
    errors = [each.latency_error for each in found]
    tell(
        f"search on {model}: predicted against measured latency of proposals", max(errors), "of the measured", "<= 0.1",
        max(errors) <= 0.1, FILE, median=round(median(errors), 4), n=len(errors), as_="shares of FP32's latency",
        in_ms=round(max(each.error_in_ms for each in found), 4),
    )  # fmt: skip


def _known(gains: list[float]) -> list[float]:
    """Without budgets that no uniform recipe meets; a gain of 1 where there is no other."""
    return [gain for gain in gains if not math.isnan(gain)] or [1.0]


if __name__ == "__main__":
    main()
