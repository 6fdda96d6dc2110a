"""Voila and JupyterLab as child processes: started, watched, stopped. Effects: processes, ports, signals."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from explorer.errors import ExplorerError

HOST = "127.0.0.1"
PORTS_TRIED = 50
READY_SECONDS = 90.0
STOP_SECONDS = 6.0
PAGES = {
    "explorer": "explorer.ipynb",
    "formats": "02_formats.ipynb",
    "ranges": "03_ranges_and_casts.ipynb",
    "map": "04_map_and_search.ipynb",
}
"""What can be served: the name of a page, and its notebook."""

Say = Callable[[str], None]
"""Shows a line to the person who started the server."""


class ServingError(ExplorerError):
    """A server cannot be started, or ended by itself."""


@dataclass(frozen=True)
class Assets:
    """Where the files lie that a server needs."""

    notebook: Path
    voila_config: Path
    """The folder that holds voila.json."""
    templates: Path
    """A Jupyter data folder with the page's template."""
    defaults: Path
    """A Jupyter configuration folder with defaults for JupyterLab's settings."""


@dataclass(frozen=True)
class Server:
    """A child process that serves pages, and how to reach it."""

    command: tuple[str, ...]
    environment: dict[str, str]
    probe: str
    """An address that answers as soon as the server listens."""
    address: str
    """The address for a person."""


def find_assets(page: str = "explorer") -> Assets:
    """A page's notebook and the servers' configuration: an installed package's, or those of the checkout it is in."""
    spec = importlib.util.find_spec("widgets")
    if spec is None or spec.origin is None:
        raise ServingError("find the page", "the package 'widgets' is not installed", "pip install precision-explorer")
    package = Path(spec.origin).parent
    serve, checkout = package / "serve", package.parent
    installed = (serve / PAGES[page]).is_file()
    return Assets(
        notebook=(serve if installed else checkout / "notebooks") / PAGES[page],
        voila_config=serve if installed else checkout,
        templates=serve / "jupyter",
        defaults=serve / "config",
    )


def voila_server(assets: Assets, port: int, model: str, folder: Path) -> Server:
    """Voila on our notebook, template and settings, whatever the user's own Jupyter configuration says."""
    command = (
        *(sys.executable, "-m", "voila", str(assets.notebook)),
        *(f"--Voila.ip={HOST}", f"--Voila.port={port}", "--no-browser"),
        f"--Voila.config_file_paths={assets.voila_config}",
        f"--Voila.connection_dir_root={folder}",
    )
    environment = _environment(EXPLORER_MODEL=model)
    environment["JUPYTER_PATH"] = _before(assets.templates, environment.get("JUPYTER_PATH"))
    root = f"http://{HOST}:{port}/"
    return Server(command, environment, probe=f"{root}voila/static/voila.js", address=root)


def lab_server(assets: Assets, notebook: Path, port: int, options: Sequence[str] = ()) -> Server:
    """JupyterLab on the notebook's folder, with our defaults below the user's own settings."""
    environment = _environment()
    token = environment["JUPYTER_TOKEN"] = environment.get("JUPYTER_TOKEN") or secrets.token_urlsafe(24)
    environment["JUPYTER_CONFIG_PATH"] = _before(assets.defaults, environment.get("JUPYTER_CONFIG_PATH"))
    command = (
        *(sys.executable, "-m", "jupyterlab", "--no-browser"),
        *(f"--ServerApp.ip={HOST}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={notebook.parent}", "--ServerApp.answer_yes=True"),
        *options,
    )
    if os.geteuid() == 0:
        # The server listens on this machine only, and its token is asked for; a container has no other user.
        command = (*command, "--allow-root")
    root = f"http://{HOST}:{port}/"
    address = f"{root}lab/tree/{notebook.name}?token={token}"
    return Server(command, environment, probe=f"{root}api", address=address)


