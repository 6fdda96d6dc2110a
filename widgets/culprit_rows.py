"""The culprits panel's rows: the samples that moved most, each with its input as pixels or tokens."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from explorer.zoo.data import VOCABULARY
from widgets.answers import Ask
from widgets.plain import number, text

if TYPE_CHECKING:
    from widgets.state import PageState

MOST = 8
MOST_PIXELS = 64
"""Pixels of a picture's longer side; larger ones are thinned out."""
MOST_TOKENS = 48
VOCABULARIES = {"adder-gpt": VOCABULARY}
"""Models whose tokens are known as text."""
QUESTION = Ask(
    "culprits",
    "Looking for the samples that moved most",
    lambda session, recipe, **work: session.culprits(recipe, k=MOST, **work),
)

Row = dict[str, Any]


def culprits(state: PageState) -> Row:
    """The samples (tokens) whose output moved most, or what the panel waits for."""
    answer = state.answers.read(QUESTION.topic)
    about = {"state": answer.state, "error": text(answer.error), "kind": "measured"}
    if state.shown is None:
        return {**about, "state": "opening"}
    if answer.state != "ready":
        return {**about, "baseline": state.shown.is_baseline}
    words = vocabulary_of(state.session)
    about["kind"] = "emulated" if state.shown.emulated else "measured"
    rows = [_row(row, answer.value.inputs(int(row["sample"])), words) for row in answer.value.table.to_dict("records")]
    return {**about, "baseline": state.shown.is_baseline, "rows": rows[:MOST]}


def vocabulary_of(session: Any) -> str:
    """The characters of the model's tokens; empty where nobody knows them."""
    return next((words for name, words in VOCABULARIES.items() if name in str(session.name)), "")


def _row(row: Any, inputs: tuple[Tensor, ...], words: str) -> Row:
    token = int(row["token"])
    return {
        "sample": int(row["sample"]), "token": token, "kl": number(row["kl"]),
        "error": number(row["squared_error"]), "before": _answer(row["prediction_fp32"], words),
        "after": _answer(row["prediction"], words), "target": _target(row, words),
        "op": text(row["diverges_at"], 200), "sqnr": number(row["sqnr_db"]), "usual": number(row["usual_sqnr_db"]),
        **(picture(inputs[0]) or tokens(inputs[0], token, words) or {}),
    }  # fmt: skip


def _answer(value: Any, words: str) -> str:
    """A class, a token as text, or a number; empty where there is none."""
    found = number(value)
    if found is None:
        return "NaN" if isinstance(value, float) and math.isinf(value) else ""
    if words and found == int(found) and 0 <= found < len(words):
        return words[int(found)]
    return f"{found:g}"


def _target(row: Any, words: str) -> str:
    """The right answer; empty where there is none, or where the data leaves this position out (a negative label)."""
    is_label = number(row["kl"]) is not None or math.isinf(row["kl"])
    return "" if is_label and row["target"] < 0 else _answer(row["target"], words)


def picture(x: Tensor) -> Row | None:
    """An input [h, w] or [1 or 3, h, w] of floats as bytes, from its least to its most; None for anything else."""
    x = x[None] if x.dim() == 2 else x
    if not (x.is_floating_point() and x.dim() == 3 and x.shape[0] in (1, 3)):
        return None
    step = max(1, math.ceil(max(x.shape[1:]) / MOST_PIXELS))
    small = x[:, ::step, ::step].float().nan_to_num(0.0, 0.0, 0.0)
    low, high = float(small.min()), float(small.max())
    grey = ((small - low) / ((high - low) or 1.0) * 255).round().to(torch.uint8)
    pixels = grey.movedim(0, 2).contiguous().cpu().numpy().tobytes()
    return {"picture": base64.b64encode(pixels).decode(), "size": [small.shape[2], small.shape[1], small.shape[0]]}


def tokens(x: Tensor, at: int, words: str) -> Row | None:
    """An input [t] of ids as text or numbers, those around the position that moved; None for anything else."""
    if x.is_floating_point() or x.dim() != 1:
        return None
    first = max(0, min(at - MOST_TOKENS // 2, len(x) - MOST_TOKENS))
    ids = [int(i) for i in x[first : first + MOST_TOKENS]]
    return {"tokens": [words[i] if i < len(words) else str(i) for i in ids], "moved": at - first, "skipped": first}
