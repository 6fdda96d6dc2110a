"""The page's dictionary knows every precision that the explorer has."""

from __future__ import annotations

import re

import explorer as px
from widgets.views.view import STATIC


def test_every_precision_has_a_sentence() -> None:
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    table = text.split("PRECISION_WORDS = {")[1].split("\n};")[0]
    known = set(px.PRECISIONS) - {"fp16_narrow"}  # which a test of the diagnosis adds to the table
    assert set(re.findall(r"^  (\w+): \"", table, re.MULTILINE)) == known
