"""Whole models, same weights, same run: our recipes against torch eager and against other runtimes, with their quality.

`python -m benchmarks.models [--quick] [--without-peers] [vit] [bert] [resnet]`: each model in a process of its own, so
that one that fails or runs out of memory loses no other; lines go to results/models.jsonl.
"""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import explorer as px
from benchmarks.cases import BATCH
from benchmarks.children import own_store, run
from benchmarks.lowered import best_fp32, lowered
from benchmarks.model_bars import bars
from benchmarks.networks import NETWORKS, Network, build
from benchmarks.peers import as_result, missing, peers, quietly, versions
from benchmarks.record import RUN, note, read, tell
from explorer.measure.quality import sqnr_db
from explorer.measure.timing import Effort, Rounds, clock, time_rounds

FILE = "models.jsonl"
SECONDS, QUICK_SECONDS, MOST_SECONDS = 40.0, 5.0, 600.0
EAGER, FP32 = "torch eager", "explorer best FP32"
ALWAYS = ("bf16", "int8-dynamic", "int8-static", "int8-bf16")
LEAST_SQNR_DB = 5.0
"""Where less is left of the output, a converter has broken the model."""


def main() -> int:
    """Time the models named on the command line, or all; with ``--here`` in this process."""
    options = [argument for argument in sys.argv[1:] if argument.startswith("--")]
    names = [argument for argument in sys.argv[1:] if argument in NETWORKS] or list(NETWORKS)
    if "--here" in options:
        for name in names:
            _run(name, options)
        return 0
    with own_store():
        failed = sum(not (_start(name, options) or _start(name, [*options, "--without-peers"])) for name in names)
    for bar in bars(read(FILE, RUN)):
        tell(**bar, file=FILE)
    return int(failed > 0)


def _start(name: str, options: list[str]) -> bool:
    """Run one model in a process of its own; return whether that went well."""
    return run("models", name, "--here", *options, seconds=MOST_SECONDS)


@torch.no_grad()
def _run(name: str, options: list[str]) -> None:
    network = build(name)
    calls: dict[str, Callable[[], Any]] = {EAGER: lambda: network.plain(network.batch)}
    with TemporaryDirectory() as folder:
        session = _open(network, Path(folder))
        calls |= _ours(session, network)
        facts = {"versions": versions(), "batch": BATCH, "quick": "--quick" in options, "part": f"models, {name}"}
        if "--without-peers" not in options:
            calls |= _theirs(network, facts)
        quality = _check(calls)
        calls = {way: call for way, call in calls.items() if way in quality}
        seconds = QUICK_SECONDS if "--quick" in options else SECONDS
        rounds = time_rounds(calls, session.device, Effort(seconds, within=0.0))
        for way in calls:
            _tell(network, way, rounds, quality[way], facts)


def _open(network: Network, folder: Path) -> px.Session:
    return px.open(
        network.module, inputs=network.batch[:2], data=(network.data, None), task="agreement", device="cpu",
        name=network.name, batch_size=BATCH, store=folder / "trials.sqlite",
    )  # fmt: skip


def _ours(session: px.Session, network: Network) -> dict[str, Callable[[], Any]]:
    """Return best FP32 and the lowered presets that are real here: those always told, and the fastest of the others."""
    calls: dict[str, Callable[[], Any]] = {}
    fp32 = {FP32: best_fp32(session, network.batch)}
    for name, recipe in session.presets().items():
        try:
            if not session.plan_of(recipe).emulated:
                calls[f"explorer {name}"] = lowered(session, recipe, network.batch)
                calls[f"explorer {name}"]()
        except Exception:
            print(f"models: {network.name}, {name}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            calls.pop(f"explorer {name}", None)
    timed = clock(session.device)
    others = {name: timed(call) for name, call in calls.items() if name.removeprefix("explorer ") not in ALWAYS}
    fastest = min(others, key=lambda name: others[name], default="")
    return fp32 | {name: call for name, call in calls.items() if name not in others or name == fastest}


def _theirs(network: Network, facts: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return the peers that are installed and take this network; tell the others as absent."""
    calls: dict[str, Callable[[], Any]] = {}
    for name, (packages, make) in peers(network).items():
        absent = missing(packages)
        try:
            if not absent:
                start = time.perf_counter()
                with quietly():
                    calls[name] = make()
                print(f"{network.name} · {name}: ready after {time.perf_counter() - start:.1f} s", flush=True)
        except Exception as error:
            print(f"models: {name} on {network.name}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            absent = f"{type(error).__name__} while it was made ready"
        if absent:
            note(f"{network.name} · {name}", None, "ms", FILE, model=network.name, way=name, absent=absent, **facts)
    return calls


def _check(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the SQNR (dB) of every call's output against eager's, leaving out what is broken."""
    wanted = as_result(calls[EAGER]()).double()
    signal, quality = float(wanted.square().sum()), {}
    for name, call in calls.items():
        found = sqnr_db(signal, float((as_result(call()).double() - wanted).square().sum()))
        if found >= LEAST_SQNR_DB:
            quality[name] = found
        else:
            print(f"models: {name} gives {found:.1f} dB and is not timed", file=sys.stderr, flush=True)
    return quality


def _tell(network: Network, way: str, rounds: Rounds, sqnr: float, facts: dict[str, Any]) -> None:
    over_eager, over_fp32 = rounds.ratio(EAGER, way), rounds.ratio(FP32, way)
    note(
        f"{network.name} · {way}", rounds.median_ms(way), "ms", FILE, model=network.name, way=way,
        over_eager=round(over_eager.value, 4), over_eager_95=[round(x, 4) for x in over_eager.interval],
        over_fp32=round(over_fp32.value, 4), over_fp32_95=[round(x, 4) for x in over_fp32.interval],
        sqnr_db=None if math.isinf(sqnr) else round(sqnr, 1), n=rounds.n, **facts,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
