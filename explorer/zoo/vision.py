"""Effect: disk and network. Pretrained image models from timm and torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import ModelError
from explorer.zoo.hub import hub_error
from explorer.zoo.loaded import Loaded, as_inputs, nonfinite, settled
from explorer.zoo.optional import optional

IMAGES = 2
"""Images in the example inputs."""
CROP = 224
"""Height and width where the weights' own transforms name none."""


def load_timm(name: str, asked: str, inputs: Tensor | Sequence[Tensor] | None, revision: str = "") -> Loaded:
    """timm's pretrained model ``name``; example images are seeded noise in its own input size ``[2, c, h, w]``.

    A name's own tag says which weights (``resnet18.a1_in1k``); there are no revisions besides.
    """
    timm = _timm(name, asked)
    if revision:
        found = "timm's weights have no revisions"
        raise ModelError(asked, found, "the tag in the name, such as resnet18.a1_in1k, and no revision")
    with torch.random.fork_rng(devices=[]):
        try:
            module = timm.create_model(name, pretrained=True)
        except Exception as error:
            raise hub_error(asked, error, "HF_HOME") from error
    return image_model(name, "timm", module, _timm_size(module), asked, inputs)


def empty_timm(name: str, asked: str) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    """A builder of timm's model ``name`` without its weights, and the size ``(c, h, w)`` of its images."""
    timm = _timm(name, asked)
    cfg = timm.get_pretrained_cfg(name)
    size = tuple(getattr(cfg, "input_size", None) or (3, CROP, CROP))
    return lambda: timm.create_model(name, pretrained=False), size


def _timm(name: str, asked: str) -> Any:
    timm = optional("timm", asked, "vision")
    # A name with a colon or slash is a hub's and is not in timm's own list.
    if ":" not in name and "/" not in name and not timm.is_model(name):
        raise _unknown(asked, "timm", name, timm.list_models())
    return timm


def _timm_size(module: Any) -> tuple[int, ...]:
    return tuple(getattr(module, "default_cfg", {}).get("input_size", (3, CROP, CROP)))


def load_torchvision(name: str, asked: str, inputs: Tensor | Sequence[Tensor] | None, revision: str = "") -> Loaded:
    """torchvision's model ``name``; example images are seeded noise in their crop size.

    ``revision`` is the name of its weights (``IMAGENET1K_V1``); without one they are the default ones.
    """
    models = _torchvision(name, asked)
    with torch.random.fork_rng(devices=[]):
        try:
            known = models.get_model_weights(name)
            weights = known[revision] if revision else known.DEFAULT
        except KeyError as error:
            found = f"it has no weights {revision!r}"
            raise ModelError(asked, found, f"one of {', '.join(each.name for each in known)}") from error
        try:
            module = models.get_model(name, weights=weights)
        except Exception as error:
            raise hub_error(asked, error, "TORCH_HOME") from error
    return image_model(name, "torchvision", module, _crop(weights), asked, inputs)


def empty_torchvision(name: str, asked: str) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    """A builder of torchvision's model ``name`` without its weights, and the size ``(c, h, w)`` of its images."""
    models = _torchvision(name, asked)
    size = _crop(models.get_model_weights(name).DEFAULT)
    return lambda: models.get_model(name, weights=None), size


def _torchvision(name: str, asked: str) -> Any:
    models = optional("torchvision", asked, "vision").models
    known = models.list_models()
    if name not in known:
        raise _unknown(asked, "torchvision", name, known)
    return models


def _crop(weights: Any) -> tuple[int, ...]:
    crop = getattr(weights.transforms(), "crop_size", [CROP])
    return (3, crop[0], crop[-1])


def image_model(
    name: str, library: str, module: Any, size: tuple[int, ...], asked: str, inputs: Tensor | Sequence[Tensor] | None
) -> Loaded:
    """What a library's image classifier is opened with; without ``inputs`` its images are seeded noise."""
    noise = torch.randn(IMAGES, *size, generator=torch.Generator().manual_seed(0))
    return Loaded(
        name=name,
        title=f"{type(module).__name__} from {library}",
        module=settled(module),
        inputs=(noise,) if inputs is None else as_inputs(asked, inputs),
        task="classification",
        warnings=nonfinite(module),
    )


def _unknown(asked: str, library: str, name: str, known: list[str]) -> ModelError:
    near = get_close_matches(name, known, n=5) or known[:5]
    return ModelError(asked, f"{library} has no model of that name", "one of its models, such as " + ", ".join(near))
