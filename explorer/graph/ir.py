"""The graph of a model: ops in execution order, the values that flow between them, and the constants they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

Role = Literal["compute", "sensitive", "elementwise", "view", "integer"]
Dim = int | str


@dataclass(frozen=True)
class Ref:
    """The name of a value: an input, a constant or the output of an op."""

    name: str


@dataclass(frozen=True)
class TensorType:
    """What a value is: ``shape`` with symbols such as ``"batch"`` for the dynamic dimensions, and ``dtype``."""

    shape: tuple[Dim, ...]
    dtype: torch.dtype

    @property
    def floating(self) -> bool:
        return self.dtype.is_floating_point

    def __str__(self) -> str:
        return "×".join(str(dim) for dim in self.shape) or "scalar"


@dataclass(frozen=True)
class Op:
    """One node of the graph.

    ``id`` is stable across captures (``blocks.0.attn.qkv/linear``); ``name`` names its output value;
    ``args``/``kwargs`` hold :class:`Ref` where a value enters. ``fold`` groups ops that form one idea.
    ``layer_type`` is the class of the module that ``layer`` names.
    ``folded_into`` is the id of the convolution that absorbed this batch norm, else empty.
    """

    id: str
    name: str
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    layer: str
    kind: str
    role: Role
    output: TensorType | None
    source: str = ""
    source_line: str = ""
    layer_type: str = ""
    fold: str = ""
    folded_into: str = ""

    @cached_property
    def refs(self) -> tuple[str, ...]:
        """Names of the values this op reads, in order, each once."""
        return tuple(dict.fromkeys(iterate_refs((self.args, tuple(self.kwargs.values())))))

    @property
    def has_precision(self) -> bool:
        """Whether a precision can be chosen for this op (so whether it is a row)."""
        return self.role in ("compute", "sensitive", "elementwise") and not self.folded_into


def iterate_refs(tree: Any) -> Iterator[str]:
    """Yield the names of all :class:`Ref` in nested tuples, lists, dicts and slices."""
    if isinstance(tree, Ref):
        yield tree.name
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            yield from iterate_refs(item)
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from iterate_refs(item)


def map_refs(tree: Any, change: Callable[[Ref], Any]) -> Any:
    """Return ``tree`` with every :class:`Ref` replaced by ``change(ref)``; tuples stay tuples, lists lists."""
    if isinstance(tree, Ref):
        return change(tree)
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_refs(item, change) for item in tree)
    if isinstance(tree, Mapping):
        return {key: map_refs(item, change) for key, item in tree.items()}
    return tree


@dataclass(frozen=True, eq=False)
class ModelGraph:
    """A captured model: ``ops`` in execution order, ``constants`` by value name, ``inputs`` and the one ``output``.

    ``parameters`` maps the value name of a constant to the name it has in the model's state dict. Constants are
    the model's own tensors (never written to) or new ones that a rewrite made.
    """

    name: str
    ops: tuple[Op, ...]
    constants: Mapping[str, Tensor]
    parameters: Mapping[str, str]
    inputs: tuple[str, ...]
    output: Ref
    fingerprint: str
    input_types: tuple[TensorType, ...] = field(default=())

    @cached_property
    def rows(self) -> tuple[Op, ...]:
        """The ops that have a precision."""
        return tuple(op for op in self.ops if op.has_precision)

    @cached_property
    def row_ids(self) -> frozenset[str]:
        """The ids of :attr:`rows`."""
        return frozenset(op.id for op in self.rows)

    @cached_property
    def row_places(self) -> tuple[int, ...]:
        """The positions of :attr:`rows` in the order of execution."""
        return tuple(place for place, op in enumerate(self.ops) if op.has_precision)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Op id -> its position in the order of execution."""
        return {op.id: place for place, op in enumerate(self.ops)}

    @cached_property
    def by_id(self) -> Mapping[str, Op]:
        return {op.id: op for op in self.ops}

    @cached_property
    def producer(self) -> Mapping[str, Op]:
        """The op that makes each value."""
        return {op.name: op for op in self.ops}

    @cached_property
    def users(self) -> Mapping[str, tuple[Op, ...]]:
        """The ops that read each value, in order."""
        users: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in op.refs:
                users.setdefault(name, []).append(op)
        return {name: tuple(ops) for name, ops in users.items()}

    @cached_property
    def last_use(self) -> Mapping[str, int]:
        """The position of the last op that reads each value; the output is read after the last op."""
        last = {name: index for index, op in enumerate(self.ops) for name in op.refs}
        return last | {self.output.name: len(self.ops)}

    def is_floating(self, name: str) -> bool:
        """Whether the value is a floating-point tensor (or a tuple of them)."""
        if name in self.constants:
            return self.constants[name].is_floating_point()
        if name in self.producer:
            type_ = self.producer[name].output
            return type_ is not None and type_.floating
        return dict(zip(self.inputs, self.input_types, strict=True))[name].floating

    def with_ops(self, ops: tuple[Op, ...], constants: Mapping[str, Tensor] | None = None) -> ModelGraph:
        """Return this graph with other ops and, where given, more constants."""
        merged = {**self.constants, **(constants or {})}
        return replace(self, ops=ops, constants=merged)

    def weights_of(self, op: Op) -> tuple[str, ...]:
        """Names of the floating constants that ``op`` reads."""
        return tuple(n for n in op.refs if n in self.constants and self.constants[n].is_floating_point())
