"""The ranges of a model's tensors on some data, as one value that merges. (Effect: disk, where asked to save.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from explorer.errors import DataError, SelectionError
from explorer.graph import ModelGraph
from explorer.ranges import TensorRange

Ranges = Mapping[str, TensorRange]
OUTPUT, INPUT, WEIGHT = "output", "input:", "weight:"


@dataclass(frozen=True, eq=False)
class RangeSet:
    """The ranges of every floating tensor of a model over ``samples`` samples.

    values: by value name, graph inputs and outputs of ops. Values of the same elements (a tensor and what only
    reshapes, permutes or passes it on) are one object under several names. weights: by the name of the constant.
    slices: label -> ranges by value name, of what that label's samples or tokens brought about.
    fixed: the values that no sample changes, such as a table of positions: counted once, not per batch.
    fingerprint: the model's, then of the samples; the same for the same samples in any order and split.
    """

    values: Ranges
    weights: Ranges
    slices: Mapping[str, Ranges]
    samples: int
    fingerprint: str
    fixed: frozenset[str] = field(default=frozenset())

    def save(self, path: str | Path) -> None:
        """Write the ranges to a file (.npz), exactly."""
        from explorer.observe.store import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> RangeSet:
        """Read what :meth:`save` wrote. Raises :class:`DataError` where the file is none of it."""
        from explorer.observe.store import load

        return load(path)

    def merge(self, other: RangeSet) -> RangeSet:
        """The ranges over the samples of both, equal for any split of the same samples.

        Raises :class:`DataError` where they are not of one model. What never saw data, weights and fixed values, stays.
        """
        model, data = _split(self.fingerprint)
        other_model, other_data = _split(other.fingerprint)
        if model != other_model:
            raise DataError("merge two sets of ranges", f"they are of models {model} and {other_model}", "one model's")
        labels = dict.fromkeys((*self.slices, *other.slices))
        return RangeSet(
            _merge(self.values, other.values, self.fixed),
            {**other.weights, **self.weights},
            {label: _merge(self.slices.get(label, {}), other.slices.get(label, {})) for label in labels},
            self.samples + other.samples,
            make_fingerprint(model, data + other_data),
            self.fixed | other.fixed,
        )

    def of(self, graph: ModelGraph, op: str, port: str = OUTPUT, label: str = "") -> TensorRange | None:
        """The range at a port of an op: ``"output"``, ``"input:<k>"`` (k counts as ``Op.refs``), ``"weight:<name>"``.

        label: of a slice. None where the tensor there is not floating, or that slice has none of it. Raises
        :class:`SelectionError` for ports, ops and labels that there are not.
        """
        if op not in graph.by_id:
            raise SelectionError(f"the range of op {op!r}", "the graph has no such op", "an op id of the graph")
        if label and label not in self.slices:
            found = f"the slices are {', '.join(self.slices) or 'none'}"
            raise SelectionError(f"the ranges of slice {label!r}", found, "one of them, or slices= when observing")
        names = ports(graph, op)
        if port not in names:
            raise SelectionError(f"the range at {port!r} of {op!r}", f"its ports are {', '.join(names)}", "one of them")
        if port.startswith(WEIGHT):
            return self.weights.get(names[port])
        return (self.slices[label] if label else self.values).get(names[port])


def ports(graph: ModelGraph, op: str) -> dict[str, str]:
    """The floating tensors at an op, as port -> name of the value or constant."""
    node = graph.by_id[op]
    found = {OUTPUT: node.name}
    for place, name in enumerate(node.refs):
        if name in graph.constants:
            if graph.constants[name].is_floating_point():
                found[WEIGHT + graph.parameters.get(name, name)] = name
        elif graph.is_floating(name):
            found[f"{INPUT}{place}"] = name
    return found


def make_fingerprint(model: str, data: int) -> str:
    """The fingerprint of a model on samples, whose digests ``data`` sums up."""
    return f"{model}:{data % 2**64:016x}"


def _split(fingerprint: str) -> tuple[str, int]:
    model, _, data = fingerprint.rpartition(":")
    return model, int(data, 16)


def _merge(mine: Ranges, theirs: Ranges, kept: frozenset[str] = frozenset()) -> dict[str, TensorRange]:
    """Both by name; ranges that are one object under several names stay one."""
    joined: dict[tuple[int, int], TensorRange] = {}
    found: dict[str, TensorRange] = {}
    for name in dict.fromkeys((*mine, *theirs)):
        if name in kept or name not in theirs:
            found[name] = mine[name] if name in mine else theirs[name]
        elif name not in mine:
            found[name] = theirs[name]
        else:
            key = id(mine[name]), id(theirs[name])
            if key not in joined:
                joined[key] = mine[name].merge(theirs[name])
            found[name] = joined[key]
    return found
