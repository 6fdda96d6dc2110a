"""The site over HTTP: pages for who has the token, and nothing else for anyone."""

from __future__ import annotations

import json
import re

import psutil
import pytest
import websocket

from explorer.limits import VISITOR
from tests.serving.conftest import BASE, Answer, Running
from tests.serving.speaking import Talk
from widgets.serve.kernels import DIED

SERVED_TO_NOBODY = [
    "/",
    f"{BASE}api/kernels",
    f"{BASE}api/kernelspecs",
    f"{BASE}api/contents",
    f"{BASE}api/contents/explorer.ipynb",
    f"{BASE}api/sessions",
    f"{BASE}api/terminals",
    f"{BASE}api/config/notebook",
    f"{BASE}api/me",
    f"{BASE}terminals/1",
    f"{BASE}terminals/websocket/1",
    f"{BASE}nbconvert/html/explorer.ipynb",
    f"{BASE}files/explorer.ipynb",
    f"{BASE}files/etc/passwd",
    f"{BASE}notebooks/explorer.ipynb",
    f"{BASE}explorer.ipynb",
    f"{BASE}private.png",
    f"{BASE}tree",
    f"{BASE}lab",
    f"{BASE}static/style/style.min.css",
    f"{BASE}voila/tree",
    f"{BASE}voila/render/explorer.ipynb",
    f"{BASE}voila/api/contents",
    f"{BASE}voila/files/explorer.ipynb",
    f"{BASE}voila/files/private.png",
    f"{BASE}voila/execution/a-b-c-d-e",
    f"{BASE}pages/nope",
    f"{BASE}pages/../explorer.ipynb",
    f"{BASE}voila/static/../../../../../../etc/passwd",
    f"{BASE}voila/static/%2e%2e/%2E%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    f"{BASE}voila/static/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
    f"{BASE}voila/static//etc/passwd",
    f"{BASE}voila/static/%5c..%5c..%5cetc/passwd",
    f"{BASE}voila/static/%00",
    f"{BASE}voila/templates/lab/static/../../../../../../../etc/passwd",
    f"{BASE}voila/templates/%2e%2e/static/x",
    f"{BASE}voila/labextensions/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    f"{BASE}voila/api/themes/%2e%2e/%2e%2e/schemas",
]


def test_what_is_not_a_page_is_served_to_nobody(site: Running) -> None:
    for path in SERVED_TO_NOBODY:
        answer = site.ask(path)
        assert answer.status == 404, path
        assert "root:" not in answer.text
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert site.ask(f"{BASE}api/kernels", method).status == 404


def test_a_kernel_is_shown_to_who_knows_it_and_handled_by_nobody(site: Running, kernel: str) -> None:
    assert json.loads(site.ask(f"{BASE}api/kernels/{kernel}").text)["id"] == kernel
    assert site.ask(f"{BASE}api/kernels/{kernel}", "DELETE").status == 405
    assert site.ask(f"{BASE}api/kernels/{kernel}/interrupt", "POST").status == 404
    assert site.ask(f"{BASE}api/kernels/{kernel}/restart", "POST").status == 404
    assert site.ask(f"{BASE}api/kernels/00000000-0000-0000-0000-000000000000").status == 404


def test_a_page_shows_no_source_and_asks_no_other_host(visit: Answer) -> None:
    assert "application/vnd.jupyter.widget-view+json" in visit.text
    assert "IntSlider(3" not in visit.text and "import ipywidgets" not in visit.text
    fetched = re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//[^"']+""", visit.text)
    assert fetched == []


def test_without_the_token_nothing_opens(site: Running, kernel: str) -> None:
    turned_away = site.ask(BASE, token="")
    assert turned_away.status == 302 and turned_away.headers["Location"].startswith(f"{BASE}login?")
    login = site.ask(turned_away.headers["Location"], token="")
    assert login.status == 200 and "//cdn" not in login.text
    assert site.ask(f"{BASE}api/kernels/{kernel}", token="wrong").status == 403


def test_health_is_told_to_anyone_and_counts(site: Running, visit: Answer) -> None:
    told = json.loads(site.ask(f"{BASE}health", token="").text)
    assert told.pop("seconds") > 0
    assert told == {"status": "full", "visitors": 1, "seats": 1, "warm": 0}


def test_who_finds_no_seat_is_told_so(site: Running, visit: Answer) -> None:
    answer = site.ask(BASE)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    assert "Every seat is taken." in answer.text and f'href="{BASE}"' in answer.text
    assert "Traceback" not in answer.text and "http" not in answer.text.replace("<!doctype html>", "")


def test_another_name_for_this_machine_is_refused(site: Running) -> None:
    assert site.ask(BASE, Host="elsewhere.test").status == 403


def test_a_strange_websocket_is_refused(site: Running, visit: Answer, kernel: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as unframed:
        site.connect(kernel, ())
    assert unframed.value.status_code == 400
    # The cookie of a page that is open in the same browser is all that another site could use.
    cookie = visit.headers["Set-Cookie"].split(";")[0]
    site.connect(kernel, Cookie=cookie, Origin=f"http://127.0.0.1:{site.port}").close()
    with pytest.raises(websocket.WebSocketBadStatusException) as elsewhere:
        site.connect(kernel, Cookie=cookie, Origin="http://elsewhere.test")
    assert elsewhere.value.status_code == 403


def test_the_operating_system_holds_a_visitor_to_their_memory(site: Running, kernel: str) -> None:
    (process,) = psutil.Process(site.process.pid).children()
    assert process.rlimit(psutil.RLIMIT_DATA) == (VISITOR.memory_bytes, VISITOR.memory_bytes)


def test_a_page_is_told_why_its_kernel_is_no_more(site: Running, kernel: str, talk: Talk) -> None:
    """The last test with this visitor: their kernel is killed; nothing takes its place, and the seat is free again."""
    (process,) = psutil.Process(site.process.pid).children()
    process.kill()
    while (told := talk.until("status"))["execution_state"] != "dead":
        pass
    assert told["reason"] == DIED
    assert not talk.connection.recv(), "the connection is closed"
    assert site.ask(f"{BASE}api/kernels/{kernel}").status == 404
    assert json.loads(site.ask(f"{BASE}health").text)["visitors"] == 0
    assert psutil.Process(site.process.pid).children() == []
