"""The command line: serves the page, opens JupyterLab, says what this machine offers. Effects: processes and ports."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
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
DEMO_PORT = 8866
LAB_PORT = 8888
PORTS_TRIED = 50
READY_SECONDS = 90.0
STOP_SECONDS = 6.0


class CommandError(ExplorerError):
    """A command cannot do what it was asked."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    chosen = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = chosen.run
    try:
        return run(chosen)
    except ExplorerError as error:
        print(f"explorer: {error}", file=sys.stderr)
        return 2


def find_assets() -> Assets:
    """The notebook and the servers' configuration, of an installed package or of the checkout that it runs from."""
    spec = importlib.util.find_spec("widgets")
    if spec is None or spec.origin is None:
        raise CommandError("find the page", "the package 'widgets' is not installed", "pip install precision-explorer")
    package = Path(spec.origin).parent
    serve, checkout = package / "serve", package.parent
    installed = (serve / "explorer.ipynb").is_file()
    return Assets(
        notebook=serve / "explorer.ipynb" if installed else checkout / "notebooks" / "explorer.ipynb",
        voila_config=serve if installed else checkout,
        templates=serve / "jupyter",
        defaults=serve / "config",
    )


# The commands


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="explorer", description="See which number formats a PyTorch model can hold, and what each costs and gains."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser("demo", help="open the page on a bundled model")
    demo.add_argument("--model", default="digits-vit", help="a bundled model, or hf:<name>, timm:<name>, ...")
    _add_server_options(demo, DEMO_PORT)
    demo.set_defaults(run=_demo)

    lab = commands.add_parser("lab", help="open the notebook in JupyterLab")
    _add_server_options(lab, LAB_PORT)
    lab.add_argument("--folder", type=Path, help="keep a copy of the notebook there, and work on that")
    lab.add_argument("jupyter", nargs="*", metavar="-- JUPYTERLAB OPTIONS", help="what follows -- goes to JupyterLab")
    lab.set_defaults(run=_lab)

    check = commands.add_parser("check", help="say what this machine offers")
    check.set_defaults(run=_check)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _add_server_options(command: argparse.ArgumentParser, port: int) -> None:
    command.add_argument("--port", type=int, help=f"default: {port}, or the next that is free")
    command.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")
    command.add_argument("--verbose", action="store_true", help="show the server's own messages")
    command.set_defaults(default_port=port)


def _demo(chosen: argparse.Namespace) -> int:
    assets = find_assets()
    _refuse_unknown(chosen.model)
    port = choose_port(chosen.port, chosen.default_port)
    with _short_folder() as folder:
        server = voila_server(assets, port, chosen.model, folder)
        return serve(server, folder / "voila.log", browser=chosen.browser, verbose=chosen.verbose)


def _lab(chosen: argparse.Namespace) -> int:
    assets = find_assets()
    port = choose_port(chosen.port, chosen.default_port)
    with _short_folder() as folder:
        notebook = notebook_to_edit(assets.notebook, chosen.folder)
        server = lab_server(assets, notebook, port, chosen.jupyter)
        return serve(server, folder / "jupyterlab.log", browser=chosen.browser, verbose=chosen.verbose)


