"""Every real kernel of the table at the shapes of named models, against eager FP32, best FP32 and what else there is.

`python -m benchmarks.kernels [--quick] [MODEL ...]`: each model in a process of its own; lines go to
results/kernels.jsonl as they are measured, then the bars.
"""

from __future__ import annotations

import math
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.candidates import EAGER, Candidate, as_tensor, candidates
from benchmarks.cases import Case, cases
from benchmarks.children import own_store, run
from benchmarks.duels import Duel, duels
from benchmarks.kernel_bars import bars
from benchmarks.record import RUN, note, read, tell
from explorer.kernels import warm_up
from explorer.measure import find_device
from explorer.measure.quality import sqnr_db
from explorer.measure.timing import Effort, Rounds, time_rounds

FILE = "kernels.jsonl"
SECONDS, QUICK_SECONDS, MOST_SECONDS = 1.5, 0.3, 420.0
LEAST_SQNR_DB = 10.0
"""What INT4 weights leave of normal values, with room; what is worse is broken and is not timed."""


def main() -> int:
    """Time the models named on the command line, or all; with ``--here`` in this process."""
    quick, here = "--quick" in sys.argv, "--here" in sys.argv
    names = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    chosen = [case for case in cases() if not names or case.model in names]
    if quick:
        chosen = list(_few(chosen))
    if here:
        return sum(_try(case, quick) for case in chosen)
    options = ["--here", *(["--quick"] if quick else [])]
    with own_store():
        models = dict.fromkeys(case.model for case in chosen)
        failed = sum(not run("kernels", model, *options, seconds=MOST_SECONDS) for model in models)
    for bar in bars(read(FILE, RUN)):
        tell(**bar, file=FILE, quick=quick)
    return int(failed > 0)


def _few(chosen: list[Case]) -> Iterator[Case]:
    """Yield the first two shapes of each model."""
    seen: Counter[str] = Counter()
    for case in chosen:
        seen[case.model] += 1
        if seen[case.model] <= 2:
            yield case


def _try(case: Case, quick: bool) -> int:
    """Time one case; a failure is told, and the next case has its turn."""
    try:
        _time(case, quick)
    except Exception:
        print(f"kernels: {case.name} failed\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return 1
    return 0


@torch.no_grad()
def _time(case: Case, quick: bool) -> None:
    device = find_device()
    warm_up(device)
    ways = {way.name: way for way in candidates(case, device)}
    quality = _check(ways)
    calls = {name: way.call for name, way in ways.items() if name in quality}
    rounds = time_rounds(calls, device, Effort(QUICK_SECONDS if quick else SECONDS, within=0.0))
    plain = [name for name in calls if ways[name].precision == "fp32" and ways[name].role in ("eager", "kernel")]
    best = min(plain, key=rounds.median_ms)
    for name in calls:
        _tell(case, ways[name], rounds, best, quality[name], quick)
    for duel in duels(case, (ways[name] for name in calls), rounds.median_ms):
        pair = {duel.against: calls[duel.against], duel.ours: calls[duel.ours]}
        found = time_rounds(pair, device, Effort(QUICK_SECONDS if quick else SECONDS, within=0.01))
        _tell_duel(case, ways[duel.ours], duel, found, quick)


def _check(ways: dict[str, Candidate]) -> dict[str, float | None]:
    """Run every candidate on the tensors that are timed; return the SQNR (dB) of those that give the right result."""
    quality: dict[str, float | None] = {}
    wanted: torch.Tensor | None = None
    for name, way in ways.items():
        result = way.call()
        if way.role == "bare":
            quality[name] = None
            continue
        got = as_tensor(result).double()
        wanted = got if wanted is None else wanted
        quality[name] = sqnr_db(float(wanted.square().sum()), float((got - wanted).square().sum()))
        if not (quality[name] or 0.0) >= LEAST_SQNR_DB:
            print(f"kernels: {name} gives {quality.pop(name)} dB and is not timed", file=sys.stderr, flush=True)
    return quality


def _tell(case: Case, way: Candidate, rounds: Rounds, best: str, sqnr: float | None, quick: bool) -> None:
    ms, over_eager, over_fp32 = rounds.median_ms(way.name), rounds.ratio(EAGER, way.name), rounds.ratio(best, way.name)
    facts: dict[str, Any] = {
        "case": case.name, "model": case.model, "shape": case.shape.label, "kind": case.kind, "layers": case.layers,
        "precision": way.precision, "role": way.role, "kernel": way.name, "chosen": way.chosen,
        "best_fp32": way.name == best, "gops": round(case.shape.operations / ms / 1e6, 2),
        "over_eager": round(over_eager.value, 4), "over_eager_95": [round(x, 4) for x in over_eager.interval],
        "over_fp32": round(over_fp32.value, 4), "over_fp32_95": [round(x, 4) for x in over_fp32.interval],
        "sqnr_db": None if sqnr is None or math.isinf(sqnr) else round(sqnr, 1), "n": rounds.n, "quick": quick,
        "part": f"kernels, {case.model}",
    }  # fmt: skip
    note(f"{case.name} · {way.name}", ms, "ms", FILE, **facts)


def _tell_duel(case: Case, way: Candidate, duel: Duel, rounds: Rounds, quick: bool) -> None:
    ratio = rounds.ratio(duel.against, duel.ours)
    note(
        f"{case.name} · {duel.ours} against {duel.against}", ratio.value, "x", FILE, shape=case.shape.label,
        kind=case.kind, precision=way.precision, kernel=duel.ours, against=duel.against, about=duel.about,
        interval_95=[round(x, 4) for x in ratio.interval], n=rounds.n, quick=quick, part=f"kernels, {case.model}",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
