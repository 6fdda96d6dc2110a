"""A film as one HTML file: scripts, styles, plotly and all values are in it, and it asks no host for anything."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from typing import Any

from widgets.export.filming import Filmed
from widgets.views.plot import library
from widgets.views.view import STATIC, script, style

EXPORT = re.compile(r"^export default ", re.MULTILINE)
OPENED = ("SearchPanel", "Frontier")
"""Sections that are open when the file is opened."""
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses whatever the page would ask of another host."""
DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{styles}</style></head>
<body><div class="px-player" id="px-root"><p class="px-player-wait">{title}</p>
<noscript>This recorded page needs JavaScript; it asks nothing of any network.</noscript></div>
<script type="application/octet-stream" id="px-film">{film}</script>
<script type="application/octet-stream" id="px-plotly">{plotly}</script>
<script>
(() => {{
"use strict";
{code}
}})();
</script></body></html>
"""
START = """
const textOf = (id) => document.getElementById(id).textContent;
const root = document.getElementById("px-root");
offerPlotly("precisionExplorerPlotly", () => textOf("px-plotly"));
unpack(textOf("px-film")).then((text) => {
  const player = new Player(JSON.parse(text), VIEWS);
  player.start(root);
}).catch((error) => {
  root.textContent = `This recorded page could not be opened: ${error.message}. It needs a browser of 2023 or later.`;
});
"""


def document_of(filmed: Filmed) -> str:
    """The whole file as text."""
    facts = filmed.facts
    title = f"Precision Explorer: {facts['model']}, {facts['mark']}"
    return DOCUMENT.format(
        policy=POLICY,
        title=html.escape(title),
        styles=_styles(filmed.film.styles),
        film=_packed(gzip.compress(_json(_contents(filmed)).encode(), 9)),
        plotly=_packed(library()),
        code=_code(filmed.film.scripts),
    )


def _contents(filmed: Filmed) -> dict[str, Any]:
    film = filmed.film
    return {
        "values": film.values, "layout": film.nodes, "nodes": filmed.nodes, "facts": filmed.facts,
        "frames": filmed.frames, "variants": filmed.variants, "inspections": filmed.inspections,
        "inspector": filmed.inspector, "details": filmed.details,
        "keys": filmed.keys, "pairs": filmed.pairs, "opened": _opened(filmed),
    }  # fmt: skip


def _opened(filmed: Filmed) -> list[str]:
    """The sections whose body is one of those that start open."""
    film, first = filmed.film, next(iter(filmed.frames.values()))
    sections = [name for name, node in film.nodes.items() if node["kind"] == "section"]
    bodies = {name: film.values[first[name]["children"]][-1] for name in sections}
    return [name for name, body in bodies.items() if film.nodes[body].get("type") in OPENED]


def _code(scripts: list[str]) -> str:
    """Every view as a function of its own, around the parts that all share, and then the player."""
    shared = script("shared")
    views = [_as_function(at, text.removeprefix(shared)) for at, text in enumerate(scripts)]
    return "\n".join([shared, "const VIEWS = {};", *views, script("patched", "player"), START])


def _as_function(at: int, text: str) -> str:
    assert len(EXPORT.findall(text)) == 1, "a view's module has one default export"
    assert "</script" not in text, "a view's script would end the script that it stands in"
    return f"VIEWS[{at}] = () => {{{EXPORT.sub('return ', text)}}};"


def _styles(styles: list[str]) -> str:
    shared = style()
    own = dict.fromkeys(text.removeprefix(shared) for text in styles)
    return "\n".join([shared, *own, (STATIC / "player.css").read_text(encoding="utf-8")])


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
