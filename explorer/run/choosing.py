"""The choice of a kernel for each op of a recipe, by what is before and after it in the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from explorer.graph import ModelGraph, Op, Ref
from explorer.graph.roles import operator_name
from explorer.kernels import (
    ACTIVATION_KERNELS,
    CARRIERS,
    CODE_WRITERS,
    Kernel,
    Option,
    Selection,
    Site,
    activation_of,
    choose,
)
from explorer.measure import Device
from explorer.recipe import Recipe

Shapes = Mapping[str, tuple[int, ...]]
Made = Callable[[str], Kernel | None]
"""The kernel that makes a value that was made before (None: views, integer ops, inputs)."""


class Chooser:
    """Chooses kernels for the ops of one graph on one device; keeps what does not depend on the recipe."""

    def __init__(self, graph: ModelGraph, device: Device, shapes: Shapes) -> None:
        self.graph, self.device, self.shapes = graph, device, shapes
        self.sites = {op.id: _site(graph, op, shapes) for op in graph.ops}
        self._selections: dict[tuple[str, str], Selection] = {}
        self.places = {op.name: place for place, op in enumerate(graph.ops)}
        self._following = {op.id: found for op in graph.rows if (found := self._activation(op)) is not None}
        self._leading = {op.id: writer for op in graph.rows if (writer := self._code_writer(op)) is not None}
        self._leaders = {written: op for op, (written, _) in self._leading.items()}

    def select(self, op: str, precision: str) -> Selection:
        """Return the kernel chosen for an op by itself in a precision, with the refusals on the way."""
        key = (op, precision)
        found = self._selections.get(key)
        if found is None:
            found = self._selections[key] = choose(self.sites[op], precision, self.device)
        return found

    def option(self, op: str, precision: str) -> Option:
        return self.select(op, precision).option

    def forget(self) -> None:
        """Choose anew: rivals were measured since."""
        self._selections = {}

    def select_in(self, op: Op, recipe: Recipe, made: Made, fp32: str) -> Selection:
        """Return the kernel of an op in a recipe. ``fp32`` is what its FP32 ops are asked in: "fp32", or best FP32."""
        precision = recipe.precisions[op.id]
        asked = fp32 if precision == "fp32" else precision
        if precision == "fp32":
            found = self._follow(op, made) or self._lead(op, recipe)
            if found is not None:
                return found
        return self.select(op.id, asked)

    def leaders_of(self, reader: Op) -> Iterator[str]:
        """Yield the ids of ops whose kernel may depend on the precision of ``reader``: it reads what they could write
        as codes."""
        return (self._leaders[name] for name in reader.refs if name in self._leaders)

    def takes(self, op: Op, kernel: Kernel, made: Made) -> dict[str, str]:
        """Return the carrier in which an op's kernel takes each floating value that flows into it."""
        site = self.sites[op.id]
        takes = _takes(site, kernel, [name for name in site.inputs if name in site.floating])
        if CARRIERS[kernel.takes].static and op.role != "compute":
            takes |= dict.fromkeys(self._fused_term(site, made), "fp32")
        return takes

    def _activation(self, op: Op) -> tuple[str, str, Selection] | None:
        """Of an activation with a kernel of its own: its name, the value that it alone reads, and that kernel."""
        name = activation_of(op)
        alone = ACTIVATION_KERNELS.get((self.device.type, name))
        return None if alone is None else (name, self._made_alone(op.refs[0]), Selection("fp32", alone, ()))

    def _follow(self, op: Op, made: Made) -> Selection | None:
        """An activation right after a product that can take it in is computed by the function that the product uses."""
        if op.id not in self._following:
            return None
        name, value, found = self._following[op.id]
        maker = made(value)
        return found if maker is not None and name in maker.fuses else None

    def _code_writer(self, op: Op) -> tuple[str, Selection] | None:
        """The kernel that could write an op's result as codes, and the value that it would write."""
        kernel = CODE_WRITERS.get((self.device.type, op.kind))
        if kernel is None or kernel.refuse(self.sites[op.id], self.device):
            return None
        name = written_value(self.graph, op, kernel, self.shapes)
        return (name, Selection("fp32", kernel, ())) if name and self.graph.output.name != name else None

    def _lead(self, op: Op, recipe: Recipe) -> Selection | None:
        """An op is computed by the kernel that can write codes where these, in one carrier, are all that is read."""
        if op.id not in self._leading:
            return None
        name, found = self._leading[op.id]
        assert found.kernel is not None
        carriers = {self._carrier_read(name, reader, recipe) for reader in self.graph.users.get(name, ())}
        return found if len(carriers) == 1 and writes(found.kernel, carriers.pop()) else None

    def _carrier_read(self, name: str, reader: Op, recipe: Recipe) -> str:
        """The carrier in which ``reader`` will take a value; none where it takes what comes, or cannot run."""
        kernel = self.select(reader.id, recipe[reader.id]).kernel if reader.has_precision else None
        return "" if kernel is None else _takes(self.sites[reader.id], kernel, [name])[name]

    def _fused_term(self, site: Site, made: Made) -> tuple[str, ...]:
        """The term of a sum that its product's kernel can add to before it is ever stored: the later such one."""
        terms = [
            (self.places[source], name)
            for name in site.inputs
            if (maker := made(source := self._made_alone(name))) is not None and {"addend", "codes"} <= maker.fuses
        ]
        return (max(terms)[1],) if terms else ()

    def _made_alone(self, name: str) -> str:
        """The value which only one op reads, looking back through folded norms, which pass it on; "" if others do."""
        maker = self.graph.producer.get(name)
        if maker is None or len(self.graph.users[name]) != 1 or self.graph.output.name == name:
            return ""
        return self._made_alone(maker.refs[0]) if maker.folded_into else name


