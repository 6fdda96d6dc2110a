"""Engine values as small, capped JSON for the views; nothing here decides anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.tables import CAST_COLUMNS
from widgets import timings
from widgets.plain import MAX_TEXT, number, text
from widgets.remedies import goes_back_next

if TYPE_CHECKING:
    import pandas as pd

    from widgets.shown import Shown
    from widgets.state import PageState

MAX_OPS = 5000
MAX_LINKS = 20000
MAX_CASTS = 5000
MAX_CHOICES = 300
DIRECTION, EMULATED, INSIDE = map(CAST_COLUMNS.index, ("direction", "emulated", "inside"))
PENDING: dict[str, Any] = {"kind": "pending"}


def table(session: Any) -> dict[str, Any]:
    """What stays the same while a model is open: ops, links and each op's options."""
    ops = session.ops.iloc[:MAX_OPS]
    place = {op: at for at, op in enumerate(ops.index)}
    kinds: dict[tuple[Any, ...], int] = {}
    rows = []
    for op in ops.index:
        options = session.options(op)
        rows.append([_option(kinds, options.get(precision)) for precision in session.precisions])
    return {
        "model": text(session.name),
        "precisions": [text(precision, 40) for precision in session.precisions],
        "ops": [_op(op, row) for op, row in ops.iterrows()],
        "more": max(0, len(session.ops) - MAX_OPS),
        "links": [[place[a], place[b]] for a, b in session.links if a in place and b in place][:MAX_LINKS],
        "option_kinds": [
            {"possible": possible, "emulated": emulated, "kernel": kernel, "reason": reason}
            for possible, emulated, kernel, reason in kinds
        ],
        "options": rows,
    }


def _option(kinds: dict[tuple[Any, ...], int], option: Any) -> int:
    key = (
        (False, False, "", "this session does not offer it")
        if option is None
        else (bool(option.possible), bool(option.emulated), text(option.kernel), text(option.reason))
    )
    return kinds.setdefault(key, len(kinds))


def _op(op: str, row: pd.Series[Any]) -> dict[str, Any]:
    fold = text(row["fold"])
    return {
        "id": op,
        "layer": text(row["layer"]),
        "kind": text(row["kind"], 60),
        "role": text(row["role"], 20),
        "fold": fold,
        "fold_kind": fold.rsplit("/", 1)[-1],
        "sub": subtitle(row),
        "params": int(row["params"]),
        "source": text(row["source"]),
    }


def subtitle(row: pd.Series[Any]) -> str:
    """ "linear \u00b7 192 \u2192 576": the op's kind and the shapes that say most, without the batch; then its note."""
    kind = text(row["kind"], 60)
    first = _sizes(text(row["input_shapes"], 160).split(",")[0])
    out = _sizes(text(row["output_shape"], 80))
    shape = "\u00d7".join(out[1:])
    if kind == "linear" and first and out:
        shape = f"{first[-1]} \u2192 {out[-1]}"
    elif kind.startswith("conv") and len(first) > 2 and len(out) > 2:
        shape = f"{first[1]} \u2192 {out[1]} \u00b7 " + "\u00d7".join(out[2:])
    return " \u00b7 ".join(part for part in (kind, shape, text(row["note"], 80)) if part)


def _sizes(shape: str) -> list[str]:
    return [size.strip() for size in shape.split("\u00d7") if size.strip()]


def plan(session: Any, shown: Shown) -> dict[str, Any]:
    """What changes with the recipe: choices, formats that flow, kernels, by op number; the casts of each op's output.

    The first of ``casts`` is those of the model's inputs, so that a choice changes rows of its neighbourhood alone.
    """
    states, place = shown.states, shown.place
    order = {precision: at for at, precision in enumerate(session.precisions)}
    return {
        "model": text(session.name),
        "hash": text(shown.recipe.hash, 80),
        "choices": [order.get(precision, -1) for precision in states.precision[:MAX_OPS]],
        "flows": _texts(states.gives[:MAX_OPS], 40),
        "kernels": _texts(states.kernel[:MAX_OPS], 120),
        "emulated": [bool(each) for each in states.emulated[:MAX_OPS]],
        "refusals": _texts(states.refusal[:MAX_OPS], MAX_TEXT),
        "casts": _casts_by_source(shown.cast_rows[:MAX_CASTS], place),
    }


