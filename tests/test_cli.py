"""The command line: what it prints, how it refuses, and that nothing is left running."""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from explorer import cli, serving

SECONDS = 60


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "explorer", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def until_ready(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("Precision Explorer is ready: "):
            return line.split(": ", 1)[1].strip()
    raise AssertionError(f"never ready: {child.communicate()}")


def family(mark: str) -> set[int]:
    """Processes whose command line or environment holds the mark."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in told:
            found.add(int(folder.name))
    return found


def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            return False
        pause.wait(0.05)
    return True


linux_only = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")


@linux_only
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_demo_stops_with_all_that_it_started(told: signal.Signals, free_port: Callable[[], int]) -> None:
    port = free_port()
    mark = f"--Voila.port={port}"
    with running("demo", "--no-browser", "--port", str(port)) as child:
        address = until_ready(child)
        assert address == f"http://127.0.0.1:{port}/"
        served = family(mark)
        assert served
        assert until(lambda: any(_parent(kernel) in served for kernel in family("widgets.serve.kernel")))
        kernels = {kernel for kernel in family("widgets.serve.kernel") if _parent(kernel) in served}
        child.send_signal(told)
        out, err = child.communicate(timeout=SECONDS)
    assert child.returncode == 0
    assert out.splitlines()[-1] == "stopped"
    assert err == ""
    assert until(lambda: not (served | kernels) & _alive())


@linux_only
def test_demo_stops_before_it_is_ready(free_port: Callable[[], int]) -> None:
    port = free_port()
    with running("demo", "--no-browser", "--port", str(port)) as child:
        assert until(lambda: bool(family(f"--Voila.port={port}")))
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out, err) == (0, "stopped\n", "")
    assert family(f"--Voila.port={port}") == set()


def test_lab_serves_a_copy_of_the_notebook(tmp_path: Path, free_port: Callable[[], int], root: Path) -> None:
    port = free_port()
    with running("lab", "--no-browser", "--port", str(port), "--folder", str(tmp_path)) as child:
        address = until_ready(child)
        assert address.startswith(f"http://127.0.0.1:{port}/lab/tree/explorer.ipynb?token=")
        token = address.split("token=")[1]
        settings = f"http://127.0.0.1:{port}/lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}"
        with urllib.request.urlopen(settings, timeout=SECONDS) as answer:
            assert '"fetchNews"' in answer.read().decode()
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=SECONDS)
    assert out.splitlines()[-1] == "stopped"
    assert (tmp_path / "explorer.ipynb").read_text() == (root / "notebooks" / "explorer.ipynb").read_text()


def test_a_port_asked_for_is_not_exchanged(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["demo", "--no-browser", "--port", str(port)]) == 2
    assert f"listen on port {port}: another program uses it" in capsys.readouterr().err


def test_a_busy_default_port_gives_way_with_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        default = taken.getsockname()[1]
        assert serving.choose_port(None, default, print) > default
    assert f"Port {default} is in use: taking " in capsys.readouterr().out


def test_a_server_that_ends_shows_its_last_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys; sys.exit('no such template')"
    server = serving.Server(
        (sys.executable, "-c", script), dict(os.environ), "http://127.0.0.1:9/", "http://127.0.0.1:9/"
    )
    with pytest.raises(serving.ServingError, match="no such template"):
        serving.serve(server, print, log=tmp_path / "log", browser=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["demo", "--model", "digits-vti"],
            "no bundled model has that name. Try: one of adder-gpt, digits-cnn, digits-vit, planted/",
        ),
        (["demo", "--port", "70000"], "a port is a number from 1 to 65535"),
    ],
)
def test_a_wrong_argument_says_what_would_work(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert words in capsys.readouterr().err


def test_check_names_the_device_and_its_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^device +.*thread", out, re.MULTILINE)
    for kind in ("linear", "conv2d"):
        table = out.split(f"\n{kind}, as in")[1].split("\n\n")[0]
        words = dict(re.findall(r"^  (\w+) +(.+)$", table, re.MULTILINE))
        assert words["fp32"].startswith("torch")
        assert set(words) >= {"bf16", "fp8", "int8"}


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out.strip() == importlib.metadata.version("precision-explorer")


def test_an_installed_package_serves_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a wheel: the notebooks and voila.json lie in the package, and a reader's copies elsewhere."""
    serve, mine = tmp_path / "site" / "widgets" / "serve", tmp_path / "mine"
    (serve / "course").mkdir(parents=True)
    (serve.parent / "__init__.py").touch()
    for page in serving.PAGES.values():
        (serve / "course" / page.file).write_text("{}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "widgets", raising=False)
    for name, page in serving.PAGES.items():
        assets = serving.find_assets(name)
        assert assets.notebook == serve / "course" / page.file
        assert assets.voila_config == serve
        assert serving.notebook_to_edit(assets.notebook, mine, print) == mine / page.file
        assert (mine / page.file).read_text() == "{}"
        (mine / page.file).write_text("a reader's work")
    assert {file.name for file in mine.iterdir()} == {page.file for page in serving.PAGES.values()}
    assert {file.read_text() for file in mine.iterdir()} == {"a reader's work"}


def _parent(process: int) -> int:
    try:
        return int((Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def _alive() -> set[int]:
    return {int(folder.name) for folder in Path("/proc").glob("[0-9]*")}
