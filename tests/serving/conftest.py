"""One site for all tests: a token, a path before it, one seat, and a small notebook with an ordinary control."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import websocket

from explorer import serving
from explorer.limits import VISITOR
from tests.serving.speaking import FRAMED, Talk

TOKEN = "a-token-for-these-tests"
BASE = "/px/"
SECONDS = 120
CELL = """
import ipywidgets
import widgets
slider = ipywidgets.IntSlider(3, description="secret-source-line")
ipywidgets.VBox([slider, widgets.FormatLab(formats=["fp16"]).number_bits])
"""


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    text: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Running:
    """The site as a stranger finds it; ``visit`` is the one page that was opened, which took the one seat."""

    port: int
    process: subprocess.Popen[bytes]

    def ask(self, path: str, method: str = "GET", *, token: str = TOKEN, **headers: str) -> Answer:
        """Send a request as it stands, without tidying its path."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers=headers)
        if token:
            request.add_header("Authorization", f"token {token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        try:
            with opener.open(request, timeout=SECONDS) as reply:
                return Answer(reply.status, reply.read().decode(), dict(reply.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(errors="replace"), dict(error.headers))

    def connect(self, kernel: str, protocols: tuple[str, ...] = (FRAMED,), **headers: str) -> websocket.WebSocket:
        """Open a kernel's websocket; raises ``WebSocketBadStatusException`` where the site refuses."""
        return websocket.create_connection(
            f"ws://127.0.0.1:{self.port}{BASE}api/kernels/{kernel}/channels?session_id=test",
            subprotocols=list(protocols),
            header=headers or {"Authorization": f"token {TOKEN}"},
            suppress_origin=True,
            timeout=SECONDS,
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Running]:
    notebook = tmp_path_factory.mktemp("pages") / "explorer.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)]), notebook)
    (notebook.parent / "private.png").write_bytes(b"not for visitors")
    assets = replace(serving.find_assets(), notebook=notebook)
    where = serving.Site(
        port=free_port(), model="digits-cnn", token=TOKEN, base_url=BASE, seats=1, warm=0, limits=VISITOR
    )
    with serving.short_folder() as folder:
        server = serving.site_server(assets, where, folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(server.command, env=server.environment, stdout=log, stderr=log)
        running = Running(where.port, process)
        try:
            _wait_for(running, folder / "log")
            yield running
        finally:
            process.terminate()
            process.wait(SECONDS)


def _wait_for(running: Running, log: Path) -> None:
    pause = threading.Event()
    for _ in range(10 * SECONDS):
        assert running.process.poll() is None, log.read_text()
        try:
            if running.ask(f"{BASE}health").status == 200:
                return
        except OSError:
            pause.wait(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def visit(site: Running) -> Answer:
    """The page of the only visitor, who sits as long as the tests run."""
    page = site.ask(BASE)
    assert page.status == 200, page.text
    return page


@pytest.fixture(scope="session")
def kernel(visit: Answer) -> str:
    """The id of the visitor's kernel."""
    found = re.search(r'id="jupyter-config-data"[^>]*>\s*(\{.*?\})\s*</script>', visit.text, re.DOTALL)
    assert found
    identity: str = json.loads(found[1])["kernelId"]
    return identity


@pytest.fixture
def talk(site: Running, kernel: str) -> Iterator[Talk]:
    """A connection to the visitor's kernel, spoken by hand."""
    connection = site.connect(kernel)
    try:
        spoken = Talk(connection)
        spoken.greet()
        yield spoken
    finally:
        connection.close()
        connection.shutdown()  # where the site was first, nothing else lets the socket go