def _environment(**more: str) -> dict[str, str]:
    """Our own environment with more in it, and OpenMP's threads told to spin for a short while only.

    A page's kernel shares its cores with a server and a browser. There, threads that spin long at every barrier (the
    default) made an op of 0.25 ms take 8; threads that never spin cost a wake-up for each op. The user's own setting
    comes first.
    """
    short_spin = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "10000"}
    return {**short_spin, **os.environ, **more}


def _before(folder: Path, others: str | None) -> str:
    return os.pathsep.join([str(folder), others] if others else [str(folder)])


def notebook_to_edit(notebook: Path, folder: Path | None, say: Say) -> Path:
    """The notebook to open: the checkout's own, or a copy in the folder, for an installed package must not change."""
    if folder is None and notebook.parent.name == "notebooks":
        return notebook
    mine = (folder or Path.cwd()).absolute() / notebook.name
    if not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, mine)
        say(f"The notebook is here: {mine}")
    return mine


def choose_port(asked: int | None, default: int, say: Say) -> int:
    """The port asked for, or the first free one from the default on; says so when that is another."""
    if asked is not None:
        if not 0 < asked < 65536:
            raise ServingError(f"listen on port {asked}", "a port is a number from 1 to 65535", "--port 8899")
        if not _free(asked):
            raise ServingError(f"listen on port {asked}", "another program uses it", "another --port, or none")
        return asked
    port = next((port for port in range(default, default + PORTS_TRIED) if _free(port)), None)
    if port is None:
        raise ServingError(
            f"listen on port {default}", f"it and the next {PORTS_TRIED - 1} are in use", "--port <free>"
        )
    if port != default:
        say(f"Port {default} is in use: taking {port}.")
    return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A private folder for logs and kernel sockets; a socket's path may have some 100 characters, so not $TMPDIR."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def serve(server: Server, say: Say, *, log: Path | None, browser: bool) -> None:
    """Run the server until Ctrl-C, SIGTERM or SIGHUP, then stop it with every process that it started.

    Its messages go to the file ``log``, or where our own go without one.
    """
    with _told_to_stop() as stop:
        child = _start(server, log)
        try:
            if _until_ready(server, child, stop):
                say(f"Precision Explorer is ready: {server.address}")
                say("Press Ctrl-C to stop.")
                if browser:
                    _open_browser(server.address)
                while child.poll() is None and not stop.wait(0.2):
                    pass
        finally:
            _stop(child)
        if not stop.is_set():
            tail = log.read_text(errors="replace").splitlines()[-20:] if log else []
            raise ServingError("serve the page", "\n".join(["the server ended by itself", *tail]), "--verbose")


def _start(server: Server, log: Path | None) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as files:
        messages = files.enter_context(log.open("wb")) if log else None
        return subprocess.Popen(
            server.command,
            env=server.environment,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            # Ctrl-C in a terminal reaches the whole foreground group; the child must hear it from us, once.
            start_new_session=True,
        )


@contextlib.contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in signals}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _until_ready(server: Server, child: subprocess.Popen[bytes], stop: threading.Event) -> bool:
    """Whether the server came to answer; False when it ended or was told to stop first."""
    # A proxy from the environment must not be asked for an address on this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(int(READY_SECONDS / 0.1)):
        if child.poll() is not None or stop.wait(0.1):
            return False
        with contextlib.suppress(urllib.error.URLError, OSError), direct.open(server.probe, timeout=2):
            return True
    raise ServingError("start the server", f"it did not answer within {READY_SECONDS:.0f} s", "--verbose")


def _open_browser(address: str) -> None:
    """Open the address in the user's browser, if this session has a screen."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(address)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the child and everything that it started, politely first."""
    started: set[psutil.Process] = set()
    if child.poll() is None:
        child.terminate()
    for _ in range(int(STOP_SECONDS / 0.1)):
        with contextlib.suppress(psutil.NoSuchProcess):
            # Asked again each time: a pre-heated kernel may start while the server is stopping.
            started.update(psutil.Process(child.pid).children(recursive=True))
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.1)
            break
    if child.poll() is None:
        child.kill()
        child.wait()
    _, alive = psutil.wait_procs(started, timeout=1.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=1.0)
