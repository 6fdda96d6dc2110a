"""Where a kernel runs: one op with its constants and concrete shapes, and what that op multiplies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from explorer.graph import Op, Ref
from explorer.graph.roles import operator_name

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Site:
    """One op at concrete shapes.

    ``constants`` are the tensors of the model that the op reads, by value name. ``shapes`` are those of the tensors
    that flow in, and ``floating`` the names of those that are floating point. ``after`` is what alone reads the result,
    as far as an epilogue might take it in: ``"addend"``, then the name of an activation.
    """

    op: Op
    constants: Mapping[str, Tensor]
    shapes: Mapping[str, Shape]
    floating: frozenset[str]
    after: tuple[str, ...] = ()

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that arrive at run time, in the order in which a built kernel takes them."""
        return tuple(name for name in self.op.refs if name not in self.constants)

    @cached_property
    def product(self) -> Product | None:
        """What the op multiplies, when one side is a constant weight."""
        return find_product(self)

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """Names of the flowing values that the op multiplies (a mask or an addend is none of them)."""
        if self.product is not None:
            return (self.product.x,)
        first = 1 if operator_name(self.op.target) in ("addmm", "baddbmm") else 0
        last = {"attention": 3, "matmul": first + 2}.get(self.op.kind, len(self.op.args))
        multiplied = [arg.name for arg in self.op.args[first:last] if isinstance(arg, Ref)]
        return tuple(name for name in multiplied if name in self.inputs)

    @property
    def rows(self) -> int:
        """M of the matrix product: how many rows the weight is applied to."""
        if self.product is None:
            return 0
        shape = self.shapes[self.product.x]
        size = 1
        for dim in shape[:-1]:
            size *= dim
        return size


@dataclass(frozen=True, eq=False)
class Product:
    """A value times a constant weight. ``weight``: [out, in] for a matrix product, [out, in / groups, ...] for a
    convolution, whose other arguments are ``settings``."""

    x: str
    weight: Tensor
    bias: Tensor | None
    settings: tuple[Any, ...] = ()


def find_product(site: Site) -> Product | None:
    """Return the product of a linear or convolution op with a constant weight, else None.

    Understands ``linear``, ``addmm``, ``mm`` and ``matmul`` (whose weight is stored [in, out]) and ``conv1d/2d/3d``.
    """
    args, name = site.op.args, operator_name(site.op.target)

    def constant(index: int) -> Tensor | None:
        ref = args[index] if len(args) > index else None
        return site.constants.get(ref.name) if isinstance(ref, Ref) else None

    x_at, weight_at, bias_at, transpose = {
        "linear": (0, 1, 2, False),
        "addmm": (1, 2, 0, True),
        "mm": (0, 1, 9, True),
        "matmul": (0, 1, 9, True),
        "conv1d": (0, 1, 2, False),
        "conv2d": (0, 1, 2, False),
        "conv3d": (0, 1, 2, False),
    }.get(name, (0, 9, 9, False))
    weight, x = constant(weight_at), args[x_at] if args else None
    if weight is None or weight.dim() < 2 or not isinstance(x, Ref) or x.name in site.constants:
        return None
    bias_given = len(args) > bias_at and args[bias_at] is not None
    bias = constant(bias_at)
    if (bias_given and bias is None) or (name == "addmm" and site.op.kwargs):
        return None
    weight = weight.t() if transpose else weight
    return Product(x.name, weight.detach(), bias, tuple(args[3:]) if name.startswith("conv") else ())


@dataclass(frozen=True)
class StaticScale:
    """The scale of UINT8 codes that was fixed beforehand: value = (code - zero_point) * scale."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Post:
    """What a kernel may do to its result before it writes it, in this order.

    ``addend``: plus a tensor of the output's shape, which the call then takes as its last argument, in FP32 or as
    UINT8 codes under a static scale (a ``Quantized`` record, whose values (code - zero_point) * scale are added).
    ``activation``: one of :data:`ACTIVATIONS`, or nothing. ``codes``: written as UINT8 codes under this scale, in a
    ``Quantized`` record, not as FP32. ``tokens``: written as INT8 codes with one scale per row, likewise; not together
    with ``codes``.
    """

    addend: bool = False
    activation: str = ""
    codes: StaticScale | None = None
    tokens: bool = False

    def __post_init__(self) -> None:
        assert self.codes is None or not self.tokens, "a result is written in one form"


ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu")


def activation_of(op: Op) -> str:
    """Return which of :data:`ACTIVATIONS` an op computes, or nothing."""
    name = operator_name(op.target)
    if name == "gelu":
        return "gelu_tanh" if op.kwargs.get("approximate") == "tanh" else "gelu"
    return name if name in ACTIVATIONS and not op.kwargs else ""


@dataclass(frozen=True, eq=False)
class Packed:
    """A kernel made ready for one op: ``run(*inputs)``, and the bytes that its weights and their scales take.

    ``extend(post)``, where the kernel fuses anything, returns ``run(*inputs[, addend])`` that does the op and what
    follows it in one kernel, bit for bit what the separate steps give; None for a ``post`` beyond ``Kernel.fuses``.
    ``of_floats(post)``, where ``Kernel.casts``, returns the same of an operand in FP32, cast inside, likewise.
    """

    run: Callable[..., Any]
    weight_bytes: int = 0
    scale_bytes: int = 0
    extend: Callable[[Post], Callable[..., Any] | None] | None = None
    of_floats: Callable[[Post], Callable[..., Any] | None] | None = None


def extend_by_addend(run_added: Callable[..., Any]) -> Callable[[Post], Callable[..., Any] | None]:
    """Return the ``extend`` of a kernel that can add a tensor to its result, and nothing else."""
    return lambda post: run_added if post == Post(addend=True) else None


def bind(site: Site, dtype: torch.dtype | None) -> Callable[..., Any]:
    """Return the op's own ATen call as a function of its run-time inputs, floating constants cast to ``dtype``."""

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor

    return bind_call(site.op, site.inputs, {name: cast(tensor) for name, tensor in site.constants.items()})


def bind_call(op: Op, inputs: tuple[str, ...], constants: Mapping[str, Any]) -> Callable[..., Any]:
    """Return ``op``'s target as a function of ``inputs``, its other arguments fixed.

    The function is compiled from one line of Python, so that a call costs no walk over nested arguments.
    """
    fixed: dict[str, Any] = {"_target": op.target}

    def write(tree: Any) -> str:
        if isinstance(tree, Ref):
            if tree.name in inputs:
                return f"v{inputs.index(tree.name)}"
            return _fix(fixed, constants[tree.name])
        if isinstance(tree, (tuple, list)):
            inside = ", ".join(write(item) for item in tree)
            return f"[{inside}]" if isinstance(tree, list) else f"({inside}{',' if len(tree) == 1 else ''})"
        return _fix(fixed, tree)

    parameters = ", ".join(f"v{index}" for index in range(len(inputs)))
    words = [write(arg) for arg in op.args] + [f"{key}={write(value)}" for key, value in op.kwargs.items()]
    source = f"lambda {parameters}: _target({', '.join(words)})"
    return eval(source, fixed)  # type: ignore[no-any-return]  # noqa: S307  our own text; values enter by name


def _fix(fixed: dict[str, Any], value: Any) -> str:
    name = f"_fixed{len(fixed)}"
    fixed[name] = value
    return name
