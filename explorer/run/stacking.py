"""Stacking: how the values of a graph lie when several batches run through it as one, found by doing so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from explorer.run.execute import Executor, Values

Layout = int | Literal["shared", "scaled", "mixed"] | tuple[Any, ...]
"""Of one value: the dimension along which batches lie one after another; ``"shared"``: it does not depend on the
samples; ``"scaled"``: a number that grows with the batch; ``"mixed"``: none of these. A tuple for a tuple of values."""

ROUNDING = 1e-4
"""Another batch size may change the rounding of FP32 sums: 1e-5 at most in deep networks, relative to the value's root
mean square. Samples in another order differ by about 1."""
MASK = 1e30
"""What is larger says "not this one" to a softmax; it would drown everything else in a sum of squares."""


@dataclass(frozen=True)
class Stacking:
    """How each value of a graph stacks, and the position from which on every value alive does.

    ``rounding``: the largest change of the output by running as part of a larger batch, relative to its root mean
    square.
    """

    layouts: Mapping[str, Layout]
    safe_from: int
    rounding: float = 0.0

    def can_change(self, values: Sequence[str]) -> bool:
        """Whether copies that differ in these values can lie side by side: each value has a place per copy."""
        return all(self.layouts[name] not in ("shared", "scaled") for name in values)

    def stack(self, copies: Sequence[Values]) -> Values:
        """Return the values of all copies, equal in what they hold, as those of one larger batch."""
        return {name: _stack(self.layouts[name], [copy[name] for copy in copies]) for name in copies[0]}

    def split(self, name: str, value: Tensor, copies: int) -> tuple[Tensor, ...]:
        """Return the part of each copy of a stacked value; one that depends on no sample is every copy's."""
        layout = self.layouts[name]
        return value.chunk(copies, layout) if isinstance(layout, int) else (value,) * copies


def find_stacking(executor: Executor, inputs: Mapping[str, Tensor], cancel: Any = None) -> Stacking:
    """Run the batch, another of its first sample over and over, and both as one; return how every value of these lies.

    Where all samples are the same, nothing can be told: then nothing stacks.
    """
    other = {name: x[:1].expand_as(x) for name, x in inputs.items()}
    length = len(executor.plan.steps)
    if all(torch.equal(x, other[name]) for name, x in inputs.items()):
        return Stacking({}, length + 1)
    both = {name: torch.cat([x, other[name]]) for name, x in inputs.items()}
    layouts: dict[str, Layout] = dict.fromkeys(inputs, 0)
    output = executor.plan.graph.output.name
    rounding = 0.0
    walks = (executor.walk(dict(values), cancel) for values in (inputs, other, both))
    for first, second, stacked in zip(*walks, strict=True):
        name = first.step.op.name
        layouts[name] = find_layout(first.output, second.output, stacked.output)
        if name == output and isinstance(layouts[name], int):
            wanted = torch.cat([first.output, second.output], layouts[name])  # type: ignore[arg-type]
            rounding = _distance(stacked.output, wanted)
    last = executor.plan.graph.last_use
    mixed = [last.get(name, -1) + 1 for name, layout in layouts.items() if _is_mixed(layout)]
    return Stacking(layouts, max(mixed, default=0), rounding)


def find_layout(first: Any, second: Any, stacked: Any) -> Layout:
    """Return how a value of two batches lies where both run as one."""
    if isinstance(first, (tuple, list)):
        return tuple(find_layout(*parts) for parts in zip(first, second, stacked, strict=True))
    if not isinstance(first, Tensor):
        if first == second == stacked:
            return "shared"
        return "scaled" if isinstance(first, int) and first == second and stacked == 2 * first else "mixed"
    if first.shape != second.shape or first.dim() != stacked.dim():
        return "mixed"
    if first.shape == stacked.shape:
        return "shared" if _same(first, second) and _same(first, stacked) else "mixed"
    longer = [dim for dim, (a, b) in enumerate(zip(first.shape, stacked.shape, strict=True)) if a != b]
    if len(longer) != 1 or stacked.shape[longer[0]] != 2 * first.shape[longer[0]]:
        return "mixed"
    wanted = torch.cat([first, second], longer[0])
    return longer[0] if _same(wanted, stacked) else "mixed"


def _same(wanted: Tensor, given: Tensor) -> bool:
    """Whether two tensors are equal, floating ones up to rounding."""
    return _distance(given, wanted) <= ROUNDING if wanted.is_floating_point() else torch.equal(wanted, given)


def _distance(given: Tensor, wanted: Tensor) -> float:
    """The largest difference over the root mean square of what is finite and no mask; infinite where these differ."""
    plain = wanted.isfinite() & (wanted.abs() < MASK)
    if not torch.equal(plain, given.isfinite() & (given.abs() < MASK)):
        return math.inf
    x, y = wanted[plain].double(), given[plain].double()
    if not len(x) or torch.equal(x, y):
        return 0.0
    scale = float(x.square().mean().sqrt())
    return float((x - y).abs().max()) / scale if scale else math.inf


def _is_mixed(layout: Layout) -> bool:
    return any(map(_is_mixed, layout)) if isinstance(layout, tuple) else layout == "mixed"


def _stack(layout: Layout, values: list[Any]) -> Any:
    if isinstance(layout, tuple):
        return tuple(_stack(part, [value[i] for value in values]) for i, part in enumerate(layout))
    if layout == "shared":
        return values[0]
    if layout == "scaled":
        return values[0] * len(values)
    return torch.cat(values, layout)  # type: ignore[arg-type]
