"""What to count of a graph: each set of elements once, along which channels, and for which samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from explorer.graph import ModelGraph, Op, TensorType
from explorer.graph.ir import Dim, Ref
from explorer.graph.roles import operator_name

SAME_ELEMENTS = frozenset(
    "view reshape permute transpose t unsqueeze squeeze flatten unflatten alias detach contiguous clone _unsafe_view "
    "movedim lift_fresh_copy lift_fresh dropout feature_dropout alpha_dropout roll flip pixel_shuffle "
    "pass_through".split()
)
"""Operators whose output has the elements of their first input, each once, in whatever order."""
PARTS = frozenset("split split_with_sizes chunk unbind".split())
"""Operators whose outputs have the elements of their input together, each once."""
PIXELS = frozenset(
    "conv1d conv2d conv3d convolution conv_transpose2d batch_norm _native_batch_norm_legit_no_training group_norm "
    "instance_norm max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d upsample_nearest2d "
    "upsample_bilinear2d pixel_shuffle pixel_unshuffle".split()
)
"""Operators whose outputs are [n, channels, ...]."""
RECTIFIED = "relu"
"""The operator whose output's range follows from what is counted of its input."""
BATCH = "batch"


@dataclass(frozen=True)
class Watched:
    """A value to count: where its samples are, and its channels.

    batch_axis: the axis that the samples are along, alone or with more folded in after them; None for a value that does
    not depend on how many there are. channel_axes: [n, C, ...] has (1,), tokens (-1,), and heads of tokens (1, -1).
    rectified: the counted value that is a ReLU of this one, so that its range is found along with this one's.
    """

    name: str
    batch_axis: int | None
    channel_axes: tuple[int, ...]
    rectified: str | None = None

    @property
    def channel_axis(self) -> int | None:
        """The axis as ``TensorRange`` has it."""
        return self.channel_axes[-1] if self.channel_axes else None


@dataclass(frozen=True)
class Watch:
    """What to count of a graph's values.

    counted: by name, those whose elements no other has. same: the names of all floating values -> the counted value, or
    the tuple of them that together have the value's elements.
    """

    counted: Mapping[str, Watched]
    same: Mapping[str, tuple[str, ...]]

    @property
    def fixed(self) -> frozenset[str]:
        """The values that are counted once, whatever the number of batches."""
        return frozenset(
            name
            for name, sources in self.same.items()
            if all(self.counted[source].batch_axis is None for source in sources)
        )


def choose_watched(graph: ModelGraph) -> Watch:
    """Choose what to count so that every floating input and output of an op is known, from as few elements as can be.

    Integer and mask arithmetic is left out unless a floating op reads its result. Where only the parts of a tensor are
    read on (the queries, keys and values of one linear), they are counted and the tensor is what they hold together.
    """
    types = dict(zip(graph.inputs, graph.input_types, strict=True))
    types |= {op.name: op.output for op in graph.ops if op.output is not None}
    read = {name for op in graph.ops if op.role != "integer" for name in op.refs}
    layouts = _find_layouts(graph, types)
    source: dict[str, str] = {}
    for name in (*graph.inputs, *(op.name for op in graph.ops)):
        if name not in types or not types[name].floating:
            continue
        op = graph.producer.get(name)
        if op is not None and op.role == "integer" and name not in read:
            continue
        first = op.args[0].name if op is not None and _passes_on(op) else name
        source[name] = source.get(first, name)
    parts = _find_parts(graph, source)
    same = {name: parts.get(origin, (origin,)) for name, origin in source.items()}
    needed = dict.fromkeys(each for sources in same.values() for each in sources)
    counted = {name: _watch(name, types[name], layouts[name]) for name in needed}
    rectified = _find_rectified(graph, types, same, counted)
    counted |= {name: replace(counted[name], rectified=output) for name, output in rectified.items()}
    return Watch(counted, same)