def _check(chosen: argparse.Namespace) -> int:
    import platform

    import torch

    print(f"python        {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"torch         {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"cuda          {torch.cuda.get_device_name() if torch.cuda.is_available() else 'no device'}")
    for package in ("transformers", "timm", "torchvision", "onnxruntime", "distributed"):
        print(f"{package:<13} {_installed_version(package) or 'not installed (optional)'}")
    return 0


def _version(chosen: argparse.Namespace) -> int:
    print(_installed_version("precision-explorer") or "not installed: running from source")
    return 0


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# Servers


def voila_server(assets: Assets, port: int, model: str, folder: Path) -> Server:
    """Voila on our notebook, template and settings, whatever the user's own Jupyter configuration says."""
    command = (
        *(sys.executable, "-m", "voila", str(assets.notebook)),
        *(f"--Voila.ip={HOST}", f"--Voila.port={port}", "--no-browser"),
        f"--Voila.config_file_paths={assets.voila_config}",
        f"--Voila.connection_dir_root={folder}",
    )
    environment = dict(os.environ, EXPLORER_MODEL=model)
    environment["JUPYTER_PATH"] = _before(assets.templates, environment.get("JUPYTER_PATH"))
    root = f"http://{HOST}:{port}/"
    return Server(command, environment, probe=f"{root}voila/static/voila.js", address=root)


def lab_server(assets: Assets, notebook: Path, port: int, options: Sequence[str] = ()) -> Server:
    """JupyterLab on the notebook's folder, with our defaults below the user's own settings."""
    environment = dict(os.environ)
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


def _before(folder: Path, others: str | None) -> str:
    return os.pathsep.join([str(folder), others] if others else [str(folder)])


def notebook_to_edit(notebook: Path, folder: Path | None) -> Path:
    """The notebook to open: the checkout's own, or a copy in the folder, for an installed package must not change."""
    if folder is None and notebook.parent.name == "notebooks":
        return notebook
    mine = (folder or Path.cwd()).absolute() / notebook.name
    if not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, mine)
        print(f"The notebook is here: {mine}", flush=True)
    return mine


def _refuse_unknown(model: str) -> None:
    # Read off the model cards: asking the zoo itself would import torch, seconds before the page could start.
    bundled = sorted(card.stem for card in (Path(__file__).parent / "zoo" / "cards").glob("*.md"))
    if model not in bundled and ":" not in model:
        raise CommandError(f"open the model {model!r}", "no bundled model has that name", " or ".join(bundled))


def choose_port(asked: int | None, default: int) -> int:
    if asked is not None:
        if not 0 < asked < 65536:
            raise CommandError(f"listen on port {asked}", "a port is a number from 1 to 65535", "--port 8899")
        if not _free(asked):
            raise CommandError(f"listen on port {asked}", "another program uses it", "another --port, or none")
        return asked
    port = next((port for port in range(default, default + PORTS_TRIED) if _free(port)), None)
    if port is None:
        raise CommandError(
            f"listen on port {default}", f"it and the next {PORTS_TRIED - 1} are in use", "--port <free>"
        )
    if port != default:
        print(f"Port {default} is in use: taking {port}.")
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
def _short_folder() -> Iterator[Path]:
    """A private folder for logs and kernel sockets; a socket's path may have some 100 characters, so not $TMPDIR."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


# Running a server until it is told to stop


def serve(server: Server, log: Path, *, browser: bool, verbose: bool) -> int:
    """Run the server until Ctrl-C, SIGTERM or SIGHUP, then stop it with every process that it started."""
    with _told_to_stop() as stop, log.open("wb") as messages:
        child = subprocess.Popen(
            server.command,
            env=server.environment,
            stdin=subprocess.DEVNULL,
            stdout=None if verbose else messages,
            stderr=None if verbose else messages,
            # Ctrl-C in a terminal reaches the whole foreground group; the child must hear it from us, once.
            start_new_session=True,
        )
        try:
            if _until_ready(server, child, stop):
                print(f"Precision Explorer is ready: {server.address}", flush=True)
                print("Press Ctrl-C to stop.", flush=True)
                if browser:
                    _open_browser(server.address)
                while child.poll() is None and not stop.wait(0.2):
                    pass
            failed = not stop.is_set()
        finally:
            _stop(child)
    if failed:
        tail = "" if verbose else "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise CommandError("serve the page", f"the server ended by itself{tail}", "explorer demo --verbose")
    print("stopped", flush=True)
    return 0


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
    raise CommandError("start the server", f"it did not answer within {READY_SECONDS:.0f} s", "--verbose")


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
