"""Effect: disk and network. Pretrained image models from timm and torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from explorer.errors import ModelError
from explorer.zoo.hub import hub_error
from explorer.zoo.loaded import Loaded, as_inputs, nonfinite, settled
from explorer.zoo.optional import optional

IMAGES = 2
"""Images in the example inputs."""
CROP = 224
"""Height and width where the weights' own transforms name none."""


def load_timm(name: str, asked: str, inputs: Tensor | Sequence[Tensor] | None) -> Loaded:
    """timm's pretrained model ``name``; example images are seeded noise in its own input size ``[2, c, h, w]``."""
    timm = optional("timm", asked, "vision")
    # A name with a colon or slash is a hub's and is not in timm's own list.
    if ":" not in name and "/" not in name and not timm.is_model(name):
        raise _unknown(asked, "timm", name, timm.list_models())
    with torch.random.fork_rng(devices=[]):
        try:
            module = timm.create_model(name, pretrained=True)
        except Exception as error:
            raise hub_error(asked, error, "HF_HOME") from error
    size = getattr(module, "default_cfg", {}).get("input_size", (3, CROP, CROP))
    return _image_model(name, "timm", module, tuple(size), asked, inputs)


def load_torchvision(name: str, asked: str, inputs: Tensor | Sequence[Tensor] | None) -> Loaded:
    """torchvision's model ``name`` with its default weights; example images are seeded noise in their crop size."""
    models = optional("torchvision", asked, "vision").models
    known = models.list_models()
    if name not in known:
        raise _unknown(asked, "torchvision", name, known)
    with torch.random.fork_rng(devices=[]):
        try:
            weights = models.get_model_weights(name).DEFAULT
            module = models.get_model(name, weights=weights)
        except Exception as error:
            raise hub_error(asked, error, "TORCH_HOME") from error
    crop = getattr(weights.transforms(), "crop_size", [CROP])
    return _image_model(name, "torchvision", module, (3, crop[0], crop[-1]), asked, inputs)


def _image_model(
    name: str, library: str, module: Any, size: tuple[int, ...], asked: str, inputs: Tensor | Sequence[Tensor] | None
) -> Loaded:
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
