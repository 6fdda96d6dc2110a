"""Effect: disk. A state dict in a local file, put into a module that the caller's builder makes."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import DataError, ModelError
from explorer.zoo.fitting import Stored, check_fit
from explorer.zoo.loaded import Loaded, as_inputs, nonfinite, settled

PICKLED = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *PICKLED)
WHOLE = "a complete file, written by safetensors.torch.save_file or save_pretrained"
WEIGHT_KINDS = ("F64", "F32", "F16", "BF16")
"""The dtypes, as safetensors calls them, that weights come in; smaller ones are codes, which need scales."""

# Training scripts commonly wrap the state dict with an optimiser's state under one of these keys.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def load_state(
    path: Path,
    asked: str,
    inputs: Tensor | Sequence[Tensor] | None,
    builder: Callable[[], nn.Module] | None,
    task: str,
) -> Loaded:
    """The module that ``builder()`` makes, filled from the file ``path``, which is a state dict.

    Safetensors are preferred; a pickle is read with ``weights_only=True``, so that code in it is refused. The module
    that the builder returns is copied, never changed.
    """
    if builder is None:
        raise ModelError(
            asked,
            "a file of weights does not say what the model is",
            "builder=a function that returns the nn.Module these weights belong to",
        )
    if inputs is None:
        raise DataError(
            asked, "a file of weights does not say what the model takes", "inputs=(an example tensor with two samples,)"
        )
    examples = as_inputs(asked, inputs)
    module = fill(path, asked, builder, "the builder of the very model that was saved")
    return Loaded(
        name=path.stem,
        title=f"{type(module).__name__} from {path.name}",
        module=settled(module),
        inputs=examples,
        task=task,
        warnings=nonfinite(module),
    )


def fill(path: Path, asked: str, builder: Callable[[], nn.Module], instead: str) -> nn.Module:
    """The module that ``builder()`` makes, filled from the file; ``instead`` says what would work where they differ."""
    state = _read(path, asked)
    module = _built(builder, asked)
    facts = {name: Stored(tuple(t.shape), str(t.dtype), t.is_floating_point()) for name, t in state.items()}
    check_fit(module, facts, asked, instead)
    module.load_state_dict(state, strict=False)
    return module


def read_header(path: Path, asked: str) -> dict[str, Stored]:
    """The tensors of a safetensors file by name, from its header alone, once the library has checked that against the
    file's length: offsets, sizes and dtypes agree. Raises ``ModelError`` for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            pieces = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
            return {
                name: Stored(tuple(piece.get_shape()), piece.get_dtype(), piece.get_dtype() in WEIGHT_KINDS)
                for name, piece in pieces.items()
            }
    except (SafetensorError, OSError) as error:
        raise ModelError(asked, f"the file is not readable as safetensors ({error})", WHOLE) from error


def _built(builder: Callable[[], nn.Module], asked: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        try:
            built: object = builder()
        except Exception as error:
            raise ModelError(
                asked,
                f"the builder failed ({type(error).__name__}: {error})",
                "a function that takes no argument and returns an nn.Module",
            ) from error
    if not isinstance(built, nn.Module):
        raise ModelError(
            asked, f"the builder returned {type(built).__name__}", "a builder that returns an nn.Module, not its class"
        )
    if any(tensor.is_meta for tensor in built.state_dict().values()):
        raise ModelError(asked, "the builder's tensors are on the meta device", "a builder that makes real tensors")
    return copy.deepcopy(built)


def _read(path: Path, asked: str) -> dict[str, Tensor]:
    """The tensors of the file by name."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(asked, f"the file is not readable as safetensors ({error})", WHOLE) from error
    found = _unpickled(path, asked)
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ModelError(
            asked, f"the file holds {type(found).__name__}, not a map of names to tensors", "torch.save(m.state_dict())"
        )
    return dict(found)


def _unpickled(path: Path, asked: str) -> Any:
    try:
        with warnings.catch_warnings():
            # Remarks on how the file was written (pickle protocol, TorchScript); what matters comes as an error.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            asked,
            "the file holds pickled code or objects other than tensors, which are refused because loading them "
            f"could run anything ({_reason(error)})",
            "save the state dict as safetensors (safetensors.torch.save_file), where you trust the file",
        ) from error
    except Exception as error:
        raise ModelError(
            asked,
            f"the file is not a state dict ({type(error).__name__}: {_reason(error)})",
            "a complete file written by torch.save(m.state_dict()), or safetensors",
        ) from error


def _reason(error: Exception) -> str:
    """The sentence of torch's message that says what is wrong, without its advice to switch the safety off."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line.startswith(("Unsupported", "Trying to load", "WeightsUnpickler"))]
    if "TorchScript" in str(error):
        telling = ["it is a TorchScript archive, which holds code"]
    return (telling or [line for line in lines if line] or ["it is empty"])[0].split(". ")[0].rstrip(".")
