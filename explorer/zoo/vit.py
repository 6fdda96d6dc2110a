"""A small vision transformer for 32x32 grey images, with timm's names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

WIDTH = 192
HEADS = 6
DEPTH = 6
HIDDEN = 768
TOKENS = 64


class PatchEmbed(nn.Module):
    """Cuts an image ``[n, 1, 32, 32]`` into 4x4 patches, each projected to a token: ``[n, 64, width]``."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, WIDTH, kernel_size=4, stride=4)

    def forward(self, x: Tensor) -> Tensor:
        grid: Tensor = self.proj(x)
        return grid.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention over ``[n, tokens, width]``."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, HEADS, width // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))
        return out


class Mlp(nn.Module):
    """Two linear layers around a GELU, applied to each token."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, HIDDEN)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    """A pre-norm transformer block: attention, then the MLP, each added to the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class DigitsViT(nn.Module):
    """Logits ``[n, 10]`` for images ``[n, 1, 32, 32]``: 64 tokens, no class token, the mean token is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed()
        self.pos_embed = nn.Parameter(_waves())
        self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 10)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.blocks(self.patch_embed(x) + self.pos_embed)
        logits: Tensor = self.head(self.norm(tokens).mean(dim=1))
        return logits


def _waves() -> Tensor:
    """Sines and cosines of each patch's row and column, ``[1, 64, width]``: where the learned positions start.

    With 1,400 images there is little to learn from what lies beside what, so that much is given from the start.
    """
    side = int(TOKENS**0.5)
    frequency = 0.01 ** torch.linspace(0, 1, WIDTH // 4)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = torch.cat([place.reshape(-1, 1) * frequency for place in (row, column)], dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)[None]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
