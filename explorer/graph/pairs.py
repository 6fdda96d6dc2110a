"""Pairs of ops between which a channel can be made larger or smaller without changing the function.

A producer's weight gives every channel of its output a factor; the linears that read that output take each channel with
one column of theirs. Dividing the one and multiplying the other cancels, if nothing else sees the channels on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from explorer.graph.ir import ModelGraph, Op, Ref, TensorType
from explorer.graph.roles import operator_name

_LINEARS = {"linear": (0, 1, 2, 1), "addmm": (1, 2, 0, 0), "mm": (0, 1, None, 0), "matmul": (0, 1, None, 0)}
"""Positions of x, weight and bias among an operator's arguments, and the dimension of the weight that x meets."""

_ROW_MAJOR = frozenset("reshape view flatten unflatten squeeze unsqueeze expand contiguous clone relu".split())
"""Operators after which a channel is where it was, if the last dimension is as long as before.

ReLU is among them because max(0, x / s) = max(0, x) / s for s > 0.
"""

_DIMS: Mapping[str, Callable[[tuple[Any, ...]], Any]] = {
    "transpose": lambda args: args[1:3],
    "slice": lambda args: args[1:2] or (0,),
    "select": lambda args: args[1:2],
    "mean": lambda args: args[1] if len(args) > 1 else (-1,),
    "sum": lambda args: args[1] if len(args) > 1 else (-1,),
}
"""Operators that leave every channel to itself unless the dimensions they name include the last."""


@dataclass(frozen=True)
class Part:
    """A constant of the graph, and the dimension along which it holds channels."""

    constant: str
    dim: int


@dataclass(frozen=True)
class Pair:
    """A producer and all the linears that read it: op ids, and the constants that a rescaling would change.

    channels: how many there are. divided: the producer's weight and bias. multiplied: the linears' weights.
    inputs: the values that the linears read, with channels last.
    """

    producer: str
    consumers: tuple[str, ...]
    channels: int
    divided: tuple[Part, ...]
    multiplied: tuple[Part, ...]
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Pairing:
    """The pairs of a graph in execution order, and for every linear that is in none the reason."""

    pairs: tuple[Pair, ...]
    refused: Mapping[str, str]


def find_pairs(graph: ModelGraph) -> Pairing:
    """Return which ops of ``graph`` can trade the sizes of their channels, and why the other linears cannot.

    A producer is a layer norm or RMS norm with a weight, a product with a constant vector (so an RMS norm in pieces),
    or a linear. Between it and the linears may stand what leaves channels to themselves: views of other dimensions,
    means over them, ReLU, a product with another activation (the up branch of a gated MLP). Whatever else reads the
    producer's output on the way, a residual for one, rules the pair out, as do weights that several ops read.
    """
    pairs: dict[str, Pair] = {}
    refused: dict[str, str] = {}
    for op in graph.ops:
        if op.kind != "linear" or op.role != "compute":
            continue
        found = _pair_of(graph, op)
        if isinstance(found, Pair):
            pairs[found.producer] = found
        else:
            refused[op.id] = found
    order = {op.id: index for index, op in enumerate(graph.ops)}
    return Pairing(tuple(sorted(pairs.values(), key=lambda pair: order[pair.producer])), refused)


def _pair_of(graph: ModelGraph, linear: Op) -> Pair | str:
    """The pair that this linear belongs to, or why there is none."""
    x = _input_of(linear)
    if x is None or _columns(graph, linear) is None:
        return "its weight is computed while the model runs"
    origins = _trace(graph, x)
    if isinstance(origins, str):
        return origins
    found = [_join(graph, origin) for origin in origins]
    return next((pair for pair in found if isinstance(pair, Pair)), found[0])


def _join(graph: ModelGraph, producer: Op) -> Pair | str:
    """The pair of a producer and all that reads it, or why that cannot be."""
    divided = _rows(graph, producer) or ()
    consumers = _reach(graph, producer)
    if isinstance(consumers, str):
        return consumers
    multiplied = [(op, part) for op in consumers if (part := _columns(graph, op)) is not None]
    for op, part in [*((producer, part) for part in divided), *multiplied]:
        others = [user.id for user in graph.users[part.constant] if user is not op]
        if others:
            return f"the weight of {op.id!r} is also that of {others[0]!r}"
    return Pair(
        producer.id,
        tuple(op.id for op in consumers),
        graph.constants[divided[0].constant].shape[divided[0].dim],
        divided,
        tuple(part for _, part in multiplied),
        tuple(dict.fromkeys(x for op in consumers if (x := _input_of(op)) is not None)),
    )


def _trace(graph: ModelGraph, value: str) -> list[Op] | str:
    """The nearest producers above ``value`` that scale its channels one by one, or what stands in the way."""
    op = graph.producer.get(value)
    if op is None:
        return f"it reads {value!r}, which no weight of the model makes"
    divided = _rows(graph, op)
    if divided is not None:
        return [op] if divided else f"{op.id!r} before it has no constant weight that could take a factor"
    found = [_trace(graph, source) for source in _sources(graph, op)]
    origins = [origin for origin_list in found if isinstance(origin_list, list) for origin in origin_list]
    reasons = [reason for reason in found if isinstance(reason, str)]
    if origins:
        return origins
    return reasons[0] if reasons else f"{op.id!r} comes before it, through which a factor per channel does not pass"


