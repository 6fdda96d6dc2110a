"""``docs/ui.md`` shows every view of the page, in pictures that exist, and nothing that is no longer there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.walk import SCENES, SIZES, THEMES, VIEWS
from widgets.app import SECTIONS

LARGEST_BYTES = 4_000_000
"""Of all pictures together: a clone should stay quick."""
BESIDE = {"Search"}
"""Sections beside the map; those below it are the page's own list."""


@pytest.fixture(scope="module")
def shown(root: Path) -> set[str]:
    """The pictures that the document shows, by their names."""
    found = re.findall(r"\]\(images/ui/([\w-]+)\.png\)", (root / "docs" / "ui.md").read_text(encoding="utf-8"))
    assert len(found) == len(set(found)), "a picture is shown twice"
    return set(found)


def test_every_section_of_the_page_is_a_view() -> None:
    sections = {title.split(":")[0] for title, _ in SECTIONS} | BESIDE
    assert {view.section for view in VIEWS if view.section} == sections


def test_every_view_is_shown_in_both_themes_and_sizes(shown: set[str]) -> None:
    names = [*(scene.name for scene in SCENES), *(view.name for view in VIEWS), "lab"]
    assert shown == {f"{name}-{theme}-{size}" for name in names for theme in THEMES for size in SIZES}


def test_pictures_exist_and_are_small(root: Path, shown: set[str]) -> None:
    files = {file.stem: file.stat().st_size for file in (root / "docs" / "images" / "ui").iterdir()}
    assert set(files) == shown
    assert sum(files.values()) < LARGEST_BYTES
