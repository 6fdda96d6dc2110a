"""What leaves the page as a file: the exploration as a bundle, or as one offline page. (Effects: disk, a process.)"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import explorer as px
from explorer.errors import BundleError
from widgets.jobs import Task
from widgets.state import PageState, describe
from widgets.taking import KINDS, Taking

LARGEST_BYTES = 64 << 20
"""Of a file that goes through the page's websocket in one piece; larger ones are saved from a notebook."""
POLL_S = 0.1
Report = Callable[[int, int, str], None]


def take_away(state: PageState, session: Any, task: Task) -> None:
    """Make the file that was asked for, in the worker: nothing else computes meanwhile, and no timing is disturbed."""
    asked = state.taking
    what = asked.what
    if asked.state != "working":  # taken back before it began
        return
    kind = KINDS[what]

    def report(done: int, total: int, text: str) -> None:
        words = f"{kind.job}: {text}" if text else kind.job
        task.post_some("taking", lambda: state.progress(words, int(done), int(total)))

    task.post(lambda: state.progress(kind.job))
    found = Taking()
    try:
        content = make(session, what, report, task.cancel)
        name = f"{session.name}-{session.recipe.hash[:8]}{kind.ending}".replace("/", "-").replace(":", "-")
        found = Taking("ready", what, name, content)
    except px.Cancelled:
        raise
    except Exception as error:  # an answer, shown where it was asked for
        found = Taking("failed", what, error=describe(error))
    finally:
        # Also where the task was cancelled: else the next click would begin it again.
        state.main.call(partial(_put, state, asked, found))


def _put(state: PageState, asked: Taking, found: Taking) -> None:
    if state.taking is asked:  # else it was taken back, and perhaps asked for again
        state.taking = found
        state.changed("taking")


def make(session: Any, what: str, report: Report, cancel: threading.Event) -> bytes:
    """Return the content of a file of an exploration; raises :class:`BundleError` where it would be too large."""
    with tempfile.TemporaryDirectory(prefix="px-taking-") as folder:
        made = bundle = _bundle_of(session, Path(folder))
        if what == "page":
            made = _filmed(bundle, Path(folder) / "page.html", report, cancel)
        size = made.stat().st_size
        if size > LARGEST_BYTES:
            found = f"it has {size / 2**20:.0f} MiB, and {LARGEST_BYTES >> 20} are the most that a page hands over"
            raise BundleError(f"save {what}", found, "session.save(path) in a notebook of your own")
        return made.read_bytes()


def _bundle_of(session: Any, folder: Path) -> Path:
    if not getattr(session, "recorded", False):
        saved: Path = session.save(folder / "exploration.pxb")
        return saved
    file: Path | None = getattr(session, "file", None)
    if file is None or not file.is_file():
        raise BundleError("save this recording", "the file that it was opened from is gone", "your own copy of it")
    return file


def _filmed(bundle: Path, out: Path, report: Report, cancel: threading.Event) -> Path:
    """The offline page, made by another process: filming opens a page of its own, which must not reach this one's."""
    command = [sys.executable, "-m", "widgets.export", str(bundle), str(out)]
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    error = "it ended by itself: it was killed, or found no more memory"
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        reader = threading.Thread(target=_read, args=(child, lines), daemon=True)
        reader.start()
        try:
            while reader.is_alive() or not lines.empty():
                if cancel.is_set():
                    raise px.Cancelled("export the page")
                for said in _next(lines):
                    error = said.get("error", error)
                    if "done" in said:
                        report(said["done"], said["total"], said["text"])
            child.wait()
        finally:
            child.kill()
            reader.join()
    if child.returncode or not out.is_file():
        raise BundleError("export the page", error, "explorer export-html with a saved bundle")
    return out


def _read(child: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)


def _next(lines: queue.SimpleQueue[str]) -> list[dict[str, Any]]:
    try:
        return [json.loads(lines.get(timeout=POLL_S))]
    except (queue.Empty, ValueError):
        return []


def hand_over(state: PageState) -> Taking:
    """Give the file that is ready, once; it is kept no longer."""
    found = state.taking
    state.taking = replace(found, state="idle", content=b"") if found.state == "ready" else found
    return found
