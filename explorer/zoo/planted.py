"""Small models with one fault each, for learning what goes wrong in low precision, and for testing that it is found.

Every fault but the one of the softmax leaves the function in FP32 as it was in the healthy twin: what is large in one
place is made small in the next. So a model that is fine in FP32 fails in the named preset, for one reason only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer.errors import ModelError
from explorer.zoo.loaded import Loaded, settled

WIDTH, HIDDEN, HEADS, DEPTH, TOKENS, FEATURES, CLASSES = 32, 64, 2, 3, 8, 24, 5
WORDS, LONGEST, SHORTEST = 50, 24, 3
SAMPLES, CALIBRATED = 96, 64
"""Samples of every model, and how many of them static scales are found from."""


class SoftmaxByHand(nn.Module):
    """exp(x) / sum(exp(x)): right on paper, Inf / Inf in FP32 where a score is above 88.7."""

    def forward(self, scores: Tensor) -> Tensor:
        powers = torch.exp(scores)
        return powers / powers.sum(-1, keepdim=True)


class Attention(nn.Module):
    """Attention over [n, tokens, width], step by step: scores are a value of the graph, scaled after the product."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.scale = (WIDTH // HEADS) ** -0.5
        self.softmax: nn.Module = nn.Softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.matmul(q, k.transpose(-2, -1)) * self.scale
        mixed = torch.matmul(self.softmax(scores), v)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))
        return out


class Block(nn.Module):
    """Attention and MLP, each between two norms: the second one evens out whatever size the branch has."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn, self.post1 = nn.LayerNorm(WIDTH), Attention(), _sharp_norm()
        self.norm2, self.fc1, self.act = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, HIDDEN), nn.GELU()
        self.fc2, self.post2 = nn.Linear(HIDDEN, WIDTH), _sharp_norm()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.post1(self.attn(self.norm1(x)))
        out: Tensor = x + self.post2(self.fc2(self.act(self.fc1(self.norm2(x)))))
        return out


class Reader(nn.Module):
    """Logits [n, classes] of [n, tokens, features]: three blocks, the mean token is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x.mean(1)))
        return logits