def _texts(values: list[Any], most: int) -> list[str]:
    """Each as :func:`text`: thousands of ops share a handful of words."""
    cut = {value: text(value, most) for value in set(values)}
    return [cut[value] for value in values]


def _casts_by_source(casts: list[tuple[Any, ...]], place: Mapping[str, int]) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = [[] for _ in range(min(len(place), MAX_OPS) + 1)]
    for cast in casts:
        at = place.get(cast[0], -1) + 1
        if at < len(rows):
            rows[at].append(_cast(cast, place))
    return rows


def _cast(cast: tuple[Any, ...], place: Mapping[str, int]) -> dict[str, Any]:
    _, consumers, from_, to, direction, _, _, time_us, _, _ = cast
    return {
        "consumers": [at for op in consumers if (at := place.get(op, MAX_OPS)) < MAX_OPS],
        "from": text(from_, 40),
        "to": text(to, 40),
        "direction": text(direction, 20),
        "time_us": number(time_us),
    }


def recipe(shown: Shown | None, precisions: tuple[str, ...]) -> dict[str, Any]:
    """Counts per precision and the choices that differ from FP32, with reasons."""
    if shown is None:
        return {}
    counts = shown.recipe.counts
    every = zip(shown.place, shown.states.precision, strict=True)
    chosen = [(op, precision) for op, precision in every if precision != "fp32"]
    return {
        "hash": text(shown.recipe.hash, 80),
        "counts": [[precision, int(counts[precision])] for precision in precisions if counts.get(precision)],
        "choices": [[op, text(p, 40), text(shown.recipe.reason(op))] for op, p in chosen[:MAX_CHOICES]],
        "more": max(0, len(chosen) - MAX_CHOICES),
    }


def delta(state: PageState) -> dict[str, Any]:
    """The five cards' numbers, each with its kind."""
    shown = state.shown
    if shown is None or state.session is None:
        waiting = dict.fromkeys(("quality", "kl", "latency", "memory", "casts"), PENDING)
        return {"state": "opening", "settled": False, "baseline": False, **waiting}
    busy = state.job.state != "idle"
    found = {
        "quality": _quality(state),
        "kl": _kl(state),
        "latency": timings.latency(state, shown),
        "memory": _memory(state),
        "casts": _casts(shown.cast_rows, state.latency),
    }
    if mark_of(state.session):
        found = {name: _as_recorded(part) for name, part in found.items()}
    return {
        "state": "running" if busy else "idle",
        "settled": state.settled,
        "baseline": shown.is_baseline,
        **found,
    }


def mark_of(session: Any) -> str:
    """ "recorded on <device>, <date>" of a recorded exploration; empty where numbers are found here."""
    return text(getattr(session, "marked", ""), 200)


def _as_recorded(part: dict[str, Any]) -> dict[str, Any]:
    """What was measured elsewhere is recorded, what was not is absent; what is emulated or predicted stays so."""
    if part["kind"] == "pending" and part.get("error"):
        return {**part, "kind": "absent"}
    return {**part, "kind": "recorded"} if part["kind"] == "measured" else part


def _quality_kind(quality: Any) -> str:
    return "emulated" if quality.emulated else "measured"


def _quality(state: PageState) -> dict[str, Any]:
    session, quality = state.session, state.quality
    named = {"name": text(session.score_name, 60), "unit": text(session.score_unit, 8)}
    if quality is None:
        return {**PENDING, **named, "error": state.errors.get("quality", "")}
    low, high = quality.interval
    return {
        **named, "kind": _quality_kind(quality), "n": int(quality.n), "total": int(quality.total),
        "score": number(quality.score), "difference": number(quality.difference), "lo": number(low), "hi": number(high),
    }  # fmt: skip


def _kl(state: PageState) -> dict[str, Any]:
    quality, predicted = state.quality, _predicted(state)
    if quality is None:
        kind = "predicted" if predicted and predicted["cost"] is not None else "pending"
        return {"kind": kind, "predicted": predicted, "error": state.errors.get("quality", "")}
    return {
        "kind": _quality_kind(quality), "n": int(quality.n), "total": int(quality.total),
        "value": number(quality.cost), "lo": number(quality.cost_interval[0]), "hi": number(quality.cost_interval[1]),
        "unit": "nats" if quality.squared_error is None else "squared error",
        "broken": not math.isfinite(quality.sqnr_db),
        "agreement": number(quality.agreement), "predicted": predicted,
    }  # fmt: skip


