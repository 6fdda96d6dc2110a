"""Effect: reads weights. The models that ship with the explorer, each with its test data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer.errors import ModelError
from explorer.zoo.adder import build_adder
from explorer.zoo.cnn import DigitsCNN
from explorer.zoo.data import WEIGHTS, decode, digits, sums
from explorer.zoo.loaded import Loaded, settled
from explorer.zoo.vit import DigitsViT

EXAMPLES = 2
"""Samples in the example inputs: two, because a batch of one would be taken for a constant by a tracer."""


@dataclass(frozen=True)
class Bundled:
    """A bundled model: how to build it, its test data ``(x, y)``, what its samples are called, and one in words."""

    name: str
    title: str
    task: str
    build: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    noun: str
    show: Callable[[Tensor, Tensor], str]


def _test_digits() -> tuple[Tensor, Tensor]:
    split = digits()
    return split.test_x, split.test_y


def _test_sums() -> tuple[Tensor, Tensor]:
    split = sums(train=0)
    return split.test_x, split.test_y


def _show_digit(x: Tensor, y: Tensor) -> str:
    return f"a handwritten {int(y)}"


def _show_sum(x: Tensor, y: Tensor) -> str:
    return decode(x)


BUNDLED: dict[str, Bundled] = {
    model.name: model
    for model in (
        Bundled(
            "digits-vit",
            "Vision transformer, 6 blocks, 2.7 M parameters, handwritten digits",
            "classification",
            DigitsViT,
            _test_digits,
            "test images",
            _show_digit,
        ),
        Bundled(
            "digits-cnn",
            "Residual network with batch norms, 0.1 M parameters, handwritten digits",
            "classification",
            DigitsCNN,
            _test_digits,
            "test images",
            _show_digit,
        ),
        Bundled(
            "adder-gpt",
            "Llama architecture, 4 layers, 0.4 M parameters, three-digit sums",
            "causal-lm",
            build_adder,
            _test_sums,
            "held-out sums",
            _show_sum,
        ),
    )
}


def load_bundled(name: str) -> Loaded:
    """The bundled model ``name``, newly built, with the first two test samples as example inputs.

    The caller's random state is left as it was. Raises ``ModelError`` for an unknown name or damaged weights, and
    ``MissingPackage`` where ``adder-gpt`` is asked for without transformers.
    """
    asked = f"open the bundled model {name!r}"
    if name not in BUNDLED:
        raise ModelError(asked, "there is no such model", "one of " + ", ".join(BUNDLED))
    model = BUNDLED[name]
    with torch.random.fork_rng(devices=[]):
        module = model.build()
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(asked, f"its weights cannot be read ({error})", "reinstalling precision-explorer") from error
    x, y = model.data()
    return Loaded(
        name=name,
        title=model.title,
        module=settled(module),
        inputs=(x[:EXAMPLES],),
        task=model.task,
        data=(x, y),
        show=lambda sample: model.show(x[sample], y[sample]),
        noun=model.noun,
    )
