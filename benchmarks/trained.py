"""Two small networks, GPT-2-shaped and ResNet-shaped, trained a little on data from a seed. (Effect: a cache on disk.)

What quantisation costs a network with random weights says little: nothing was learnt that could be lost. These are
narrow enough that every op can be lowered alone, one after another, within minutes.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.networks import Plain
from explorer.zoo.data import Split
from explorer.zoo.train.fit import Settings, fit

CACHE = Path(tempfile.gettempdir()) / "precision-explorer-trained"
VOCABULARY, TOKENS, SUCCESSORS = 64, 32, 4
CLASSES, SIDE = 10, 32
TEST = 512


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a network comes to be: what builds it, its data, how it is trained, and the task that it is opened with."""

    task: str
    build: Callable[[], nn.Module]
    data: Callable[[], Split]
    settings: Settings


def gpt2() -> nn.Module:
    """GPT-2's shape, 4 layers of width 64 with 4 heads: tokens [n, t] to logits [n, t, 64]."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=TOKENS, n_embd=64, n_layer=4, n_head=4, use_cache=False,
        bos_token_id=0, eos_token_id=0, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return Plain(GPT2LMHeadModel(config), "logits")


def resnet() -> nn.Module:
    """ResNet-18's shape, an eighth to a quarter of its width: images [n, 3, 32, 32] to logits [n, 10]."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 2, 2], layer_type="basic", num_labels=CLASSES
    )
    return Plain(ResNetForImageClassification(config), "logits")


def chains(train: int = 4096, test: int = TEST, seed: int = 0) -> Split:
    """Sequences in which two tokens tell which four may follow, and how likely: tokens and labels int64 [n, 32].

    The label at position t is the token at t + 1.
    """
    generator = torch.Generator().manual_seed(seed)
    follows = torch.randint(VOCABULARY, (VOCABULARY, VOCABULARY // 8, SUCCESSORS), generator=generator)
    likely = torch.tensor([0.6, 0.25, 0.1, 0.05])
    tokens = torch.randint(VOCABULARY, (train + test, TOKENS + 1), generator=generator)
    for place in range(2, TOKENS + 1):
        drawn = torch.multinomial(likely, train + test, replacement=True, generator=generator)
        tokens[:, place] = follows[tokens[:, place - 1], tokens[:, place - 2] // 8, drawn]
    return _split(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), test)


def gratings(train: int = 4096, test: int = TEST, seed: int = 0) -> Split:
    """Waves of ten directions under noise, coloured at random: images FP32 [n, 3, 32, 32], labels int64 [n]."""
    generator = torch.Generator().manual_seed(seed)
    n = train + test
    labels = torch.randint(CLASSES, (n,), generator=generator)
    angle = (labels + 0.35 * torch.randn(n, generator=generator)) * math.pi / CLASSES
    phase, pitch = 2 * math.pi * torch.rand(2, n, generator=generator)
    steps = torch.arange(SIDE, dtype=torch.float32)
    across = steps * angle.cos()[:, None]
    down = steps * angle.sin()[:, None]
    speed = 0.5 + 0.06 * pitch
    waves = (speed[:, None, None] * (across[:, None, :] + down[:, :, None]) + phase[:, None, None]).sin()
    colours = torch.randn(n, 3, 1, 1, generator=generator)
    return _split(waves[:, None] * colours + torch.randn(n, 3, SIDE, SIDE, generator=generator), labels, test)


TRAINED: Mapping[str, Recipe] = {
    "gpt2-shaped": Recipe("causal-lm", gpt2, chains, Settings(0, 12, 64, 5e-3, 0.01)),
    "resnet-shaped": Recipe("classification", resnet, gratings, Settings(0, 6, 64, 5e-3, 0.01)),
}


def trained(name: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Return a network of :data:`TRAINED` in eval mode and its test data (x, y), the same ones each time.

    It is trained when it is first asked for (a minute or two on two cores); its weights are kept in :data:`CACHE` under
    a digest of what it is made of, so that no edit meets old weights.
    """
    from safetensors.torch import load_file, save_file

    recipe, threads = TRAINED[name], torch.get_num_threads()
    split = recipe.data()
    file = CACHE / f"{name}-{_digest(recipe)}.safetensors"
    if file.exists():
        module = recipe.build()
        module.load_state_dict(load_file(file), strict=False)
    else:
        module, _ = fit(recipe.build, split.train_x, split.train_y, recipe.settings)
        torch.set_num_threads(threads)
        CACHE.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in _unshared(module).items()}, file)
    return module.eval().requires_grad_(False), (split.test_x, split.test_y)


def _digest(recipe: Recipe) -> str:
    """Twelve hex digits of the text that makes network and data, and of how it is trained."""
    made = (inspect.getsource(recipe.build), inspect.getsource(recipe.data), repr(recipe.settings))
    return hashlib.blake2b("".join(made).encode(), digest_size=6).hexdigest()


def _unshared(module: nn.Module) -> dict[str, Tensor]:
    """The state without the second name of a tensor that two names share, such as GPT-2's head."""
    kept: dict[int, str] = {}
    return {key: value for key, value in module.state_dict().items() if kept.setdefault(value.data_ptr(), key) == key}


def _split(x: Tensor, y: Tensor, test: int) -> Split:
    return Split(x[test:], y[test:], x[:test], y[:test])
