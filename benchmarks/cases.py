"""Every case of the kernels: the products of named models, from their widths and depths; for checks and timings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

BATCH = 8


@dataclass(frozen=True)
class Matrix:
    """Rows [rows, depth] times a weight [width, depth]: M, K and N of a matrix product."""

    rows: int
    depth: int
    width: int
    bias: bool = True

    kind = "linear"

    @property
    def label(self) -> str:
        return f"{self.rows}x{self.depth}x{self.width}"

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.depth * self.width

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.rows, self.depth

    def module(self) -> nn.Module:
        """Return the layer, its weights not yet drawn."""
        return _empty(nn.Linear, self.depth, self.width, bias=self.bias)

    def shrunk(self, factor: int) -> Matrix:
        """Return this shape with depth and width divided by ``factor``, and at most 21 rows."""
        return replace(
            self, rows=min(self.rows, 21), depth=max(32, self.depth // factor), width=max(16, self.width // factor)
        )


@dataclass(frozen=True)
class Filter:
    """A square convolution over ``batch`` square images of ``size`` pixels a side, without dilation or groups."""

    batch: int
    channels: int
    size: int
    out: int
    side: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    kind = "conv2d"

    @property
    def out_size(self) -> int:
        """Pixels a side of what comes out."""
        return (self.size + 2 * self.padding - self.side) // self.stride + 1

    @property
    def label(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.side}x{self.side}{stride} {self.channels}->{self.out} at {self.size}"

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.batch * self.out_size**2 * self.channels * self.side**2 * self.out

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.batch, self.channels, self.size, self.size

    def module(self) -> nn.Module:
        """Return the layer, its weights not yet drawn."""
        return _empty(nn.Conv2d, self.channels, self.out, self.side, self.stride, self.padding, bias=self.bias)

    def shrunk(self, factor: int) -> Filter:
        """Return this shape on two images of few pixels, with channels divided by ``factor``."""
        few = 2 * self.side if self.stride == self.side > 1 else 9
        channels, out = (n if n < factor else max(8, n // factor) for n in (self.channels, self.out))
        return replace(self, batch=2, size=min(self.size, few), channels=channels, out=out)


Shape = Matrix | Filter


def _empty(kind: type[nn.Module], *sizes: int, bias: bool) -> nn.Module:
    """Return a layer whose weights are not initialised: that would take longer than a benchmark of it."""
    module: nn.Module = nn.utils.skip_init(kind, *sizes, bias=bias)  # type: ignore[no-untyped-call]
    return module


@dataclass(frozen=True)
class Case:
    """One product of a model in a phase of its use; ``layers`` of the model's layers have this shape."""

    model: str
    layer: str
    phase: str
    shape: Shape
    layers: int = 1

    @property
    def kind(self) -> str:
        """The kind of op: ``linear`` or ``conv2d``."""
        return self.shape.kind

    @property
    def name(self) -> str:
        return f"{self.model} {self.layer}, {self.phase}: {self.shape.label}"

    def make(self, seed: int = 0) -> tuple[nn.Module, Tensor]:
        """Return the layer and an input, both FP32 and normal: weights of variance 1 / K, the rest of variance 1."""
        generator = torch.Generator().manual_seed(seed)
        module = self.shape.module().eval().requires_grad_(False)
        for parameter in module.parameters():
            deviation = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 1.0
            parameter.normal_(0.0, deviation, generator=generator)
        return module, torch.randn(self.shape.input_shape, generator=generator)

    def shrunk(self, factor: int = 32) -> Case:
        """Return this case at a size that a test can afford."""
        return replace(self, shape=self.shape.shrunk(factor))


LARGE = Case("one product", "large", "512 rows", Matrix(512, 1024, 4096))
ROW = Case("one product", "square", "1 row", Matrix(1, 4096, 4096))


