"""The recipe: a frozen map from op to precision, each with its reason, that can be compared, hashed and stored."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import pandas as pd

from explorer.errors import RecipeError, SelectionError
from explorer.precision import find_precision

SCHEMA = "precision-explorer/recipe/1"
BASELINE = "fp32"


@dataclass(frozen=True)
class Choice:
    """The precision of one op and why it has it."""

    precision: str = BASELINE
    reason: str = "default"


class StaticScales(Protocol):
    """What a recipe needs to know of a calibration, such as :class:`explorer.run.Calibration`."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def n(self) -> int: ...


@dataclass(frozen=True)
class Calibrated:
    """Under which static scales a recipe was stored: their fingerprint, the calibrator and its number of samples."""

    fingerprint: str
    method: str
    n: int

    def __str__(self) -> str:
        return f"{self.method} of {self.n} samples (scales {self.fingerprint})"


@dataclass(frozen=True)
class Recipe:
    """A precision for every op of one model.

    ``recipe["blocks.0.mlp.fc1/linear"]`` is the name of a precision. ``hash`` depends on the model's fingerprint and
    the precisions, not on reasons, notes or ``calibration``: the static scales under which it was stored, if any.
    """

    model: str
    fingerprint: str
    choices: tuple[tuple[str, Choice], ...]
    notes: str = ""
    calibration: Calibrated | None = None

    @staticmethod
    def baseline(model: str, fingerprint: str, ops: Iterable[str]) -> Recipe:
        """Return the recipe that runs every op in FP32."""
        return Recipe(model, fingerprint, tuple((op, Choice()) for op in ops))

    @cached_property
    def by_op(self) -> Mapping[str, Choice]:
        return dict(self.choices)

    @cached_property
    def precisions(self) -> Mapping[str, str]:
        """Op id -> name of its precision, in execution order."""
        return {op: choice.precision for op, choice in self.choices}

    def __getitem__(self, op: str) -> str:
        if op not in self.by_op:
            raise SelectionError(f"look up op {op!r}", "the recipe has no such op", "an id from session.ops.index")
        return self.by_op[op].precision

    def reason(self, op: str) -> str:
        """Return why ``op`` has its precision."""
        self[op]
        return self.by_op[op].reason

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many ops each precision has, most first."""
        return dict(Counter(self.precisions.values()).most_common())

    @cached_property
    def hash(self) -> str:
        """16 hex digits that name what this recipe computes."""
        text = json.dumps([self.fingerprint, sorted(self.precisions.items())])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def is_baseline(self) -> bool:
        return set(self.counts) <= {BASELINE}

    @property
    def is_static(self) -> bool:
        """Whether some op reads activations under scales that are fixed beforehand."""
        return any(find_precision(name).is_static for name in self.counts)

    def with_precision(self, ops: Iterable[str], precision: str, reason: str) -> Recipe:
        """Return this recipe with ``ops`` in ``precision``."""
        chosen = set(ops)
        choice = Choice(precision, reason)
        return replace(self, choices=tuple((each[0], choice) if each[0] in chosen else each for each in self.choices))

    def with_calibration(self, scales: StaticScales | None) -> Recipe:
        """Return this recipe with the calibration that its numbers rest on; without one where no op is static."""
        if scales is None or not self.is_static:
            return self if self.calibration is None else replace(self, calibration=None)
        return replace(self, calibration=Calibrated(scales.fingerprint, scales.method, scales.n))

    def diff(self, other: Recipe) -> pd.DataFrame:
        """Return one row per op that differs: ``op``, ``from`` (this recipe) and ``to`` (the other)."""
        ours, theirs = self.precisions, other.precisions
        rows = [(op, ours.get(op), theirs.get(op)) for op in dict.fromkeys((*ours, *theirs))]
        return pd.DataFrame([row for row in rows if row[1] != row[2]], columns=["op", "from", "to"])

    def to_json(self) -> str:
        """Return the recipe as stable, diffable JSON text."""
        ops = {op: {"precision": choice.precision, "reason": choice.reason} for op, choice in self.choices}
        model = {"name": self.model, "fingerprint": self.fingerprint}
        scales = {} if self.calibration is None else {"calibration": vars(self.calibration)}
        return json.dumps({"schema": SCHEMA, "model": model, "notes": self.notes, **scales, "ops": ops}, indent=1)

    @staticmethod
    def from_json(text: str) -> Recipe:
        """Return the recipe that :meth:`to_json` wrote; raise :class:`RecipeError` when the text is not one."""
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, TypeError) as error:
            raise _corrupt(f"it is not JSON: {error}") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise _corrupt(f"its schema is {found!r}")
        model, ops, notes = data.get("model"), data.get("ops"), data.get("notes", "")
        if not isinstance(model, dict) or not isinstance(ops, dict):
            raise _corrupt("its model or ops are missing")
        if not all(isinstance(text, str) for text in (model.get("name"), model.get("fingerprint"), notes)):
            raise _corrupt("its model's name, fingerprint or notes are not text")
        choices = tuple((op, _choice(op, entry)) for op, entry in ops.items())
        return Recipe(model["name"], model["fingerprint"], choices, notes, _calibrated(data.get("calibration")))


def explains_misfit(recipe: Recipe, scales: StaticScales) -> str:
    """Return why numbers of ``recipe`` that were found before will not be found again under ``scales``, in a sentence.

    Empty where they fit, where the recipe was stored without a calibration, and where no op of it is static.
    """
    stored = recipe.calibration
    if stored is None or not recipe.is_static or stored.fingerprint == scales.fingerprint:
        return ""
    now = Calibrated(scales.fingerprint, scales.method, scales.n)
    if (stored.method, stored.n) == (now.method, now.n):
        remedy = "Method and number are the same, so the data (or the device) differ: calibrate on the recipe's data."
    else:
        remedy = f"calibrate(method={stored.method!r}, n={stored.n}) on the recipe's data brings them back."
    return (
        f"This recipe was stored under static scales by {stored}; those in use are by {now}, so that its accuracy may "
        f"differ from what was measured. {remedy}"
    )


def _calibrated(entry: Any) -> Calibrated | None:
    """The calibration in a file; files of before there was one have none."""
    if entry is None:
        return None
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in ("fingerprint", "method")):
        raise _corrupt("its calibration's fingerprint or method is not text")
    n = entry.get("n")
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise _corrupt(f"its calibration's number of samples is {n!r}")
    return Calibrated(entry["fingerprint"], entry["method"], n)


def _choice(op: str, entry: Any) -> Choice:
    if not isinstance(entry, dict) or not isinstance(entry.get("precision"), str):
        raise _corrupt(f"op {op!r} has no precision")
    reason = entry.get("reason", "user")
    if not isinstance(reason, str):
        raise _corrupt(f"the reason of op {op!r} is not text")
    return Choice(find_precision(entry["precision"]).name, reason)


def _corrupt(found: str) -> RecipeError:
    return RecipeError("read a recipe", found, f"a file that recipe.to_json() wrote (schema {SCHEMA!r})")
