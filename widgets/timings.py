"""What was timed, as small JSON: a latency with both baselines, each op's time, and where a recipe's time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from widgets.op_times import OpTime
from widgets.plain import number, text

if TYPE_CHECKING:
    from widgets.shown import Shown
    from widgets.state import PageState

MAX_ROWS = 300
PERCENTILES = ("p50", "p90", "p99")


def latency(state: PageState, shown: Shown) -> dict[str, Any]:
    """The latency card's numbers; whatever an older measurement does not hold is None or left out."""
    found = state.latency
    emulated = shown.emulated
    guess = {"predicted_ms": number(shown.predicted_ms), "emulated_ops": emulated}
    if found is None:
        kind = "emulated" if emulated else "predicted" if guess["predicted_ms"] else "pending"
        return {**guess, "kind": kind, "baseline_ms": state.eager_ms, "error": state.errors.get("latency", "")}
    percentiles = getattr(found, "percentiles", None) or {}
    return {
        "kind": "emulated" if emulated or found.emulated else "measured", "emulated_ops": emulated,
        "predicted_ms": number(found.predicted_ms), "n": int(found.n), "candidate_ms": number(found.candidate_ms),
        "eager_ms": eager_ms(found), "fp32_ms": _field(found, "fp32_ms"),
        "over_eager": _over_eager(found), "over_fp32": _ratio(found, "over_fp32"),
        "kernel_gain": _field(found, "kernel_gain"), "precision_gain": _field(found, "precision_gain"),
        "percentiles": {name: number(percentiles[name]) for name in PERCENTILES if name in percentiles},
        "throughput": _field(found, "throughput"), "steady": getattr(found, "steady", None),
        "drift": _ratio(found, "drift"), "engine": text(getattr(found, "engine", None), 20),
        "energy_mj": _field(found, "energy_mj"), "peak_bytes": _field(found, "peak_bytes"),
        "conditions": text(found.conditions), **_sums(state),
    }  # fmt: skip


def eager_ms(found: Any) -> float:
    """Milliseconds of the user's module as the user runs it, in the run that ``found`` comes from."""
    return float(_field(found, "eager_ms") or found.baseline_ms)


def times(state: PageState) -> dict[str, Any]:
    """Each op's measured time in its present precision, or None: [now, best FP32, emulated, floor, inside, holds]."""
    if state.shown is None:
        return {"ops": []}
    every = zip(state.shown.place, state.shown.states.precision, strict=True)
    found = [state.times.get(each) for each in every]
    return {"ops": [_entry(one) if one else None for one in found]}


def _waiting_for(state: PageState) -> str:
    """Why there are no times yet."""
    if state.shown is None:
        return "opening"
    return "running" if state.job.state != "idle" else "recorded" if getattr(state.session, "marked", "") else "idle"


def time_table(state: PageState) -> dict[str, Any]:
    """Where the present recipe's time goes: by kind of call, by op and cast, and the sum beside the whole.

    Both lists are slowest first. The ops and casts beyond the first :data:`MAX_ROWS` are one sum, ``more_us``.
    """
    found = state.latency
    if state.shown is None or found is None:
        return {"state": _waiting_for(state), "rows": []}
    records = [row for row in found.table.to_dict("records") if text(row["id"]) in state.timed]
    rows = [_row(row, state.timed[text(row["id"])]) for row in records]
    own = sorted((row for row in rows if not row["inside"]), key=lambda row: -row["us"])
    rest = own[MAX_ROWS:]
    return {
        "state": "ready", "groups": _groups(own)[:MAX_ROWS], "rows": own[:MAX_ROWS],
        "inside": [row for row in rows if row["inside"]][:MAX_ROWS],
        "more": len(rest), "more_us": sum(row["us"] for row in rest), "emulated": bool(found.emulated), **_sums(state),
    }  # fmt: skip


def _entry(one: OpTime) -> list[Any]:
    return [one.now_us, one.before_us, one.emulated, one.floor_us, text(one.inside), one.holds]


def _row(row: Any, one: OpTime) -> dict[str, Any]:
    return {
        "id": text(row["id"]), "what": text(row["what"], 80), "kernel": text(row["kernel"], 120), "us": one.now_us,
        "before_us": one.before_us, "emulated": one.emulated, "floor_us": one.floor_us, "inside": one.inside,
        "holds": one.holds,
    }  # fmt: skip


def _groups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ops of one kind on one kernel, and casts between the same formats, each as one row with their number ``n``."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["what"], row["kernel"], row["emulated"]), []).append(row)
    groups = [
        {
            "what": what, "kernel": kernel, "emulated": emulated, "n": len(each), "us": sum(row["us"] for row in each),
            "before_us": sum(row["before_us"] for row in each), "holds": sum(row["holds"] for row in each),
            "floor_us": None if any(row["floor_us"] is None for row in each) else sum(row["floor_us"] for row in each),
        }
        for (what, kernel, emulated), each in found.items()
    ]  # fmt: skip
    return sorted(groups, key=lambda group: -group["us"])


def _sums(state: PageState) -> dict[str, Any]:
    """The whole as measured, the sum of its ops and casts, and what they do not explain, in microseconds."""
    whole, total = float(state.latency.candidate_ms) * 1e3, sum(one.now_us for one in state.timed.values())
    rest = _field(state.latency, "rest_us")
    return {"whole_us": number(whole), "sum_us": total, "rest_us": number(whole - total) if rest is None else rest}


def _over_eager(found: Any) -> dict[str, float | None] | None:
    """The speed-up over eager; an older measurement was against nothing else."""
    if getattr(found, "over_eager", None) is not None:
        return _ratio(found, "over_eager")
    low, high = found.interval
    return {"value": number(found.speedup), "low": number(low), "high": number(high)}


def _ratio(found: Any, name: str) -> dict[str, float | None] | None:
    ratio = getattr(found, name, None)
    return None if ratio is None else {part: number(getattr(ratio, part)) for part in ("value", "low", "high")}


def _field(found: Any, name: str) -> float | None:
    return number(getattr(found, name, None))
