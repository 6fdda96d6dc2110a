"""Whether the tensors of a file fit a module: names, shapes and kinds of number, and in words what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from explorer.errors import ModelError

NAMES_SHOWN = 5


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, as far as its header tells: its shape, its kind of number, whether that can be a weight."""

    shape: tuple[int, ...]
    kind: str
    floating: bool


def check_fit(module: nn.Module, found: Mapping[str, Stored], asked: str, instead: str) -> None:
    """Raise ``ModelError`` where the file lacks a tensor of the module's, has another, or one of another shape or kind.

    The module may be on the meta device. Weights that the module ties may be in the file once, under either name.
    ``instead`` says what would work.
    """
    own: dict[str, Tensor] = module.state_dict(keep_vars=True)
    given = {_place(own[name]) for name in own.keys() & found.keys() if own[name].numel()}
    missing = [name for name in own if name not in found and _place(own[name]) not in given]
    unexpected = [name for name in found if name not in own]
    both = [(name, own[name], found[name]) for name in own if name in found]
    shapes = [f"{n} {list(s.shape)} against {list(o.shape)}" for n, o, s in both if s.shape != tuple(o.shape)]
    said = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    wrong = [f"{len(names)} {what} ({some(names)})" for what, names in said if names]
    if wrong:
        raise ModelError(asked, "its tensors differ from the model's: " + " and ".join(wrong), instead)
    kinds = [f"{n} {s.kind}" for n, o, s in both if o.is_floating_point() and not s.floating]
    if kinds:
        found_kinds = f"the file holds integer codes where the model has floats: {some(kinds)}"
        raise ModelError(asked, found_kinds, "weights before quantising")


def some(names: Iterable[str]) -> str:
    """The first few of the names."""
    listed = list(names)
    return ", ".join(listed[:NAMES_SHOWN]) + (", ..." if len(listed) > NAMES_SHOWN else "")


def _place(tensor: Tensor) -> tuple[str, int]:
    """What two names of one tied weight have in common; on the meta device nothing lies anywhere."""
    return ("object", id(tensor)) if tensor.is_meta else ("memory", tensor.data_ptr())
