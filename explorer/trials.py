"""The trial store: everything measured, with its provenance, in one SQLite file. (Effect: disk.)"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

_TABLE = """
create table if not exists trials (
    id integer primary key, created real not null, kind text not null, recipe text not null, model text not null,
    data text not null, device text not null, conditions text not null, n integer not null, result text not null,
    recipe_json text not null, facts text not null);
create index if not exists trials_by_recipe on trials (recipe, kind, data, device, conditions);
create table if not exists pages (page text primary key, saved real not null, model text not null, state text not null);
create table if not exists recipes (
    key text primary key, recipe text not null, model text not null, recipe_json text not null);
create index if not exists recipes_by_hash on recipes (recipe, model);
"""
MOST_PAGES = 1000
"""Pages whose state is kept, those used last."""

_INSERT = """
insert into trials (created, kind, recipe, model, data, device, conditions, n, result, recipe_json, facts)
values (:created, :kind, :recipe, :model, :data, :device, :conditions, :n, :result, :recipe_json, :facts);
"""


@dataclass(frozen=True)
class TrialKey:
    """What must be equal for one measurement to answer for another.

    ``recipe`` is the recipe's hash (which holds the model's fingerprint), ``data`` the data's fingerprint, ``device``
    the device's key, ``conditions`` whatever else the number depends on (batch size, samples asked for, baseline).
    """

    kind: str
    recipe: str
    data: str
    device: str
    conditions: str


def default_path() -> Path:
    """Return the file of the trial store: ``$PRECISION_EXPLORER_HOME`` or the user's data folder."""
    home = os.environ.get("PRECISION_EXPLORER_HOME")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return (Path(home) if home else Path(data) / "precision-explorer") / "trials.sqlite"


class TrialStore:
    """Trials in a SQLite file, written as they happen. Usable from several threads and processes."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as db:
            db.executescript(_TABLE)

    def add(
        self, key: TrialKey, n: int, result: dict[str, Any], model: str, recipe_json: str, facts: dict[str, Any]
    ) -> None:
        """Write one measurement."""
        row = {
            **asdict(key),
            "created": time.time(),
            "model": model,
            "n": n,
            "result": json.dumps(result),
            "recipe_json": recipe_json,
            "facts": json.dumps(facts),
        }
        with self._connect() as db:
            db.execute(_INSERT, row)

    def find(self, key: TrialKey) -> dict[str, Any] | None:
        """Return the newest result measured under ``key``, or None."""
        with self._connect() as db:
            row = db.execute(
                "select result from trials where kind = ? and recipe = ? and data = ? and device = ? and conditions = ?"
                " order by id desc limit 1",
                (key.kind, key.recipe, key.data, key.device, key.conditions),
            ).fetchone()
        return json.loads(row[0]) if row else None

    def rows(self, model: str | None = None) -> list[dict[str, Any]]:
        """Return all trials (of one model fingerprint), oldest first, results and facts as dicts."""
        with self._connect() as db:
            db.row_factory = sqlite3.Row
            found = [
                dict(row)
                for row in db.execute("select * from trials where ?1 is null or model = ?1 order by id", (model,))
            ]
        for row in found:
            row["result"], row["facts"] = json.loads(row["result"]), json.loads(row["facts"])
        return found

    def newest(
        self, model: str, data: str, device: str, conditions: Collection[tuple[str, str]]
    ) -> list[dict[str, Any]]:
        """Return the newest trial of each recipe and kind of ``conditions`` (kind, conditions), oldest first."""
        with self._connect() as db:
            db.row_factory = sqlite3.Row
            found = db.execute(
                "select max(id), kind, recipe, conditions, result, recipe_json from trials"
                " where model = ? and data = ? and device = ? group by kind, recipe, conditions order by 1",
                (model, data, device),
            )
            # Results are read only where they are wanted: a latency holds a table of all ops.
            kept = [dict(row) for row in found if (row["kind"], row["conditions"]) in conditions]
        return [row | {"result": json.loads(row["result"])} for row in kept]

    # Pages: what a person had chosen and opened, so that the page is found again as it was left

    def keep_page(self, page: str, model: str, state: dict[str, Any], recipes: Mapping[str, tuple[str, str]]) -> None:
        """Write a page's state over its former one, and recipes that it names: key -> hash and JSON text."""
        with self._connect() as db:
            db.executemany(
                "insert or ignore into recipes values (?, ?, ?, ?)",
                [(key, hash_, model, text) for key, (hash_, text) in recipes.items()],
            )
            db.execute(
                "insert or replace into pages values (?, ?, ?, ?)", (page, time.time(), model, json.dumps(state))
            )
            db.execute("delete from pages where page not in (select page from pages order by saved desc limit ?)",
                       (MOST_PAGES,))  # fmt: skip

    def kept_page(self, page: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        """Return a page's state and the recipes that it names, JSON text by key; None where there is no such page."""
        with self._connect() as db:
            row = db.execute("select state, model from pages where page = ?", (page,)).fetchone()
            if row is None:
                return None
            found = db.execute("select key, recipe_json from recipes where model = ?", (row[1],)).fetchall()
        return json.loads(row[0]), dict(found)

    def recipe(self, model: str, hash_: str) -> str | None:
        """Return the JSON text of a recipe of a model (its fingerprint) that was measured, or chosen on a page."""
        with self._connect() as db:
            row = db.execute(
                "select recipe_json from trials where recipe = ?1 and model = ?2 union all"
                " select recipe_json from recipes where recipe = ?1 and model = ?2 limit 1",
                (hash_, model),
            ).fetchone()
        return row[0] if row else None

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with self._lock, closing(sqlite3.connect(self.path, timeout=30)) as db, db:
            yield db


def trials_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return trials as a table: what was measured, of which recipe, where, and the numbers that were found."""
    columns = ("created", "kind", "recipe", "n", "conditions", "device")
    numbers = (
        "score",
        "baseline",
        "difference",
        "kl",
        "agreement",
        "sqnr_db",
        "baseline_ms",
        "candidate_ms",
        "speedup",
        "interval",
        "emulated",
    )
    records = [
        {name: row[name] for name in columns}
        | {name: row["result"].get(name) for name in numbers}
        | {"torch": row["facts"].get("torch_version"), "label": row["facts"].get("label")}
        for row in rows
    ]
    table = pd.DataFrame(records, columns=[*columns, *numbers, "torch", "label"])
    table["created"] = pd.to_datetime(table["created"], unit="s", utc=True)
    return table
