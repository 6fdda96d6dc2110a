"""One entry for models from outside: a spec such as ``"hf:gpt2"`` or a path chooses the loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from explorer.errors import ModelError
from explorer.zoo.huggingface import load_transformers
from explorer.zoo.loaded import Loaded
from explorer.zoo.statedict import SUFFIXES, load_state
from explorer.zoo.vision import load_timm, load_torchvision

_LIBRARIES: dict[str, Callable[[str, str, Tensor | Sequence[Tensor] | None, str], Loaded]] = {
    "hf": load_transformers,
    "timm": load_timm,
    "torchvision": load_torchvision,
}
_FORMS = (
    "'hf:<name>', 'timm:<name>', 'torchvision:<name>', each with '@<revision>' if wanted, "
    f"a folder with config.json and safetensors, or a file of weights ({' '.join(SUFFIXES)}) with builder="
)


def load_source(
    spec: str | Path,
    *,
    inputs: Tensor | Sequence[Tensor] | None = None,
    builder: Callable[[], nn.Module] | None = None,
    task: str = "regression",
) -> Loaded:
    """The model that ``spec`` names, in FP32, with ``data=None``.

    ``spec`` is ``"hf:<name>"``, ``"timm:<name>"``, ``"torchvision:<name>"``, each with ``@<revision>`` where a certain
    one is wanted (torchvision: the name of the weights), a local folder written by transformers'
    ``save_pretrained``, or a local state dict (``.safetensors``, ``.pt``, ``.pth``, ``.bin``). ``inputs`` replaces the
    made-up example inputs and is required for a state dict, as is ``builder``, which returns its empty module;
    ``task`` is the task of a state dict, the others know theirs.

    Weights with NaN or Inf load, and are named in ``warnings``. Raises ``MissingPackage``, ``ModelError`` or
    ``DataError``; pickled code is refused.
    """
    asked = f"load {str(spec)!r}"
    library, colon, name = str(spec).partition(":")
    if colon and library in _LIBRARIES and not isinstance(spec, Path):
        _no_builder(builder, asked)
        if not name:
            raise ModelError(asked, f"no name follows {library!r}", _FORMS)
        name, _, revision = name.partition("@")
        return _LIBRARIES[library](name, asked, inputs, revision)
    path = Path(spec).expanduser()
    if path.is_dir():
        _no_builder(builder, asked)
        return _folder(path, asked, inputs)
    if path.is_file() and path.suffix in SUFFIXES:
        return load_state(path, asked, inputs, builder, task)
    found = f"the file's ending {path.suffix!r} is not known" if path.is_file() else "there is no such file or folder"
    raise ModelError(asked, found, _FORMS)


def _folder(path: Path, asked: str, inputs: Tensor | Sequence[Tensor] | None) -> Loaded:
    if not (path / "config.json").is_file():
        raise ModelError(asked, "the folder has no config.json", "a folder written by transformers' save_pretrained")
    if not any(path.glob("*.safetensors")):
        raise ModelError(
            asked, "the folder has no safetensors", "saving the model again with save_pretrained, which writes them"
        )
    return load_transformers(path, asked, inputs, local=True)


def _no_builder(builder: Callable[[], nn.Module] | None, asked: str) -> None:
    if builder is not None:
        raise ModelError(asked, "a builder was given, but this source builds its own model", "leaving builder out")
