"""From a choice to a session: each source has its loader, then the data are put in. (Effects: disk, network.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import explorer as px
from explorer.errors import BundleError, DataError, ExplorerError, ModelError
from explorer.limits import Limits
from explorer.zoo.architectures import CONFIGURED, load_known
from explorer.zoo.arrays import with_arrays
from explorer.zoo.bundled import BUNDLED, load_bundled
from explorer.zoo.loaded import Loaded
from explorer.zoo.made import with_made_inputs
from explorer.zoo.planted import PLANTED, load_planted
from explorer.zoo.sources import load_source
from explorer.zoo.statedict import SUFFIXES
from widgets.loading_choice import Choice

RECORDED = ".pxb"
LOCAL = "the path of a folder written by save_pretrained, of a .safetensors or state dict, or of a .pxb"
STEPS = (
    "reading the files",
    "building the model",
    "capturing its graph",
    "preparing the kernels",
    "running it once in FP32",
)
"""What an opening does; the first two are the loader's."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Files:
    """The uploaded files that a choice is about, by their role: weights, config, data, recorded."""

    paths: Mapping[str, Path]

    def get(self, role: str) -> Path | None:
        return self.paths.get(role)


def open_choice(choice: Choice, files: Files, limits: Limits, progress: Progress) -> Any:
    """The session of a choice; ``progress(done, total, text)`` hears of :data:`STEPS`, and what it raises ends it.

    Raises an ``ExplorerError``: what was asked, found, and what would work.
    """
    asked = asked_words(choice, files)
    progress(0, len(STEPS), STEPS[0])
    recorded = _recorded_path(choice, files)
    if recorded is not None:
        return _open_recorded(recorded, asked)
    loaded = _load(choice, files, asked, lambda words: progress(int("building" in words), len(STEPS), words))
    progress(1, len(STEPS), "preparing its inputs")
    loaded = _with_data(loaded, choice, files, limits, asked)

    def report(done: int, total: int, text: str) -> None:
        progress(done + 1, len(STEPS), text if done else "preparing its inputs")

    return px.open(loaded, batch_size=choice.batch, progress=report)


def asked_words(choice: Choice, files: Files) -> str:
    """What was asked, for an error."""
    path = files.get("recorded" if choice.source == "recorded" else "weights")
    name = choice.spec or (path.name if path is not None and choice.source in ("upload", "recorded") else choice.name)
    return f"open {name[:160]!r}"


def _recorded_path(choice: Choice, files: Files) -> Path | None:
    if choice.source == "recorded":
        path = files.get("recorded")
        if path is None:
            raise BundleError("open a recorded exploration", "no .pxb file was chosen", "choosing one")
        return path
    path = Path(choice.name).expanduser()
    return path if choice.source == "local" and path.suffix == RECORDED else None


def _open_recorded(path: Path, asked: str) -> Any:
    try:
        return px.load(path)
    except BundleError as error:  # it names a path of ours, where the person knows a name
        raise BundleError(asked, error.found, error.try_) from error


def _load(choice: Choice, files: Files, asked: str, tell: Callable[[str], None]) -> Loaded:
    if choice.source == "bundled":
        tell("building the model and reading its weights")
        return load_planted(choice.name) if choice.name in PLANTED else load_bundled(choice.name)
    if choice.source == "hub":
        return _from_hub(choice, asked, tell)
    if choice.source == "upload":
        weights = files.get("weights")
        if weights is None:
            raise ModelError(asked, "no .safetensors file was chosen", "choosing one")
        return load_known(weights, choice.architecture, asked, files.get("config"), tell)
    return _from_disk(choice, asked, tell)


def _from_hub(choice: Choice, asked: str, tell: Callable[[str], None]) -> Loaded:
    if Path(choice.name).exists():
        found = "there is a local file or folder of that name, which would be taken for it"
        raise ModelError(asked, found, "the tab for local folders")
    tell("fetching it, or finding the copy that was fetched before; then building the model")
    return replace(load_source(choice.spec), name=choice.spec)


def _from_disk(choice: Choice, asked: str, tell: Callable[[str], None]) -> Loaded:
    path = Path(choice.name).expanduser()
    if path.is_file() and path.suffix in SUFFIXES and choice.architecture:
        return load_known(path, choice.architecture, asked, path.with_name(CONFIGURED), tell)
    if path.is_file() and path.suffix in SUFFIXES:
        raise ModelError(asked, "a file of weights does not say what the model is", "choosing its architecture below")
    if not path.exists() or (path.is_file() and path.suffix not in SUFFIXES):
        found = "there is no such file or folder" if not path.exists() else f"its ending {path.suffix!r} is not known"
        raise ModelError(asked, f"{found} on the machine where the kernel runs", LOCAL)
    tell("building the model from the folder")
    return load_source(path)


def _with_data(loaded: Loaded, choice: Choice, files: Files, limits: Limits, asked: str) -> Loaded:
    """The loaded model on the data that was chosen, within the limits."""
    if choice.data == "npz":
        path = files.get("data")
        if path is None:
            raise DataError(asked, "no .npz file was chosen", "choosing one, or made-up inputs")
        return with_arrays(loaded, path, choice.labels, asked, (limits.samples, limits.upload_bytes))
    if choice.data == "made":
        return with_made_inputs(loaded, choice.made, asked, limits.upload_bytes)
    if loaded.data is None:
        raise DataError(asked, "it comes without data of its own", "made-up inputs, or a .npz of yours")
    return _first(loaded, choice.samples) if choice.samples else loaded


def _first(loaded: Loaded, samples: int) -> Loaded:
    assert loaded.data is not None
    x, y = loaded.data
    x = tuple(part[:samples] for part in x) if isinstance(x, tuple) else x[:samples]
    return replace(loaded, data=(x, None if y is None else y[:samples]))


def own_data(architecture: str) -> bool:
    """Whether a model of this architecture comes with test data."""
    return architecture in BUNDLED or architecture in PLANTED


def in_three(error: Exception) -> tuple[str, str, str]:
    """An error as what was asked, found, and what would work."""
    if isinstance(error, ExplorerError):
        return error.asked, error.found, error.try_
    if isinstance(error, MemoryError):
        return "open the model", "there is not enough memory for it", "a smaller model, or fewer samples"
    found = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return "open the model", found[:400], "another model or other inputs; the log has the whole of it"
