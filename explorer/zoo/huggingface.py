"""Effect: disk and network. Models from the Hugging Face hub or a local folder, through transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import DataError, ModelError
from explorer.zoo.fitting import some
from explorer.zoo.hub import hub_error
from explorer.zoo.loaded import Loaded, as_inputs, nonfinite, settled
from explorer.zoo.made import token_ids
from explorer.zoo.optional import optional

EXAMPLE_SHAPE = (2, 16)
"""Sequences and tokens in the example inputs of a text model."""
IMAGE_SIZE = 224
"""Height and width of example images where the configuration names none, as for ResNet."""

# The end of an architecture's name -> (the transformers class that loads it, the task).
_CLASSES = {
    "ForCausalLM": ("AutoModelForCausalLM", "causal-lm"),
    "LMHeadModel": ("AutoModelForCausalLM", "causal-lm"),
    "ForSequenceClassification": ("AutoModelForSequenceClassification", "classification"),
    "ForImageClassification": ("AutoModelForImageClassification", "classification"),
}


def load_transformers(
    source: str | Path,
    asked: str,
    inputs: Tensor | Sequence[Tensor] | None,
    revision: str = "",
    local: bool = False,
) -> Loaded:
    """The transformers model at ``source``: a hub name, or a folder where ``local``; ``revision``: the hub's.

    The class follows the configuration's ``architectures``: causal language model, sequence classification, image
    classification, else the bare model. Only safetensors are read and code from the hub is never run. Without
    ``inputs`` the example inputs are drawn from a fixed seed: token ids ``[2, 16]`` or images ``[2, c, h, w]``.
    """
    transformers = optional("transformers", asked, "hf")
    given = None if inputs is None else as_inputs(asked, inputs)
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        where = {"local_files_only": local, **({"revision": revision} if revision else {})}
        config = _config(transformers, source, asked, where)
        loader, task = _loader(config)
        module, report = _model(transformers, loader, source, config, asked, where)
    examples, kwargs = (given, {}) if given is not None else _examples(module, asked)
    name = Path(source).resolve().name if local else str(source)
    return Loaded(
        name=name,
        title=f"{type(module).__name__} from {name}",
        module=settled(module),
        inputs=examples,
        kwargs=kwargs,
        task=task,
        warnings=_unmatched(report) + nonfinite(module),
    )


def build_empty(folder: str | Path, asked: str) -> nn.Module:
    """The model that the configuration in a local folder describes, on the meta device: shapes and no numbers."""
    transformers = optional("transformers", asked, "hf")
    with _quiet(transformers), torch.random.fork_rng(devices=[]), torch.device("meta"):
        config = _config(transformers, folder, asked, {"local_files_only": True})
        try:
            built: nn.Module = getattr(transformers, _loader(config)[0]).from_config(config)
        except Exception as error:
            found = f"its config.json describes no model that can be built ({type(error).__name__}: {error})"
            raise ModelError(asked, found[:400], "the config.json that was saved with the weights") from error
    return built


def _config(transformers: Any, source: str | Path, asked: str, where: Mapping[str, Any]) -> Any:
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **where)
    except Exception as error:
        raise hub_error(asked, error, "HF_HOME") from error
    if getattr(config, "quantization_config", None):
        raise ModelError(asked, "its weights are quantised already", "the unquantised model that it was made from")
    # A cache object in the output cannot be exported as a graph.
    config.use_cache = False
    # A configuration may name a kernel to fetch and run; the library's own choice takes its place.
    config._attn_implementation = None
    return config


def _loader(config: Any) -> tuple[str, str]:
    """The transformers class that loads the configuration's architecture, and the task."""
    architecture = (config.architectures or [""])[0]
    for ending, found in _CLASSES.items():
        if architecture.endswith(ending):
            return found
    return "AutoModel", "regression"


def _model(
    transformers: Any, loader: str, source: str | Path, config: Any, asked: str, where: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """The module and transformers' report of missing and unexpected keys."""
    try:
        module, report = getattr(transformers, loader).from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            # Mismatches are reported here with their names, rather than in a log that the caller may not see.
            ignore_mismatched_sizes=True,
            **where,
        )
    except Exception as error:
        raise hub_error(asked, error, "HF_HOME") from error
    if report["mismatched_keys"]:
        raise ModelError(
            asked,
            f"shapes of the weights differ from the configuration: {_some(report['mismatched_keys'])}",
            "the config.json that belongs to these weights",
        )
    if len(report["missing_keys"]) >= sum(1 for _ in module.parameters()):
        found = f"none of the model's weights is in the file, which holds {_some(report['unexpected_keys'])}"
        raise ModelError(asked, found, "the config.json that belongs to these weights")
    return module, report


def _unmatched(report: dict[str, Any]) -> tuple[str, ...]:
    said = (
        ("missing_keys", "not in the checkpoint and drawn at random"),
        ("unexpected_keys", "in the checkpoint but not used"),
    )
    return tuple(f"{len(report[key])} weights are {what}: {_some(report[key])}" for key, what in said if report[key])


def _some(keys: Any) -> str:
    """The first few of ``keys``; a mismatched key comes with its two shapes."""
    return some(
        sorted(
            f"{key[0]} {list(key[1])} against {list(key[2])}" if isinstance(key, tuple) else str(key) for key in keys
        )
    )


def _examples(module: nn.Module, asked: str) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Example arguments drawn from a fixed seed, by what the model says is its main input."""
    config: Any = module.config
    wanted = str(getattr(module, "main_input_name", "input_ids"))
    generator = torch.Generator().manual_seed(0)
    if wanted == "pixel_values":
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", None) or IMAGE_SIZE
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        channels = getattr(vision, "num_channels", 3)
        return (torch.randn(EXAMPLE_SHAPE[0], channels, height, width, generator=generator),), {}
    if wanted != "input_ids":
        raise DataError(
            asked, f"no example inputs can be made up for {wanted!r}", f"inputs=(a tensor of {wanted},) from your data"
        )
    text = config.get_text_config()
    ids = token_ids(text.vocab_size, getattr(text, "pad_token_id", None), EXAMPLE_SHAPE, generator)
    return (ids,), {"decoder_input_ids": ids.clone()} if config.is_encoder_decoder else {}


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence transformers' log and progress bars for a while: what matters is in the result or the error."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
