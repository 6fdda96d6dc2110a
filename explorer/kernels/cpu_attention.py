"""Our own FP32 attention of the CPU (:mod:`explorer.kernels.simd`), for short sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.graph import Ref
from explorer.kernels import simd
from explorer.kernels.kernel import Kernel
from explorer.kernels.simd.attention import Attention
from explorer.kernels.site import Packed, Post, Site
from explorer.measure.device import Device

MOST_KEYS, DEEPEST = 1024, 256
"""Beyond these the weights of a block of queries, or a block's own numbers, leave the second cache."""
DEFAULTS: tuple[Any, ...] = (None, 0.0, False)
"""What scaled_dot_product_attention takes for a mask, a dropout and causality that are not given."""


def build_attention(site: Site) -> Packed:
    """Build the attention of [batches, heads, tokens, depth], which can write the codes of all heads of a token."""
    mask, _, causal = _settings(site)
    kernel = Attention(site.op.kwargs.get("scale"), bool(causal))
    names = [arg.name for arg in (*site.op.args[:3], mask) if arg is not None]
    fixed = site.constants.get(names[3]) if len(names) > 3 else None
    places = [site.inputs.index(name) for name in names if name in site.inputs]

    def run(inputs: tuple[Tensor, ...], post: Post) -> Any:
        q, k, v, *masks = (inputs[place] for place in places)
        return kernel(q, k, v, masks[0] if masks else fixed, post)

    def extend(post: Post) -> Callable[..., Any] | None:
        return None if post.addend or post.activation else lambda *inputs: run(inputs, post)

    return Packed(lambda *inputs: run(inputs, Post()), extend=extend)


def _settings(site: Site) -> tuple[Any, Any, Any]:
    """The mask, the dropout and whether the attention is causal."""
    given = site.op.args[3:6]
    mask, dropout, causal = (*given, *DEFAULTS[len(given) :])
    named = site.op.kwargs
    return named.get("attn_mask", mask), named.get("dropout_p", dropout), named.get("is_causal", causal)


def refuse_attention(site: Site, device: Device) -> str:
    """Only short sequences whose queries, keys and values have one batch and one number of heads."""
    mask, dropout, causal = _settings(site)
    names = [arg.name if isinstance(arg, Ref) else "" for arg in site.op.args[:3]]
    shapes = [site.shapes.get(name, ()) for name in names]
    if site.op.target is not torch.ops.aten.scaled_dot_product_attention.default or not set(names) <= set(site.inputs):
        return "our own attention needs queries, keys and values that flow"
    if dropout or (causal and mask is not None):
        return "our own attention has no dropout, and either a mask or causality"
    if any(len(shape) != 4 or shape[:2] != shapes[0][:2] or 0 in shape for shape in shapes):
        return "our own attention needs queries, keys and values of one batch and as many heads"
    if shapes[1][2] > MOST_KEYS or max(shapes[0][3], shapes[2][3]) > DEEPEST:
        return f"our own attention is for at most {MOST_KEYS} keys and {DEEPEST} numbers of each"
    return simd.missing(device)


ATTENTION_KERNELS = {
    "attention": Kernel(
        "explorer attention",
        "fp32",
        "cpu",
        frozenset({"attention"}),
        "fp32",
        "fp32",
        build_attention,
        refuse_attention,
        fuses=frozenset({"heads", "codes", "tokens"}),
    )
}
"""The attention all of whose readers take codes. (FP32 in a recipe is torch's own call where nothing is taken in.)"""