class Counter(nn.Module):
    """Logits [n, classes] of word ids [n, longest], 0 where a text has ended: the words' vectors are added up, so that
    the sum grows with the text."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.fc1, self.norm = nn.Linear(WIDTH, HIDDEN), nn.LayerNorm(HIDDEN)
        self.act, self.fc2 = nn.GELU(), nn.Linear(HIDDEN, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        present = (ids != 0).unsqueeze(-1).to(torch.float32)
        total = (self.words(ids) * present).sum(1)
        logits: Tensor = self.fc2(self.act(self.norm(self.fc1(total))))
        return logits


def _sharp_norm() -> nn.LayerNorm:
    """A norm that even a branch of 1e-9 leaves at full size."""
    return nn.LayerNorm(WIDTH, eps=1e-30)


@dataclass(frozen=True)
class Planted:
    """A model with a fault, its healthy twin, and the preset in which the fault shows (``fp32``: in any).

    ``wrong`` says what a user would notice, not where or why. A fault in the data has ``healthy_inputs`` beside them.
    """

    name: str
    title: str
    wrong: str
    preset: str
    build: Callable[[], nn.Module]
    healthy: Callable[[], nn.Module]
    inputs: Callable[[], Tensor]
    healthy_inputs: Callable[[], Tensor] | None = None

    def load(self, healthy: bool = False) -> Loaded:
        """The model (or its healthy twin) with data whose labels are what the healthy twin says in FP32."""
        gather = self.healthy_inputs if healthy and self.healthy_inputs else self.inputs
        x, right = gather(), settled(_seeded(self.healthy))
        module = right if healthy else settled(_seeded(self.build))
        with torch.no_grad():
            labels = right(x).argmax(-1)
        title = f"{self.title}, without the fault" if healthy else self.title
        name = f"{self.name}-healthy" if healthy else self.name
        return Loaded(name, title, module, (x[:2],), "classification", data=(x, labels))


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return build()


def build_reader(fault: Callable[[Reader], None] | None = None) -> Reader:
    """The healthy transformer, confident in its answers, or one with ``fault`` done to it."""
    model = Reader()
    with torch.no_grad():
        model.head.weight.mul_(6.0)
        if fault is not None:
            fault(model)
    return model


def _block(model: Reader, index: int) -> Block:
    block = model.blocks[index]
    assert isinstance(block, Block)
    return block


def large_scores(model: Reader) -> None:
    """In block 1, queries and keys 256 times as large, and their product divided by 256 twice afterwards."""
    attention = _block(model, 1).attn
    attention.qkv.weight[: 2 * WIDTH] *= 256.0
    attention.qkv.bias[: 2 * WIDTH] *= 256.0
    attention.scale /= 256.0**2


def wide_channel(model: Reader) -> None:
    """In block 1, one channel before the MLP 512 times as large, and the weights that read it as much smaller."""
    block, channel = _block(model, 1), 11
    block.norm2.weight[channel] *= 512.0
    block.norm2.bias[channel] *= 512.0
    block.fc1.weight[:, channel] /= 512.0


def tiny_branch(model: Reader) -> None:
    """In block 2, an MLP that ends 2**-30 times as large; the norm after it brings it back to size."""
    ending = _block(model, 2).fc2
    ending.weight.mul_(2.0**-30)
    ending.bias.mul_(2.0**-30)


def sharp_attention(model: Reader) -> None:
    """In block 1, scores beyond 88.7 for some inputs: no trouble for a softmax that subtracts the largest."""
    _block(model, 1).attn.scale *= 220.0


def sharp_attention_by_hand(model: Reader) -> None:
    sharp_attention(model)
    _block(model, 1).attn.softmax = SoftmaxByHand()


def build_counter() -> Counter:
    """Every word adds to both halves of the sum alike; only the difference between the halves counts for the answer."""
    model, half = Counter(), WIDTH // 2
    with torch.no_grad():
        model.words.weight += torch.linspace(0.5, 1.0, half).repeat(2)
        model.fc1.weight[:, half:] = -model.fc1.weight[:, :half]
        model.fc2.weight *= 6.0
    return model


def readings() -> Tensor:
    """[samples, tokens, features] of normal noise, always the same."""
    return torch.randn(SAMPLES, TOKENS, FEATURES, generator=torch.Generator().manual_seed(11))


def short_then_long() -> Tensor:
    """[samples, longest] word ids: short texts in the samples that scales are found from, long ones after them."""
    return _texts([SHORTEST + index % 3 if index < CALIBRATED else LONGEST - index % 3 for index in range(SAMPLES)])


def texts_of_all_lengths() -> Tensor:
    """The same texts, short and long ones mixed."""
    return short_then_long()[torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(3))]


def _texts(lengths: list[int]) -> Tensor:
    ids = torch.randint(1, WORDS, (len(lengths), LONGEST), generator=torch.Generator().manual_seed(5))
    return ids * (torch.arange(LONGEST) < torch.tensor(lengths)[:, None])


PLANTED: Mapping[str, Planted] = {
    model.name: model
    for model in (
        Planted(
            "planted/fp16-overflow",
            "Transformer, 3 blocks, a fault in FP16",
            "In FP16 it answers NaN to every input, in FP32 it is right.",
            "fp16",
            lambda: build_reader(large_scores),
            build_reader,
            readings,
        ),
        Planted(
            "planted/outlier-channel",
            "Transformer, 3 blocks, a fault in INT8",
            "In INT8 it loses far more than other models of its size do.",
            "int8-dynamic",
            lambda: build_reader(wide_channel),
            build_reader,
            readings,
        ),
        Planted(
            "planted/flushed-layer",
            "Transformer, 3 blocks, a fault in FP16",
            "In FP16 its answers are finite and wrong, although nothing in it is large.",
            "autocast-fp16",
            lambda: build_reader(tiny_branch),
            build_reader,
            readings,
        ),
        Planted(
            "planted/softmax-inf",
            "Transformer, 3 blocks, a fault in FP32",
            "It answers NaN to some inputs, in FP32 as well.",
            "fp32",
            lambda: build_reader(sharp_attention_by_hand),
            lambda: build_reader(sharp_attention),
            readings,
        ),
        Planted(
            "planted/short-calibration",
            "Text classifier, a fault in static INT8",
            "In INT8 with static scales it is right on its first inputs and wrong on later ones.",
            "int8-static",
            build_counter,
            build_counter,
            short_then_long,
            texts_of_all_lengths,
        ),
    )
}
"""Models to diagnose, by the name that ``explorer.open`` takes. That of the calibration has its fault in its data."""


def load_planted(name: str) -> Loaded:
    """The planted model called so; raises ``ModelError`` for another name."""
    if name not in PLANTED:
        raise ModelError(f"open {name!r}", "there is no such planted model", "one of " + ", ".join(PLANTED))
    return PLANTED[name].load()
