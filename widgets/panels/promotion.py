"""The tables of type promotion, JAX beside PyTorch, with every difference marked and explained."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import ipywidgets
import pandas as pd

from explorer.arithmetic import compare_promotion
from widgets.panels.experiment import Experiment

USUAL = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
PYTHON = ("int", "float", "complex")
SETS = {
    "the usual ones": USUAL,
    "with float8": (*USUAL[:6], "float8_e4m3fn", "float8_e5m2", *USUAL[6:]),
    "all": None,
}
RIGHT = {
    "an array, or a Python number": False,
    "a tensor without dimensions": True,
}
SHORT = {"float8_e4m3fn": "f8 e4m3", "float8_e5m2": "f8 e5m2", "refused": "refused"}

ABOUT = (
    "Which dtype comes out when two meet in one operation? JAX and PyTorch agree on two arrays of the usual dtypes. "
    "They differ in what Python's numbers and tensors without dimensions count for, and in what they refuse. "
    "i* f* c* are JAX's weak types: int64, float64 and complex128 (their 32-bit halves, unless 64-bit types are "
    "switched on) that give way to whatever comes next."
)


@dataclass(frozen=True)
class Pairs:
    """What the controls hold: dtypes None means all of them."""

    dtypes: tuple[str, ...] | None
    zero_dim: bool


class Promotion(Experiment[Pairs, pd.DataFrame]):
    """Two tables of result types side by side."""

    def __init__(self) -> None:
        self.dtypes = ipywidgets.Dropdown(options=list(SETS.items()))
        self.right = ipywidgets.Dropdown(options=list(RIGHT.items()))
        self.tables = ipywidgets.HTML()
        super().__init__(ABOUT, {"dtypes": self.dtypes, "the right one is": self.right}, [self.tables])

    def settings(self) -> Pairs:
        return Pairs(self.dtypes.value, self.right.value)

    def compute(self, settings: Pairs) -> pd.DataFrame:
        table = compare_promotion(settings.zero_dim)
        if settings.dtypes is not None:
            table = table[table["left"].isin(settings.dtypes) & table["right"].isin((*settings.dtypes, *PYTHON))]
        return table[~table["right"].isin(PYTHON)] if settings.zero_dim else table

    def show(self, result: pd.DataFrame) -> None:
        reasons = result.loc[result["differ"], "why"].value_counts()
        words = "".join(
            f"<li><b>{count}</b> {'pair' if count == 1 else 'pairs'}: {escape(str(why))}.</li>"
            for why, count in reasons.items()
        )
        summary = f"<p class='px-about'>{result['differ'].sum()} of {len(result)} pairs differ (marked <b>≠</b>).</p>"
        tables = _table("JAX", "jax", result) + _table("PyTorch", "torch", result)
        pair = f"<div class='px-pair'>{tables}</div><ul class='px-words'>{words}</ul>"
        self.tables.value = f"<div data-testid='promotion'>{summary}{pair}</div>"


def _table(caption: str, library: str, pairs: pd.DataFrame) -> str:
    columns = _python_first(pairs)["right"].unique()
    head = "".join(f"<th scope='col'>{_short(name)}</th>" for name in columns)
    rows = "".join(_row(str(left), group, library) for left, group in pairs.groupby("left", sort=False))
    return (
        f"<div class='px-scroll'><table class='px-promotion'><caption>{caption}</caption>"
        f"<tr><th></th>{head}</tr>{rows}</table></div>"
    )


def _row(left: str, pairs: pd.DataFrame, library: str) -> str:
    cells = "".join(_cell(pair, library) for _, pair in _python_first(pairs).iterrows())
    return f"<tr><th scope='row'>{_short(left)}</th>{cells}</tr>"


def _python_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs with Python's numbers first, so that a narrow screen shows where the libraries differ most."""
    return pairs.sort_values("right", key=lambda names: ~names.isin(PYTHON), kind="stable")


def _cell(row: pd.Series, library: str) -> str:
    mark = "<b>≠</b> " if row["differ"] else ""
    kind = "px-differ" if row["differ"] else ""
    title = f"{row['left']} with {row['right']}: {row[library]}" + (f"; {row['why']}" if row["differ"] else "")
    return f"<td class='{kind}' title='{escape(title, quote=True)}'>{mark}{_short(row[library])}</td>"


def _short(name: str) -> str:
    """A dtype as a narrow column can show it: float32 is f32; Python's numbers and weak types stay."""
    if name in SHORT or name in PYTHON:
        return SHORT.get(name, f"<i>{name}</i>")
    for long, letter in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i"), ("complex", "c")):
        if name.startswith(long):
            return letter + name.removeprefix(long)
    return name
