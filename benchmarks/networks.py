"""Whole models with random weights, built from transformers' configurations: ViT-B/16, BERT-base and ResNet-50."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import BATCH

TOKENS, IMAGE = 128, 224
BATCHES = 3
"""The first batch is timed and compared; all are what static scales are found on, here and in peers."""


@dataclass(frozen=True, eq=False)
class Network:
    """A model in eval mode and its data.

    ``module`` gives transformers' record of outputs, ``plain`` one tensor of it (hidden states or logits). data: [24,
    ...], of which the first 8 are :attr:`batch`. ``layers``: the kind of layer that holds most weights.
    """

    name: str
    module: nn.Module
    plain: nn.Module
    data: Tensor
    layers: type[nn.Module]

    @property
    def batch(self) -> Tensor:
        return self.data[:BATCH]


class Plain(nn.Module):
    """A transformers model that takes one tensor and gives one: peers' converters ask for that."""

    def __init__(self, model: nn.Module, field: str) -> None:
        super().__init__()
        self.model, self.field = model, field

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = getattr(self.model(x), self.field)
        return out


def vit_base() -> Network:
    """ViT-B/16 without a head: images [8, 3, 224, 224] to hidden states [8, 197, 768]."""
    from transformers import ViTConfig, ViTModel

    model = ViTModel(ViTConfig(), add_pooling_layer=False)
    return _network("ViT-B/16", model, "last_hidden_state", _images(), nn.Linear)


def bert_base() -> Network:
    """BERT-base without a head: tokens [8, 128] to hidden states [8, 128, 768]."""
    from transformers import BertConfig, BertModel

    config = BertConfig()
    model = BertModel(config, add_pooling_layer=False)
    # The first thousand of BERT's tokens are marks and unused.
    tokens = torch.randint(1000, config.vocab_size, (BATCHES * BATCH, TOKENS), generator=_seeded())
    return _network("BERT-base", model, "last_hidden_state", tokens, nn.Linear)


def resnet50() -> Network:
    """ResNet-50: images [8, 3, 224, 224] to logits [8, 1000]; its batch norms hold the statistics of its own data.

    Their gains and offsets are drawn too: with all ones and zeros, and statistics that fit no data, activations would
    have ranges that no trained network has.
    """
    from transformers import ResNetConfig, ResNetForImageClassification

    model = ResNetForImageClassification(ResNetConfig(num_labels=1000))
    generator = _seeded()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # type: ignore[assignment]  # a plain average over the batches that follow
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.normal_(0.0, 0.2, generator=generator)
    images = _images()
    with torch.no_grad():
        model.train()(images[:BATCH])
    return _network("ResNet-50", model, "logits", images, nn.Conv2d)


NETWORKS: Mapping[str, Callable[[], Network]] = {"vit": vit_base, "bert": bert_base, "resnet": resnet50}


def build(name: str) -> Network:
    """Return a network of :data:`NETWORKS`, with the same weights and data each time."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return NETWORKS[name]()


def _network(name: str, model: Any, field: str, data: Tensor, layers: type[nn.Module]) -> Network:
    model.eval().requires_grad_(False)
    return Network(name, model, Plain(model, field).eval(), data, layers)


def _images() -> Tensor:
    """Images with more energy in low frequencies than in high ones, as photographs have."""
    generator, found = _seeded(), torch.zeros(BATCHES * BATCH, 3, IMAGE, IMAGE)
    for size in (7, 28, 112, 224):
        noise = torch.randn(len(found), 3, size, size, generator=generator)
        found += nn.functional.interpolate(noise, (IMAGE, IMAGE), mode="bilinear")
    return found / found.std()


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