def written_value(graph: ModelGraph, op: Op, kernel: Kernel, shapes: Shapes) -> str:
    """Return the value that ``kernel`` writes where it writes codes: its op's, or the one with all heads joined."""
    if "heads" not in kernel.fuses:
        return op.name
    joined = find_joining(graph, op, shapes)
    return joined[-1].name if joined else ""


def find_joining(graph: ModelGraph, op: Op, shapes: Shapes) -> tuple[Op, ...]:
    """Return the views that alone read a [batches, heads, tokens, depth] and join the heads of a token, or nothing.

    That is a transposition, then a reshape to [batches, tokens, heads * depth].
    """
    turned = _only_reader(graph, op)
    joined = None if turned is None else _only_reader(graph, turned)
    shape = shapes.get(op.name, ())
    if turned is None or joined is None or len(shape) != 4 or not _turns_heads(turned):
        return ()
    batches, heads, tokens, depth = shape
    wanted = (batches, tokens, heads * depth)
    is_reshape = operator_name(joined.target) in ("reshape", "view", "_unsafe_view", "flatten")
    return (turned, joined) if is_reshape and shapes.get(joined.name) == wanted else ()


def _only_reader(graph: ModelGraph, op: Op) -> Op | None:
    readers = graph.users.get(op.name, ())
    return readers[0] if len(readers) == 1 and graph.output.name != op.name else None


def _turns_heads(op: Op) -> bool:
    """Whether an op makes [b, t, h, d] of [b, h, t, d]."""
    name, dims = operator_name(op.target), op.args[1:]
    if name == "transpose":
        return {dim % 4 for dim in dims} == {1, 2}
    return name == "permute" and [dim % 4 for dim in dims[0]] == [0, 2, 1, 3]


def _site(graph: ModelGraph, op: Op, shapes: Shapes) -> Site:
    constants = {n: graph.constants[n] for n in op.refs if n in graph.constants}
    flowing = [n for n in op.refs if n not in constants]
    return Site(
        op,
        constants,
        {n: shapes[n] for n in flowing if n in shapes},
        frozenset(n for n in flowing if graph.is_floating(n)),
        _find_after(graph, op, shapes),
    )


def _find_after(graph: ModelGraph, op: Op, shapes: Shapes) -> tuple[str, ...]:
    """What alone reads the result of a product: a plain sum, then an activation. Folded norms pass it on."""
    found: list[str] = []
    while op.role == "compute" or op.folded_into or found == ["addend"]:
        reader = _only_reader(graph, op)
        if reader is None:
            break
        if activation := activation_of(reader):
            found.append(activation)
        elif not found and is_plain_sum(reader, shapes):
            found.append("addend")
        elif not reader.folded_into:
            break
        op = reader
    return tuple(found)


def is_plain_sum(op: Op, shapes: Shapes) -> bool:
    """Whether an op adds two different tensors of one shape and does nothing else."""
    if op.target is not torch.ops.aten.add.Tensor or op.kwargs:
        return False
    names = [arg.name for arg in op.args if isinstance(arg, Ref)]
    return len(set(names)) == 2 and shapes.get(names[0]) == shapes.get(names[1]) is not None


def writes(kernel: Kernel, carrier: str) -> bool:
    """Whether a kernel that gives FP32 can write its result in another carrier ("" is none)."""
    return carrier in CARRIERS and CARRIERS[carrier].written in kernel.fuses


def _takes(site: Site, kernel: Kernel, floating: list[str]) -> dict[str, str]:
    """Convert every float to a native carrier; to a scaled one only what is multiplied (not a mask)."""
    if CARRIERS[kernel.takes].scheme is None:
        return dict.fromkeys(floating, kernel.takes)
    return {name: kernel.takes if name in site.operands else "fp32" for name in floating}