def _find_rectified(
    graph: ModelGraph,
    types: Mapping[str, TensorType],
    same: Mapping[str, tuple[str, ...]],
    counted: Mapping[str, Watched],
) -> dict[str, str]:
    """Counted values -> the first counted one that is a ReLU of it, of its shape and counted along the same axes."""
    found: dict[str, str] = {}
    for op in graph.ops:
        if operator_name(op.target) != RECTIFIED or op.name not in counted:
            continue
        sources = same.get(op.refs[0], ())
        if len(sources) != 1 or types[sources[0]] != types[op.name]:
            continue
        if replace(counted[sources[0]], name=op.name) == counted[op.name]:
            found.setdefault(sources[0], op.name)
    return found


def _passes_on(op: Op) -> bool:
    return operator_name(op.target) in SAME_ELEMENTS and bool(op.args) and isinstance(op.args[0], Ref)


def _find_parts(graph: ModelGraph, source: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Values -> the outputs of the one op that divides them, where each of these is taken."""
    found: dict[str, tuple[str, ...]] = {}
    for op in graph.ops:
        if operator_name(op.target) not in PARTS or op.name not in source:
            continue
        origin = source.get(op.args[0].name)
        taken = {user.args[1]: user.name for user in graph.users.get(op.name, ())}
        count = _count_parts(graph, op)
        if origin is not None and count == len(taken) and all(source.get(name) == name for name in taken.values()):
            found.setdefault(origin, tuple(taken[place] for place in sorted(taken)))
            found[op.name] = found[origin]
    return found


def _count_parts(graph: ModelGraph, op: Op) -> int | None:
    """How many outputs an op that divides a tensor has; None where its sizes are not all known."""
    kind = operator_name(op.target)
    if kind == "split_with_sizes" or (kind == "split" and isinstance(op.args[1], (tuple, list))):
        return len(op.args[1])
    axis = int(op.kwargs.get("dim", op.args[-1] if len(op.args) > (1 if kind == "unbind" else 2) else 0))
    shape = _shape_of(graph, op.args[0].name)
    size = shape[axis]
    if not isinstance(size, int):
        return None
    if kind == "unbind":
        return size
    each = int(op.args[1]) if kind == "split" else -(-size // int(op.args[1]))
    return -(-size // each)


def _shape_of(graph: ModelGraph, name: str) -> tuple[Dim, ...]:
    op = graph.producer.get(name)
    type_ = op.output if op is not None else dict(zip(graph.inputs, graph.input_types, strict=True)).get(name)
    return type_.shape if type_ is not None else graph.constants[name].shape


def _find_layouts(graph: ModelGraph, types: Mapping[str, TensorType]) -> dict[str, bool]:
    """Whether each value is [n, channels, ...]: what convolutions give, what elementwise ops make of that, images."""
    pixels = {name: len(types[name].shape) == 4 for name in graph.inputs if name in types}
    for op in graph.ops:
        if op.name not in types:
            continue
        rank = len(types[op.name].shape)
        alike = (ref for ref in _activations(graph, op.refs) if ref in types and len(types[ref].shape) == rank)
        inherited = any(pixels.get(name, False) for name in alike)
        reorders = operator_name(op.target) in SAME_ELEMENTS and op.kind not in ("batch_norm", "clone", "contiguous")
        products = op.kind in ("linear", "matmul", "attention", "layer_norm")
        pixels[op.name] = operator_name(op.target) in PIXELS or (inherited and not reorders and not products)
    return pixels


def _activations(graph: ModelGraph, refs: Iterable[str]) -> list[str]:
    return [name for name in refs if name not in graph.constants]


def _watch(name: str, type_: TensorType, pixels: bool) -> Watched:
    shape = type_.shape
    batch_axis = next((axis for axis, size in enumerate(shape) if isinstance(size, str) and BATCH in size), None)
    if pixels and len(shape) > 2:
        axes: tuple[int, ...] = (1,)
    elif len(shape) == 4 and batch_axis == 0:
        axes = (1, -1)
    else:
        axes = (-1,)
    known = tuple(a for a in axes if len(shape) > 1 and isinstance(shape[a], int) and a % len(shape) != batch_axis)
    channels = 1
    for axis in known:
        channels *= int(shape[axis])
    return Watched(name, batch_axis, known if channels > 1 else ())
