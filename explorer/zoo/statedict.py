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
from explorer.zoo.loaded import Loaded, as_inputs, nonfinite, settled

PICKLED = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *PICKLED)
NAMES_SHOWN = 5

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
    state = _read(path, asked)
    module = _built(builder, asked)
    _check(module, state, asked)
    module.load_state_dict(state, strict=False)
    return Loaded(
        name=path.stem,
        title=f"{type(module).__name__} from {path.name}",
        module=settled(module),
        inputs=examples,
        task=task,
        warnings=nonfinite(module),
    )


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
            raise ModelError(asked, f"the file is not readable as safetensors ({error})", "a complete file") from error
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


def _check(module: nn.Module, state: dict[str, Tensor], asked: str) -> None:
    """Raise ``ModelError`` where names, shapes or kinds of number differ between the module and the file."""
    own = module.state_dict()
    loaded = {own[name].data_ptr() for name in own.keys() & state.keys() if own[name].numel()}
    # Tied weights may be stored once, under either name.
    missing = [name for name in own if name not in state and own[name].data_ptr() not in loaded]
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        said = [f"{len(n)} {what} ({_some(n)})" for what, n in (("missing", missing), ("unexpected", unexpected)) if n]
        raise ModelError(
            asked,
            "its keys differ from the built model's: " + " and ".join(said),
            "the builder of the very model that was saved",
        )
    both = [(name, own[name], state[name]) for name in own if name in state]
    shapes = [f"{n} {list(s.shape)} against {list(o.shape)}" for n, o, s in both if s.shape != o.shape]
    if shapes:
        raise ModelError(
            asked, f"shapes in the file and the built model differ: {_some(shapes)}", "a builder with the saved sizes"
        )
    kinds = [f"{n} {s.dtype}" for n, o, s in both if o.is_floating_point() and not s.is_floating_point()]
    if kinds:
        raise ModelError(
            asked,
            f"the file holds integer codes where the model has floats: {_some(kinds)}",
            "weights before quantising",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
