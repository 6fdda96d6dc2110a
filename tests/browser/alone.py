"""A view in a browser without a kernel: script, style and traits in one document, for looking and timing."""

from __future__ import annotations

import base64
import json
from typing import Any

from widgets.views.view import Pane

DOCUMENT = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0; }} {style}</style>
<div class="px-page"><div id="view"></div></div>
<script type="module">
const traits = {traits};
for (const [name, text] of Object.entries({bytes})) {{
  traits[name] = new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}}
const model = {{
  get: (name) => traits[name], on() {{}}, off() {{}}, save_changes() {{}},
  send() {{}},
}};
const {{ default: view }} = await import(URL.createObjectURL(new Blob([{script}], {{ type: "text/javascript" }})));
await view.render({{ model, el: document.getElementById("view") }});
</script>"""


def document_of(view: Pane) -> str:
    """An HTML document that shows the view as it is now; what is asked of it is not answered."""
    state: dict[str, Any] = view.get_state()
    plain = {name: value for name, value in state.items() if not name.startswith("_") and not _is_bytes(value)}
    plain = {name: value for name, value in plain.items() if _is_json(value)}
    raw = {name: base64.b64encode(bytes(value)).decode() for name, value in state.items() if _is_bytes(value)}
    return DOCUMENT.format(
        style=view._css, script=_json(view._esm), traits=_json(plain), bytes=_json(raw)
    )  # fmt: skip


def _is_bytes(value: object) -> bool:
    return isinstance(value, (bytes, bytearray, memoryview))


def _is_json(value: object) -> bool:
    return isinstance(value, (str, int, float, bool, list, dict, type(None)))


def _json(value: object) -> str:
    """JSON that cannot end the script that it stands in."""
    return json.dumps(value).replace("</", "<\\/")
