"""How tensors lie in memory, and how kernels want them to: what they find otherwise they copy, inside their call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from explorer.kernels.site import Site

ANY = ""
"""Whatever strides."""
ROWS = "rows"
"""[..., K] that can be seen as rows [M, K]."""
CONTIGUOUS = "contiguous"
"""torch's own order, the last dimension innermost."""
CHANNELS_LAST = "channels_last"
"""[n, C, ...] with the channels innermost; of one spatial dimension too."""
DENSE = "dense"
"""Contiguous, or channels-last of two spatial dimensions."""
PADDED = "padded"
"""Copied whatever it is, into longer rows or more of them."""
FRAMED = "framed"
"""Copied whatever it is, into a frame of padding, channels-last."""
BY_PIXEL = (CHANNELS_LAST, FRAMED)
"""Layouts whose kernels give channels-last."""

KEPT_CONTIGUOUS = frozenset(("layer_norm", "log_softmax", "softmax"))
"""Kinds of ops whose kernels in torch copy what is not contiguous."""


def any_layout(site: Site) -> str:
    """What a kernel wants that takes any strides."""
    return ANY


def contiguous(site: Site) -> str:
    """What a kernel wants that reads one element after the other."""
    return CONTIGUOUS


def as_rows(site: Site) -> str:
    """What a matrix product wants that steps from row to row."""
    return ROWS


def dense(site: Site) -> str:
    """What an elementwise kernel wants that runs through memory without gaps."""
    return DENSE


def channels_last(site: Site) -> str:
    """What a convolution wants whose two-dimensional form is channels-last."""
    return CHANNELS_LAST if site.product is not None and site.product.weight.dim() == 4 else ANY


def as_torch_wants(site: Site) -> str:
    """What torch's kernel of an op wants, as far as it is said here: see :data:`KEPT_CONTIGUOUS`."""
    return CONTIGUOUS if site.op.kind in KEPT_CONTIGUOUS else ANY


def lies_so(x: Tensor, layout: str) -> bool:
    """Return whether ``x`` is in a layout already, so that nothing is copied."""
    if layout in (PADDED, FRAMED):
        return False
    if layout in (ANY, CONTIGUOUS):
        return layout == ANY or x.is_contiguous()
    if layout == ROWS:
        return x.dim() < 2 or shares_memory(x, x.reshape(-1, x.shape[-1]))
    last = x.dim() > 2 and x.movedim(1, -1).is_contiguous()
    return last if layout == CHANNELS_LAST else x.is_contiguous() or (last and x.dim() == 4)


def put_so(x: Tensor, layout: str) -> Tensor:
    """Return ``x`` in a layout, as it comes out of a kernel that wants this layout of what goes in."""
    if layout in BY_PIXEL:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x if layout in (ANY, ROWS) or lies_so(x, layout) else x.contiguous()


def shares_memory(left: Tensor, right: Tensor) -> bool:
    """Return whether two tensors are views of one memory."""
    return bool(left.untyped_storage()._cdata == right.untyped_storage()._cdata)


def describe_layout(x: Tensor) -> str:
    """Return how ``x`` lies in memory, in a word or two: ``permuted 0 2 1`` is [a, b, c] with b innermost."""
    if x.is_contiguous():
        return CONTIGUOUS
    if x.dim() > 3 and lies_so(x, CHANNELS_LAST):
        return CHANNELS_LAST
    if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True)):
        return "expanded"
    strides = x.stride()
    order = sorted(range(x.dim()), key=lambda dim: strides[dim], reverse=True)
    if x.permute(order).is_contiguous():
        return f"permuted {' '.join(map(str, order))}"
    return "with gaps"