def _reach(graph: ModelGraph, producer: Op) -> list[Op] | str:
    """The linears that take every channel of the producer's output, or what else sees it."""
    linears: list[Op] = []
    carried = [producer.name]
    for value in carried:  # grows as it is walked
        if value == graph.output.name:
            return f"the output of {producer.id!r} is the model's output"
        for user in graph.users.get(value, ()):
            if _input_of(user) == value and _columns(graph, user) is not None:
                linears.append(user)
            elif _rows(graph, user) is None and _sources(graph, user).count(value) == 1 and user.name not in carried:
                carried.append(user.name)
            else:
                return f"{user.id!r} also takes the output of {producer.id!r}, whose channels would change"
    return linears


def _rows(graph: ModelGraph, op: Op) -> tuple[Part, ...] | None:
    """The constants that give the channels of an op's output their size: () where they are none, None for other ops."""
    name = operator_name(op.target)
    if name in ("layer_norm", "rms_norm"):
        parts = _parts(graph, op.args[2 : 4 if name == "layer_norm" else 3], 0)
        weighted = len(op.args) > 2 and op.args[2] is not None and len(op.args[1]) == 1
        return parts if parts and weighted else ()
    if name == "mul":
        vectors = [part for arg in op.args if (part := _vector(graph, op, arg)) is not None]
        return tuple(vectors) if len(vectors) == 1 else None
    if name not in _LINEARS or op.kind != "linear":
        return None
    _, weight_at, bias_at, inner = _LINEARS[name]
    bias = op.args[bias_at : bias_at + 1] if bias_at is not None else ()
    weight = _parts(graph, op.args[weight_at : weight_at + 1], 1 - inner)
    biases = _parts(graph, bias, 0)
    return () if op.kwargs or not weight or biases is None else (*weight, *biases)


def _parts(graph: ModelGraph, args: tuple[Any, ...], dim: int) -> tuple[Part, ...] | None:
    """The constants among the arguments, left out ones aside; None where one is no constant with that dimension."""
    given = [arg for arg in args if arg is not None]
    known = [arg.name for arg in given if isinstance(arg, Ref) and arg.name in graph.constants]
    fits = len(known) == len(given) and all(graph.constants[name].dim() > dim for name in known)
    return tuple(Part(name, dim) for name in known) if fits else None


def _vector(graph: ModelGraph, op: Op, arg: Any) -> Part | None:
    """The argument of a product where it is a constant with one value per channel."""
    if not isinstance(arg, Ref) or arg.name not in graph.constants or op.output is None or not op.output.shape:
        return None
    constant = graph.constants[arg.name]
    one_each = constant.dim() > 0 and constant.numel() == constant.shape[-1] == op.output.shape[-1]
    return Part(arg.name, constant.dim() - 1) if one_each and constant.is_floating_point() else None


def _columns(graph: ModelGraph, op: Op) -> Part | None:
    """The weight of a linear, with the dimension that meets its input's channels; None for other ops."""
    name = operator_name(op.target)
    if name not in _LINEARS or op.kind != "linear" or _input_of(op) is None:
        return None
    _, weight_at, _, inner = _LINEARS[name]
    parts = _parts(graph, op.args[weight_at : weight_at + 1], inner)
    return parts[0] if parts else None


def _input_of(op: Op) -> str | None:
    """The value that a linear multiplies, where nothing else of the op reads it."""
    name = operator_name(op.target)
    x = op.args[_LINEARS[name][0]] if name in _LINEARS and op.kind == "linear" else None
    rest = [arg for arg in op.args if arg is not x]
    return x.name if isinstance(x, Ref) and x not in rest else None


def _sources(graph: ModelGraph, op: Op) -> list[str]:
    """The inputs of an op whose channels, each times its factor, come out times that factor; none for other ops."""
    name = operator_name(op.target)
    if op.output is None or not op.output.floating or not op.output.shape:
        return []
    floats = [arg.name for arg in op.args if isinstance(arg, Ref) and graph.is_floating(arg.name)]
    width = op.output.shape[-1]
    same = [value for value in floats if _last(_type_of(graph, value)) == width and isinstance(width, int)]
    if name == "mul":
        return [value for value in same if value not in graph.constants]
    alone = len(floats) == 1 and same == floats
    if name in _ROW_MAJOR or name == "permute" or name in _DIMS:
        return same if alone and not _touches_last(graph, op, name) else []
    return []


def _touches_last(graph: ModelGraph, op: Op, name: str) -> bool:
    """Whether an op of one input moves, cuts or sums the last dimension."""
    type_ = _type_of(graph, op.args[0].name)
    rank = len(type_.shape) if type_ is not None else 0
    if name == "permute":
        return bool(op.args[1][-1] % rank != rank - 1)
    if name not in _DIMS:
        return False
    dims = _DIMS[name](op.args)
    return not dims or any(dim % rank == rank - 1 for dim in dims)


def _type_of(graph: ModelGraph, value: str) -> TensorType | None:
    if value in graph.producer:
        return graph.producer[value].output
    return dict(zip(graph.inputs, graph.input_types, strict=True)).get(value)


def _last(type_: TensorType | None) -> Any:
    return type_.shape[-1] if type_ is not None and type_.shape else None
