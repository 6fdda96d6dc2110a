"""The casts panel's tables as small JSON: every cast of the recipe, and what the engine found about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from widgets.answers import Ask
from widgets.plain import number, text

if TYPE_CHECKING:
    import pandas as pd

    from widgets.state import PageState

MAX_CASTS = 1000
MAX_ROWS = 100
MAX_NAMES = 60
"""Ops named in one row; a region or a change may hold hundreds."""
MAX_TOGGLES = 5000
QUESTION = Ask(
    "casts",
    "Looking for casts that could go",
    lambda session, recipe, **_: session.boundaries(recipe),
    follows=True,
)

Row = dict[str, Any]


def casts(state: PageState) -> Row:
    """Every cast of the recipe, in execution order: where, from what to what, how much, and the measured time."""
    if state.shown is None:
        return {"state": "opening", "rows": []}
    found = state.shown.casts
    rows = [_cast(at, row) for at, row in enumerate(found.iloc[:MAX_CASTS].to_dict("records"))]
    return {"state": "ready", "hash": state.shown.recipe.hash, "rows": rows, "more": max(0, len(found) - MAX_CASTS)}


def _cast(at: int, row: Any) -> Row:
    return {
        "at": at, "direction": text(row["direction"], 20), "from": text(row["from"], 40), "to": text(row["to"], 40),
        "source": text(row["source"], 200), "consumers": _names(row["consumers"]), "count": len(row["consumers"]),
        "elements": int(row["elements"]), "bytes": int(row["bytes"]), "us": number(row["time_us"]),
        "emulated": bool(row["emulated"]), "inside": text(row["inside"], 200),
    }  # fmt: skip


def findings(state: PageState) -> Row:
    """Regions, redundant casts, changes that remove casts, and layout changes; or what they wait for."""
    answer = state.answers.read(QUESTION.topic)
    if answer.state != "ready":
        return {"state": answer.state, "error": text(answer.error)}
    found = answer.value
    return {
        "state": "ready",
        "removals": _table(found.removals, _removal),
        "redundant": _table(found.redundant, _redundant),
        "regions": _table(found.regions, _region),
        "reformats": _table(found.reformats, _reformat),
    }


def toggles_of(state: PageState, kind: str, at: int) -> tuple[tuple[str, str], ...]:
    """The changes (op, precision) of one row of the tables on show; empty where there is no such row."""
    answer = state.answers.read(QUESTION.topic)
    table = getattr(answer.value, kind, None) if answer.state == "ready" else None
    if table is None or not 0 <= at < len(table):
        return ()
    return tuple((str(op), str(precision)) for op, precision in table["toggles"].iloc[at])


def _table(table: pd.DataFrame, row_of: Callable[[Any], Row]) -> Row:
    rows = [{"at": at, **row_of(row)} for at, row in enumerate(table.iloc[:MAX_ROWS].to_dict("records"))]
    return {"rows": rows, "more": max(0, len(table) - MAX_ROWS)}


def _removal(row: Any) -> Row:
    return {
        "change": text(row["change"]), "ops": [text(op, 200) for op, _ in row["toggles"][:MAX_NAMES]],
        "removes": len(row["removes"]), "adds": len(row["adds"]), "before": int(row["casts_before"]),
        "after": int(row["casts_after"]), "bytes": int(row["bytes_saved"]), "casts_us": number(row["casts_us"]),
        "saved_us": number(row["saved_us"]),
    }  # fmt: skip


def _redundant(row: Any) -> Row:
    ops = [*row["raised_by"], *row["through"], *row["readers"]]
    return {
        "kind": text(row["kind"], 60), "low": text(row["low"], 40), "high": text(row["high"], 40),
        "ops": _names(dict.fromkeys(ops)), "raised_by": _names(row["raised_by"]), "readers": _names(row["readers"]),
        "count": len(row["casts"]), "bytes": int(row["bytes"]), "casts_us": number(row["casts_us"]),
        "change": text(row["change"]), "can": bool(row["toggles"]),
    }  # fmt: skip


def _region(row: Any) -> Row:
    return {
        "format": text(row["format"], 80), "reads": text(row["reads"], 80), "count": int(row["ops"]),
        "first": text(row["first"], 200), "last": text(row["last"], 200), "ops": _names(row["members"]),
        "casts_in": int(row["casts_in"]), "casts_out": int(row["casts_out"]), "us": number(row["time_us"]),
        "casts_us": number(row["casts_us"]),
    }  # fmt: skip


def _reformat(row: Any) -> Row:
    return {
        "op": text(row["op"], 200), "where": text(row["where"], 20), "kernel": text(row["kernel"], 120),
        "wants": text(row["wants"], 60), "arrives": text(row["arrives"], 60), "elements": int(row["elements"]),
        "bytes": int(row["bytes"]), "us": number(row["time_us"]),
    }  # fmt: skip


def _names(ops: Any) -> list[str]:
    return [text(op, 200) for op in list(ops)[:MAX_NAMES]]
