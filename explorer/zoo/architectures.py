"""Effect: disk. Architectures that can be built without a download, and a file of weights put into one.

Nothing is built from a stranger's words before they are checked: a configuration is cleaned of all that names code or
another model, and the file's header must hold about as many numbers as the configuration asks for.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explorer.errors import ModelError
from explorer.zoo.bundled import BUNDLED, EXAMPLES
from explorer.zoo.fitting import Stored, check_fit
from explorer.zoo.huggingface import build_empty, load_transformers
from explorer.zoo.loaded import Loaded, nonfinite, settled
from explorer.zoo.statedict import fill, read_header
from explorer.zoo.vision import empty_timm, empty_torchvision, image_model

CONFIGURED = "config.json"
"""The architecture that a transformers configuration beside the weights describes."""
FAMILIES = tuple(
    "albert beit bert bloom clip convnext deberta-v2 deit dinov2 distilbert electra falcon gemma gemma2 gpt2 gpt_neox "
    "llama mamba mistral mobilenet_v2 mpt olmo opt phi phi3 qwen2 qwen3 resnet roberta segformer stablelm swin t5 vit "
    "xlm-roberta".split()
)
"""The families (``model_type``) that transformers builds from a configuration alone."""
LIBRARIES: dict[str, Callable[[str, str], tuple[Callable[[], nn.Module], tuple[int, ...]]]] = {
    "timm": empty_timm,
    "torchvision": empty_torchvision,
}
"""Library -> what gives, for (name, asked), a builder of the model without weights and the size of its images."""
LARGEST_CONFIG = 1 << 20
REPEATED = ("layer", "depth", "block", "expert", "stage")
"""Numbers called so count modules: there are no more of them than tensors in the file."""
NEVER = ("auto_map", "backbone", "attn_implementation", "experts_implementation", "name_or_path", "kernel_config")
"""What a configuration must not say: where to get code or another model."""
ROOM = 3
SPARE = 10_000_000
"""A model may have so many times the file's numbers, and so many more: heads that were not trained yet."""


def load_known(
    path: Path, architecture: str, asked: str, config: Path | None = None, tell: Callable[[str], None] = lambda _: None
) -> Loaded:
    """The known ``architecture`` with the weights in the file ``path``.

    architecture: a bundled model's name, which comes with that model's test data; ``"timm:<name>"``,
    ``"torchvision:<name>"``; or :data:`CONFIGURED`, for a safetensors file and the transformers configuration
    ``config``. ``tell`` hears what is done next. Raises ``ModelError``, which names the tensors that do not fit, or
    ``MissingPackage``.
    """
    library, _, name = architecture.partition(":")
    if architecture == CONFIGURED:
        return _configured(path, config, asked, tell)
    if architecture in BUNDLED:
        return _bundled(path, architecture, asked, tell)
    if library in LIBRARIES:
        builder, size = LIBRARIES[library](name, asked)
        module = _filled(path, builder, asked, tell, f"the weights of {library}'s {name}, saved from its state_dict()")
        return image_model(path.name, f"{library}'s {name}", module, size, asked, None)
    known = ", ".join((*BUNDLED, CONFIGURED, *(f"{each}:<name>" for each in LIBRARIES)))
    raise ModelError(asked, f"{architecture[:60]!r} is no architecture that is known here", f"one of {known}")


def _bundled(path: Path, name: str, asked: str, tell: Callable[[str], None]) -> Loaded:
    model = BUNDLED[name]
    module = _filled(path, model.build, asked, tell, f"weights that were trained with {name}'s own architecture")
    x, y = model.data()
    return Loaded(
        name=path.name,
        title=f"{name} with the weights of {path.name}",
        module=settled(module),
        inputs=(x[:EXAMPLES],),
        task=model.task,
        data=(x, y),
        show=lambda sample: model.show(x[sample], y[sample]),
        warnings=nonfinite(module),
        noun=model.noun,
    )


def _filled(
    path: Path, builder: Callable[[], nn.Module], asked: str, tell: Callable[[str], None], instead: str
) -> nn.Module:
    """The built module with the file's weights; what does not fit is found from the header, before anything is read."""
    if path.suffix == ".safetensors":
        tell("reading the file's header")
        header = read_header(path, asked)
        outline = _outline(builder)
        if outline is not None:
            check_fit(outline, header, asked, instead)
    tell("building the model and reading its weights")
    return fill(path, asked, builder, instead)


def _outline(builder: Callable[[], nn.Module]) -> nn.Module | None:
    """The module without its numbers; None where it cannot be built so, because its making reads them."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return builder()
    except (NotImplementedError, RuntimeError):
        return None


def _configured(path: Path, config: Path | None, asked: str, tell: Callable[[str], None]) -> Loaded:
    if config is None:
        raise ModelError(asked, "there is no config.json with it", "the config.json that was saved with the weights")
    if path.suffix != ".safetensors":
        raise ModelError(asked, f"its ending is {path.suffix!r}", "a .safetensors file")
    tell("reading the file's header and its configuration")
    header = read_header(path, asked)
    facts = read_config(config, len(header), asked)
    with tempfile.TemporaryDirectory(prefix="explorer-model-") as folder:
        (Path(folder) / CONFIGURED).write_text(json.dumps(facts), encoding="utf-8")
        (Path(folder) / "model.safetensors").symlink_to(path.resolve())
        _check_size(build_empty(folder, asked), header, asked)
        tell("building the model and reading its weights")
        loaded = load_transformers(folder, asked, None, local=True)
    return replace(loaded, name=path.name, title=f"{type(loaded.module).__name__} with the weights of {path.name}")


def _check_size(outline: nn.Module, header: Mapping[str, Stored], asked: str) -> None:
    wanted = sum(parameter.numel() for parameter in outline.parameters())
    held = sum(math.prod(each.shape) for each in header.values())
    if wanted > ROOM * held + SPARE:
        found = f"the configuration describes {wanted:,} parameters and the file holds {held:,} numbers"
        raise ModelError(asked, found, "the config.json that was saved with these weights")


def read_config(path: Path, tensors: int, asked: str) -> dict[str, Any]:
    """The configuration in a file, without what names code or other models; ``tensors``: how many its weights have.

    Raises ``ModelError`` for a family that is not among :data:`FAMILIES`, and for what describes no such weights.
    """
    instead = "the config.json that save_pretrained wrote beside the weights"
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ModelError(asked, f"config.json has more than {LARGEST_CONFIG >> 20} MiB", instead)
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(asked, f"config.json cannot be read ({error})", instead) from error
    if not isinstance(facts, dict) or facts.get("model_type") not in FAMILIES:
        family = facts.get("model_type") if isinstance(facts, dict) else None
        found = (
            "config.json names no model_type" if family is None else f"its model_type {str(family)[:40]!r} is unknown"
        )
        raise ModelError(asked, found, f"one of {', '.join(FAMILIES)}; or the model opened in a notebook")
    if facts.get("quantization_config"):
        raise ModelError(asked, "its weights are quantised already", "the unquantised model that it was made from")
    repeated = [name for name, value in facts.items() if _counts(name) and _beyond(value, tensors)]
    if repeated:
        found = f"{repeated[0]} in config.json is {facts[repeated[0]]!r}, and the file holds {tensors} tensors"
        raise ModelError(asked, found[:300], instead)
    return {name: value for name, value in facts.items() if not any(word in name for word in NEVER)}


def _counts(name: str) -> bool:
    return any(word in name for word in REPEATED)


def _beyond(value: object, most: int) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(each, int) and each > max(most, 1) for each in values) or len(values) > max(most, 1)