def cases() -> tuple[Case, ...]:
    """Return every case, each shape once under the first that has it; the two that bars name come first."""
    llama = (llama_8b(512, "prefill 512"), llama_8b(1, "decode 1"), llama_8b(16, "decode 16"))
    return distinct((LARGE, ROW, *resnet50(), *vit_base(), *bert_base(), *(case for part in llama for case in part)))


def distinct(found: Iterable[Case]) -> tuple[Case, ...]:
    """Return one case for each shape, in order, with the layers of the model of the first one counted."""
    kept: dict[Shape, Case] = {}
    for case in found:
        first = kept.setdefault(case.shape, replace(case, layers=0))
        if first.model == case.model:
            kept[case.shape] = replace(first, layers=first.layers + case.layers)
    return tuple(kept.values())


def resnet50(batch: int = BATCH, image: int = 224) -> Iterator[Case]:
    """Yield the layers of ResNet-50 (v1.5: the 3x3 convolution has the stride), batch norms folded into biases.

    Four stages of bottlenecks, [3, 4, 6, 3] of them: 1x1 to a quarter of the stage's width, 3x3, and 1x1 back.
    """
    phase = f"batch {batch}"
    stem = Filter(batch, 3, image, 64, side=7, stride=2, padding=3)
    yield Case("ResNet-50", "stem", phase, stem)
    channels, size = stem.out, stem.out_size // 2
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, out = 64 << stage, 256 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            name = f"stage {stage + 1} block {block + 1}"
            middle = Filter(batch, inner, size, inner, side=3, stride=stride, padding=1)
            yield Case("ResNet-50", f"{name} 1x1 in", phase, Filter(batch, channels, size, inner, side=1))
            yield Case("ResNet-50", f"{name} 3x3", phase, middle)
            yield Case("ResNet-50", f"{name} 1x1 out", phase, Filter(batch, inner, middle.out_size, out, side=1))
            if not block:
                shortcut = Filter(batch, channels, size, out, side=1, stride=stride)
                yield Case("ResNet-50", f"{name} shortcut", phase, shortcut)
            channels, size = out, middle.out_size
    yield Case("ResNet-50", "classifier", phase, Matrix(batch, channels, 1000))


def vit_base(batch: int = BATCH, image: int = 224, patch: int = 16) -> Iterator[Case]:
    """Yield the layers of ViT-B/16: an embedding of patches, then 12 blocks on one token a patch and one more."""
    phase, width = f"batch {batch}", 768
    yield Case("ViT-B/16", "patches", phase, Filter(batch, 3, image, width, side=patch, stride=patch))
    yield from _encoder("ViT-B/16", phase, batch * ((image // patch) ** 2 + 1), width, blocks=12)


def bert_base(batch: int = BATCH, tokens: int = 128) -> Iterator[Case]:
    """Yield the layers of BERT-base: 12 blocks of width 768."""
    yield from _encoder("BERT-base", f"{batch}x{tokens} tokens", batch * tokens, 768, blocks=12)


def _encoder(model: str, phase: str, rows: int, width: int, blocks: int) -> Iterator[Case]:
    """Yield the layers of a transformer's encoder, whose MLP is four times as wide as the rest."""
    yield Case(model, "attention q, k, v and out", phase, Matrix(rows, width, width), 4 * blocks)
    yield Case(model, "mlp in", phase, Matrix(rows, width, 4 * width), blocks)
    yield Case(model, "mlp out", phase, Matrix(rows, 4 * width, width), blocks)


def llama_8b(rows: int, phase: str) -> Iterator[Case]:
    """Yield the layers of Llama 3 8B for ``rows`` tokens: 32 blocks of width 4096, 32 heads of which 8 have keys."""
    width, hidden, heads, key_heads, blocks = 4096, 14336, 32, 8, 32
    keys = width // heads * key_heads
    for layer, depth, out, each in (
        ("attention q and out", width, width, 2),
        ("attention k and v", width, keys, 2),
        ("mlp gate and up", width, hidden, 2),
        ("mlp down", hidden, width, 1),
    ):
        yield Case("Llama-8B", layer, phase, Matrix(rows, depth, out, bias=False), each * blocks)
