"""A value of many rows crosses once, and then what changes; whoever reads both parts has the value."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

from widgets import patched
from widgets.patched import Patched


def read(whole: dict[str, Any], since: dict[str, Any], root: Path) -> Any:
    """What the browser makes of both parts."""
    script = "import {readPatched} from './widgets/static/patched.js';"
    script += f"console.log(JSON.stringify(readPatched({json.dumps(whole)}, {json.dumps(since)})));"
    done = subprocess.run(["node", "--input-type=module", "-e", script], cwd=root, capture_output=True, check=True)
    return json.loads(done.stdout)


def test_a_change_costs_what_it_changes_and_nothing_is_lost(root: Path) -> None:
    random.seed(0)
    value: dict[str, Any] = {"hash": "0", "rows": [[0, ""] for _ in range(2000)], "casts": []}
    told = Patched()
    first, since = told.tell(value)
    assert since == {}
    for step in range(1, 20):
        rows = list(value["rows"])
        rows[random.randrange(2000)] = [step, "changed"]
        value = {"hash": str(step), "rows": rows, "casts": value["casts"] + [[step]]}
        whole, since = told.tell(value)
        assert whole == first
        assert len(json.dumps(since)) < 1500
    assert read(whole, since, root) == value
    assert told.tell({**first["value"]}) == (first, {}), "back at the start there is no difference"


def test_many_differences_make_a_new_whole(monkeypatch: Any) -> None:
    monkeypatch.setattr(patched, "MOST_BYTES", 100)
    told = Patched()
    before, _ = told.tell({"rows": [0] * 50})
    whole, since = told.tell({"rows": [1] * 50})
    assert (whole["version"], whole["value"], since) == (before["version"] + 1, {"rows": [1] * 50}, {})
    assert told.tell({"others": [1] * 50})[0]["version"] == whole["version"] + 1, "other names"