def _predicted(state: PageState) -> dict[str, Any] | None:
    """What the map says of the recipe on show, or why it says nothing; None before there is a map."""
    if state.price_error:
        return {"cost": None, "valid": False, "words": text(state.price_error)}
    found = price(state.price)
    return found and {**found, "unit": "nats" if state.costs is None else text(state.costs.unit, 20)}


def price(found: Any) -> dict[str, Any] | None:
    """A predicted quality cost with its band, or None. A cost that JSON cannot carry is one that breaks the outputs."""
    if found is None:
        return None
    return {
        "cost": number(found.cost), "low": number(found.low), "high": number(found.high),
        "trials": int(found.trials), "valid": bool(found.valid), "words": text(found.words),
    }  # fmt: skip


def _memory(state: PageState) -> dict[str, Any]:
    memory = state.memory
    if memory is None:
        return {**PENDING, "error": state.errors.get("memory", "")}

    def cell(row: str, column: str) -> float | None:
        return number(memory.at[row, column]) if row in memory.index else None

    def kind(row: str) -> str:
        return text(memory.at[row, "kind"], 20) if row in memory.index else ""

    return {
        "kind": kind("weights") or "pending", "weights": cell("weights", "bytes"),
        "weights_fp32": cell("weights", "fp32_bytes"), "scales": cell("scales", "bytes"),
        "activations": cell("activations", "bytes"), "activations_fp32": cell("activations", "fp32_bytes"),
        "activations_kind": kind("activations"),
    }  # fmt: skip


def _casts(casts: list[tuple[Any, ...]], latency: Any) -> dict[str, Any]:
    rows = [] if latency is None else latency.table[latency.table["kernel"] == "cast"].to_dict("records")
    timed = [number(row["time_us"]) for row in rows if not text(row.get("inside"))]
    whole = len(rows) == len(casts) > 0 and None not in timed
    directions, emulated, inside = (tuple(cast[at] for cast in casts) for at in (DIRECTION, EMULATED, INSIDE))
    kind = "predicted" if not whole else "emulated" if any(emulated) else "measured"
    return {
        "kind": kind, "count": len(casts), "down": directions.count("down"), "up": directions.count("up"),
        "inside": sum(map(bool, inside)),
        "time_us": sum(us or 0.0 for us in timed) if whole else None,
    }  # fmt: skip


def top(state: PageState) -> dict[str, Any]:
    """The top bar: model, device, data, presets, what undo and redo can do, whether numbers are missing."""
    session, shown = state.session, state.shown
    if session is None or shown is None:
        return {
            "models": list(state.models), "model": state.opening, "device": "", "data": "", "presets": [],
            "preset": "", "ready": False, "can_undo": False, "can_redo": False, "missing": False,
        }  # fmt: skip
    named = [name for name, preset in state.presets.items() if preset.hash == shown.recipe.hash]
    return {
        "models": list(state.models), "model": text(state.opening or session.name),
        "device": f"{text(session.device.label, 120)} \u00b7 batch {session.batch_size}", "recorded": mark_of(session),
        "data": text(_data_words(state), 120), "presets": list(state.presets), "preset": named[0] if named else "",
        "ready": not state.opening, "can_undo": bool(session.can_undo) or state.came_from is not None,
        "can_redo": bool(session.can_redo), "undo": _undo_words(state),
        "missing": state.missing and not mark_of(session),
    }  # fmt: skip


def _undo_words(state: PageState) -> str:
    """What Undo does next, where that is more than taking a change of the recipe back."""
    if state.came_from is None or not goes_back_next(state):
        return ""
    return f"Undo: back to the model as it was before ({state.came_from.words}) (Ctrl+Z)"


def _data_words(state: PageState) -> str:
    """The data, and what a remedy made of the model."""
    words = text(state.session.samples_label, 80)
    return f"{words} \u00b7 {state.came_from.words}" if state.came_from else words


def job(state: PageState) -> dict[str, Any]:
    """The running job: state, words and how far it is."""
    now = state.job
    return {"state": now.state, "text": text(now.text, 120), "done": now.done, "total": now.total}
