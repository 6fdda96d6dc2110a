"""The map's costs: what the engine predicts for every cell as typed bytes, with what was measured exactly beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from widgets.plain import number, text, why_none

if TYPE_CHECKING:
    from widgets.state import PageState

MAX_OPS = 5000
MAX_MEASURED = 20_000
UNKNOWN = np.float32(-1)
"""The cost of a cell that nothing is known about; a real one is never below 0, and NaN where the output breaks."""
MOST_PERCENT = 253
MORE = 254
"""The error of a cell whose standard error is larger than its cost by so much, or not known."""
NOBODY = 255
Cells = Mapping[tuple[str, str], tuple[float, int]]
"""(op, precision) -> the cost as measured, and over how many samples."""


@dataclass(frozen=True, eq=False)
class CostTable:
    """The predicted cost of every cell.

    costs: [ops, precisions] float32, -1 where unknown; errors: [ops, precisions] uint8, the standard error in percent
    of the cost, 254 for more. per: ``"token"`` or ``"sample"``.
    """

    costs: NDArray[np.float32]
    errors: NDArray[np.uint8]
    unit: str
    per: str
    samples: int
    total: int
    probes: int


def read_costs(found: Any, ops: Sequence[str], precisions: Sequence[str]) -> CostTable:
    """The costs of a predicted map in the page's order of ops and precisions; FP32 costs nothing."""
    ops = list(ops)[:MAX_OPS]
    values, spreads = (
        frame.reindex(index=ops, columns=list(precisions)).to_numpy(np.float64, copy=True)
        for frame in (found.table(), found.errors())
    )
    known = np.zeros(values.shape, bool)
    rows, columns = ({name: at for at, name in enumerate(names)} for names in (ops, precisions))
    for op, precision in found.products:
        if op in rows and precision in columns:
            known[rows[op], columns[precision]] = True
    if "fp32" in columns:
        at = columns["fp32"]
        values[:, at], spreads[:, at], known[:, at] = 0.0, 0.0, True
    costs = np.where(known, values, UNKNOWN).astype(np.float32)
    per = "token" if found.positions > 1 else "sample"
    return CostTable(costs, _percents(values, spreads), found.unit, per, found.samples, found.total, found.probes)


def _percents(values: NDArray[np.float64], spreads: NDArray[np.float64]) -> NDArray[np.uint8]:
    with np.errstate(divide="ignore", invalid="ignore"):
        percents = np.where(values == 0, 0.0, np.rint(100 * spreads / values))
    small = percents <= MOST_PERCENT
    return np.where(small, np.where(small, percents, 0), MORE).astype(np.uint8)


def costs(state: PageState) -> tuple[dict[str, Any], bytes]:
    """What is known of the costs, and the bytes: the costs of all cells, op after op, and then their errors."""
    found = state.costs
    if found is None or state.session is None:
        return {"state": why_none(state.session, state.map_error) or "waiting", "error": text(state.map_error)}, b""
    rows, columns = found.costs.shape
    about = {
        "state": "ready", "rows": rows, "columns": columns, "unit": text(found.unit, 20), "per": found.per,
        "samples": found.samples, "total": found.total, "probes": found.probes, "measured": _measured(state),
        "whole": state.map_wanted == 0, "error": text(state.map_error),
    }  # fmt: skip
    return about, found.costs.tobytes() + found.errors.tobytes()


def _measured(state: PageState) -> list[list[Any]]:
    """[op, precision, cost (None where not finite), n] of every cell that was measured, by number."""
    assert state.shown is not None
    rows = {op: at for op, at in state.shown.place.items() if at < MAX_OPS}
    columns = {name: at for at, name in enumerate(state.session.precisions)}
    inside = [(op, name, *seen) for (op, name), seen in state.measured_cells.items() if op in rows and name in columns]
    return [[rows[op], columns[name], number(cost), int(n)] for op, name, cost, n in inside[:MAX_MEASURED]]


def proposed(state: PageState) -> bytes:
    """One byte for each op: the number of the precision that the proposal gives it; empty without a proposal."""
    if state.proposal is None or state.shown is None:
        return b""
    columns = {name: at for at, name in enumerate(state.session.precisions[:NOBODY])}
    chosen = state.proposal.recipe
    return bytes(columns.get(chosen[op], NOBODY) for op in list(state.shown.place)[:MAX_OPS])
