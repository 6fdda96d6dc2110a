"""What the engine says at once about a recipe, as the page shows it: read once per change, shared by all views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from explorer.tables import CAST_COLUMNS, OpStates


@dataclass(frozen=True, eq=False)
class Ops:
    """The ops of the model on show, in execution order: their table under some recipe, and the number of each."""

    table: pd.DataFrame
    place: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Shown:
    """The recipe on show and what follows from it: of its ops (a list per fact), and of its casts (a tuple each, as
    ``CAST_COLUMNS`` says). Tables of thousands of rows are slow to make: only who needs one makes it."""

    recipe: Any
    model: Ops
    states: OpStates
    cast_rows: list[tuple[Any, ...]]
    predicted_ms: float | None

    @property
    def place(self) -> Mapping[str, int]:
        """Op id -> its number, in execution order."""
        return self.model.place

    @cached_property
    def is_baseline(self) -> bool:
        return set(self.states.precision) <= {"fp32"}

    @cached_property
    def emulated(self) -> int:
        """How many ops no real kernel of this device runs."""
        return sum(self.states.emulated)

    @cached_property
    def ops(self) -> pd.DataFrame:
        """The table of the ops under this recipe, indexed by op id."""
        return self.states.write_into(self.model.table)

    @cached_property
    def casts(self) -> pd.DataFrame:
        """The table of the casts."""
        return pd.DataFrame(self.cast_rows, columns=CAST_COLUMNS)


def read_ops(session: Any) -> Ops:
    """Reads what stays the same while a model is open."""
    table = session.ops
    return Ops(table, {op: at for at, op in enumerate(table.index.tolist())})


def show(session: Any, model: Ops | None = None) -> Shown:
    """Reads the session's present recipe and what follows from it, without running anything; ``model``: its ops, where
    they were read before."""
    return Shown(
        session.recipe, model or read_ops(session), session.op_states, session.cast_rows, session.predicted_latency_ms()
    )
