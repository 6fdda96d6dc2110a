"""The exported page: what it holds of a recorded exploration, and what it refuses."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

import explorer as px
from explorer.errors import BundleError
from widgets import export
from widgets.export import filming
from widgets.export.document import document_of
from widgets.export.filming import Filmed, film_page


@pytest.fixture(scope="session")
def filmed(saved: Path) -> Filmed:
    """Of two recipes, the one that was saved and the other that was measured: each takes a second."""
    recorded = px.load(saved)
    before = recorded.history
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filming, "MOST_RECIPES", 2)
        found = film_page(recorded)
    assert recorded.history == before, "filming leaves the recording as it was"
    return found


def shown(filmed: Filmed, recipe: str, view: str) -> dict[str, Any]:
    """What a view shows of a recipe."""
    return {name: filmed.film.values[number] for name, number in filmed.frames[recipe][filmed.nodes[view]].items()}


def test_every_recipe_has_its_own_frame(explored: Any, filmed: Filmed) -> None:
    now, before = explored.recipe.hash, explored.history[0].recipe.hash
    assert {now, before} <= filmed.frames.keys()
    assert filmed.facts["start"] == now
    assert shown(filmed, now, "map")["plan"]["hash"] == now
    assert shown(filmed, before, "map")["plan"]["hash"] == before
    assert shown(filmed, now, "map")["table"] == shown(filmed, before, "map")["table"]
    first = next(iter(filmed.inspections[now].values()))
    inspected = filmed.inspector[first[0]][filmed.nodes["inspector"]]["inspected"]
    assert filmed.film.values[inspected]["state"] == "ready"
    assert f"{now} {before}" in filmed.pairs
    assert now in filmed.marks[now]["latency"]


def test_the_file_holds_everything(filmed: Filmed) -> None:
    text = document_of(filmed)
    film = re.search(r'id="px-film">([^<]*)<', text)
    assert film is not None
    contents = json.loads(gzip.decompress(base64.b64decode(film[1])))
    assert contents["frames"] == filmed.frames
    assert filmed.facts["mark"] in text
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert text.count("</script>") == text.count("<script")


def test_what_cannot_be_written_is_refused(
    recorded: px.Recorded, filmed: Filmed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="there is no folder"):
        export.export_html(recorded, tmp_path / "nowhere" / "x.html")
    monkeypatch.setattr(export, "LARGEST_BYTES", 1000)
    monkeypatch.setattr(export, "film_page", lambda *_: filmed)
    with pytest.raises(BundleError, match="explorer show"):
        export.export_html(recorded, tmp_path / "x.html")
    assert not list(tmp_path.iterdir())
