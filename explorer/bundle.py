"""Bundles: a saved exploration that opens without its model, its data or a GPU, plainly recorded. (Effect: disk.)"""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.errors import BundleError, PrecisionError, RecipeError
from explorer.latency import Latency
from explorer.measure import Quality
from explorer.recipe import Recipe
from explorer.trials import trials_table

SCHEMA = "precision-explorer/bundle/1"
MANIFEST = "exploration.json"
LARGEST_BYTES = 256 << 20


def save(path: Path, contents: dict[str, Any]) -> Path:
    """Write ``contents`` (plain values) to ``path``, replacing it only once the new file is whole; return the path."""
    if path.is_dir() or not path.parent.is_dir():
        found = "it is a folder" if path.is_dir() else f"there is no folder {str(path.parent)!r}"
        raise BundleError(f"save to {str(path)!r}", found, "a file name in a folder that exists")
    text = json.dumps({"schema": SCHEMA, "saved": time.time(), **contents})
    part = path.with_name(path.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, text)
    part.replace(path)
    return path


def load(path: str | Path) -> Recorded:
    """Return the exploration saved at ``path``. Raises :class:`BundleError` when it is not one."""
    asked = f"open {str(path)!r}"
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(MANIFEST).file_size > LARGEST_BYTES:
                raise BundleError(asked, "it unpacks to more than 256 MiB", "a bundle that session.save() wrote")
            data = json.loads(archive.read(MANIFEST))
    except FileNotFoundError as error:
        raise BundleError(asked, "there is no such file", "the path that session.save() returned") from error
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise BundleError(asked, f"it is no bundle ({error})", "a file that session.save() wrote") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise BundleError(asked, f"its schema is {found!r}", f"a bundle of schema {SCHEMA!r}")
    try:
        return Recorded(data, Recipe.from_json(data["recipe"]))
    except (KeyError, RecipeError, PrecisionError) as error:
        raise BundleError(asked, f"it is damaged ({error})", "a file that session.save() wrote") from error


@dataclass(frozen=True, eq=False)
class Recorded:
    """A saved exploration: what a session showed, on the device and at the time that ``provenance`` names.

    Nothing here is measured anew: :meth:`evaluate` and :meth:`latency` answer with what was recorded, or raise
    :class:`BundleError` when the recipe was not measured.
    """

    data: dict[str, Any]
    recipe: Recipe
    recorded: bool = True

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def provenance(self) -> dict[str, Any]:
        """The device's facts, when it was saved, and the fingerprints of model and data."""
        saved = pd.Timestamp(self.data["saved"], unit="s", tz="UTC").isoformat(timespec="seconds")
        return {"saved": saved, "model": self.recipe.fingerprint, "data": self.data["data"], **self.data["device"]}

    @property
    def ops(self) -> pd.DataFrame:
        return pd.DataFrame(self.data["ops"]).set_index("op")

    def casts(self) -> pd.DataFrame:
        table = pd.DataFrame(self.data["casts"])
        return table.assign(consumers=table["consumers"].map(tuple)) if len(table) else table

    def memory(self) -> pd.DataFrame:
        return pd.DataFrame(self.data["memory"]).set_index("class")

    @property
    def trials(self) -> pd.DataFrame:
        return trials_table(self.data["trials"])

    def recipes(self) -> dict[str, Recipe]:
        """Return every measured recipe by its hash."""
        return {row["recipe"]: Recipe.from_json(row["recipe_json"]) for row in self.data["trials"]}

    def evaluate(self, recipe: Recipe | None = None) -> Quality:
        """Return the recorded quality of ``recipe`` (default the saved one)."""
        return Quality.from_dict(self._find("quality", recipe))

    def latency(self, recipe: Recipe | None = None) -> Latency:
        """Return the recorded latency of ``recipe`` (default the saved one)."""
        return Latency.from_dict(self._find("latency", recipe))

    def __repr__(self) -> str:
        where = self.provenance
        return f"<Recorded {self.name}: {len(self.data['trials'])} trials on {where['label']}, {where['saved']}>"

    def _find(self, kind: str, recipe: Recipe | None) -> dict[str, Any]:
        wanted = (recipe or self.recipe).hash
        rows = [row for row in self.data["trials"] if row["kind"] == kind and row["recipe"] == wanted]
        if not rows:
            raise BundleError(
                f"read the {kind} of recipe {wanted}",
                "it was not measured in this exploration",
                f"one of {', '.join(sorted({row['recipe'] for row in self.data['trials']})) or 'none'}",
            )
        result: dict[str, Any] = max(
            rows, key=lambda row: row["result"].get("n", 0) if kind == "quality" else row["id"]
        )["result"]
        return result
