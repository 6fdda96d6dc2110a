"""A server as a child process: started, watched, stopped with all that it started. Effects: processes, signals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import psutil

from explorer.serving.pages import Say, ServingError
from explorer.serving.servers import Server

READY_SECONDS = 90.0
STOP_SECONDS = 6.0


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
