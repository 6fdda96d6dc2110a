"""A site whose page offers a model of 2,000 ops, for the benchmark of large pages. Effects: a server, files.

The model is real (a transformer of many narrow layers), and so are its session, plans and prices.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import torch

import explorer as px
import widgets
from benchmarks.mapping import VOCABULARY, Deep
from explorer import serving

NAME, FIRST = "deep", "digits-cnn"
WIDTH, TOKENS, SAMPLES, BATCH = 32, 8, 128, 8
LAYERS, READY = "DEEP_LAYERS", "DEEP_READY"
"""Variables of the kernel: how many layers, of some ten ops each; and the file that says when it had the session."""
CELL = "from benchmarks.deep_page import page\npage()"
STARTED_S, FIRST_PORT = 60, 8961
ROOT = Path(__file__).resolve().parents[1]


def page() -> widgets.Page:
    """The page in the kernel: it opens a small model, and on request the deep one, which is then kept."""
    opened = px.open

    def open_(model: Any, *given: Any, **named: Any) -> Any:
        if model != NAME:
            return opened(model, *given, **named)
        session = _deep(opened)
        Path(os.environ[READY]).write_text(str(1e3 * time.time()))
        return session

    px.open = open_  # type: ignore[assignment]
    return widgets.explore(FIRST, models=(FIRST, NAME))


@cache
def _deep(opened: Any) -> Any:
    torch.manual_seed(0)
    model = Deep(int(os.environ[LAYERS]), WIDTH).eval()
    tokens = torch.randint(0, VOCABULARY, (SAMPLES, TOKENS))
    return opened(model, inputs=tokens[:2], data=(tokens, tokens), task="causal-lm", batch_size=BATCH, name=NAME)


@contextmanager
def deep_site(layers: int) -> Iterator[tuple[str, Path]]:
    """Serve that page; gives its address, and the file that tells when the session was there (ms since 1970)."""
    with serving.short_folder() as folder, tempfile.TemporaryDirectory() as pages:
        notebook, ready = Path(pages) / "explorer.ipynb", Path(pages) / "ready"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)]), notebook)
        port = serving.choose_port(None, FIRST_PORT, lambda _: None)
        site = serving.Site(port=port, model=FIRST, warm=0)
        server = serving.site_server(replace(serving.find_assets(), notebook=notebook), site, folder)
        environment = server.environment | {"PYTHONPATH": str(ROOT), LAYERS: str(layers), READY: str(ready)}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(server.command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(server.probe)
            yield server.address, ready
        finally:
            process.terminate()
            process.wait(STARTED_S)


def _wait_for(address: str) -> None:
    direct, pause = urllib.request.build_opener(urllib.request.ProxyHandler({})), threading.Event()
    for _ in range(10 * STARTED_S):
        with suppress(OSError), direct.open(address, timeout=5):
            return
        pause.wait(0.1)
    raise AssertionError(f"no server answered at {address} within {STARTED_S} s")
