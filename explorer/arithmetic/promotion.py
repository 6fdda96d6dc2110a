"""Type promotion of JAX and PyTorch as data: which dtype comes out when two dtypes meet in one operation.

Both are a lattice of dtypes, written here as "may become": the result is the least type that both operands may become.
JAX puts Python's numbers into the lattice as weak types (``i* f* c*``). PyTorch has categories instead (bool, integer,
float, complex): tensors with dimensions decide, then zero-dimensional tensors, then Python's numbers, and what comes
later counts only where its category is higher.

Sources: JAX Enhancement Proposal 9407, "Design of Type Promotion Semantics for JAX", with 64-bit types switched on;
PyTorch, "Tensor Attributes: torch.dtype", and ``c10::promoteTypes``. Neither library is needed to read the tables.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from explorer.errors import PrecisionError

if TYPE_CHECKING:
    import pandas as pd

Library = Literal["jax", "torch", "torch zero-dim"]
Lattice = MappingProxyType[str, tuple[str, ...]]

DTYPES = tuple(
    "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float8_e4m3fn float8_e5m2 float16 bfloat16 float32 float64 "
    "complex64 complex128".split()
)
PYTHON = ("int", "float", "complex")
"""Python's numbers, as the other operand."""
REFUSED = "refused"
"""What a table shows where there is no result but an error."""
WEAK = MappingProxyType({"int": "i*", "float": "f*", "complex": "c*"})
"""What JAX calls their types; a weak type gives way to any dtype of its own kind."""


def _lattice(text: str) -> Lattice:
    """From lines ``type: types it may become next``."""
    pairs = (line.split(":") for line in text.strip().splitlines())
    return MappingProxyType({name.strip(): tuple(above.split()) for name, above in pairs})


JAX = _lattice("""
    bool: i*
    i*: uint8 int8
    uint8: uint16 int16
    uint16: uint32 int32
    uint32: uint64 int64
    uint64: f*
    int8: int16
    int16: int32
    int32: int64
    int64: f*
    f*: float8_e4m3fn float8_e5m2 float16 bfloat16 c*
    float8_e4m3fn:
    float8_e5m2:
    float16: float32
    bfloat16: float32
    float32: float64 complex64
    float64: complex128
    c*: complex64
    complex64: complex128
    complex128:
""")

TORCH = _lattice("""
    bool: uint8 int8
    uint8: int16
    uint16: float16 bfloat16
    uint32: float16 bfloat16
    uint64: float16 bfloat16
    int8: int16
    int16: int32
    int32: int64
    int64: float16 bfloat16
    float8_e4m3fn:
    float8_e5m2:
    float16: float32
    bfloat16: float32
    float32: float64 complex64
    float64: complex128
    complex64: complex128
    complex128:
""")
"""No type is least above uint16 and int32 (both float16 and bfloat16 would be), nor above float8 and anything else."""

TORCH_REFUSES = frozenset(
    (left, right) for left in ("uint16", "uint32", "uint64") for right in ("complex64", "complex128")
)
"""Pairs of tensors that PyTorch refuses although the lattice has an answer."""
TORCH_COMPLEX = MappingProxyType(
    {"float16": "complex32", "bfloat16": "complex64", "float32": "complex64", "float64": "complex128"}
)
"""What a floating tensor becomes beside a complex number of a later group."""
TORCH_NUMBERS = MappingProxyType({"int": "int64", "float": "float32", "complex": "complex64"})
"""What PyTorch takes Python's numbers for; the floats are those of the default dtype, float32."""


def jax_type(left: str, right: str) -> str | None:
    """The dtype that JAX gives for arrays of ``left`` and ``right``, None where it refuses.

    Either may be ``int``, ``float`` or ``complex``: a Python number. The result may be weak (``i*``, ``f*``, ``c*``):
    an int64, float64 or complex128 that gives way later. Raises ``PrecisionError`` for an unknown name.
    """
    return _least_above("jax", WEAK.get(_known(left), left), WEAK.get(_known(right), right))


def torch_type(left: str, right: str, zero_dim: bool = False) -> str | None:
    """The dtype that PyTorch gives for a tensor of ``left`` and one of ``right``, None where it refuses.

    ``right`` may be ``int``, ``float`` or ``complex``: a Python number; with ``zero_dim`` it is a tensor without
    dimensions, whose dtype counts only where its category is higher. Raises ``PrecisionError`` for an unknown name and
    for a Python number on the left.
    """
    if _known(left) in PYTHON:
        raise PrecisionError(
            f"PyTorch's type of {left} with {right}", "the left one is no tensor", "the dtype on the left"
        )
    if _known(right) in PYTHON:
        return _combine(left, TORCH_NUMBERS[right])
    return _combine(left, right) if zero_dim else _torch_tensors(left, right)


def promotion_table(library: Library) -> pd.DataFrame:
    """Left dtype x right dtype or Python number -> result, ``refused`` where there is none."""
    import pandas as pd

    rows = [[_look_up(library, left, right) or REFUSED for right in (*DTYPES, *PYTHON)] for left in DTYPES]
    return pd.DataFrame(rows, index=pd.Index(DTYPES, name=library), columns=[*DTYPES, *PYTHON])


def compare_promotion(zero_dim: bool = False) -> pd.DataFrame:
    """JAX and PyTorch side by side, one row per pair: left, right, jax, torch, differ, and why they differ.

    With ``zero_dim`` the right operand is a tensor without dimensions (to JAX an array like any other).
    """
    import pandas as pd

    rows = []
    for left, right in product(DTYPES, (*DTYPES, *PYTHON)):
        jax, torch = jax_type(left, right) or REFUSED, torch_type(left, right, zero_dim) or REFUSED
        rows.append((left, right, jax, torch, jax != torch, _why(left, right, jax, torch)))
    return pd.DataFrame(rows, columns=["left", "right", "jax", "torch", "differ", "why"])


def _look_up(library: Library, left: str, right: str) -> str | None:
    return jax_type(left, right) if library == "jax" else torch_type(left, right, library == "torch zero-dim")


@cache
def _above(library: Literal["jax", "torch"], name: str) -> frozenset[str]:
    """Every type that ``name`` may become, itself included."""
    lattice = JAX if library == "jax" else TORCH
    return frozenset({name}).union(*(_above(library, next_) for next_ in lattice[name]))


def _least_above(library: Literal["jax", "torch"], left: str, right: str) -> str | None:
    both = _above(library, left) & _above(library, right)
    return next((name for name in both if both <= _above(library, name)), None)


def _torch_tensors(left: str, right: str) -> str | None:
    refused = (left, right) in TORCH_REFUSES or (right, left) in TORCH_REFUSES
    return None if refused else _least_above("torch", left, right)


def _combine(tensor: str, later: str) -> str | None:
    """PyTorch's rule for a tensor and something of a later group. Source: ``result_type``, combine_categories."""
    if _category(tensor) >= _category(later):
        return _least_above("torch", tensor, later) if tensor == "bool" else tensor
    if _category(tensor) == _category("float32"):
        return TORCH_COMPLEX.get(tensor)
    return _least_above("torch", tensor, later)


def _category(dtype: str) -> int:
    """The rank of a dtype's category: bool < integer < float < complex."""
    starts: tuple[str | tuple[str, ...], ...] = ("bool", ("int", "uint"), ("float", "bfloat"), "complex")
    return next(rank for rank, start in enumerate(starts) if dtype.startswith(start))


def _known(name: str) -> str:
    if name in DTYPES or name in PYTHON:
        return name
    raise PrecisionError(f"promotion of {name!r}", "the tables do not hold it", ", ".join((*DTYPES, *PYTHON)))


def _why(left: str, right: str, jax: str, torch: str) -> str:
    """One sentence on a difference; empty where there is none."""
    if jax == torch:
        return ""
    pair = f"{left} {right}"
    if torch == "complex32":
        return "PyTorch has a complex number of two float16, JAX has none"
    if torch == REFUSED and "float8" in pair:
        return "in JAX float8 wins over bool and integers; PyTorch promotes float8 with nothing"
    if torch == REFUSED:
        return "PyTorch has few rules for uint16, uint32 and uint64"
    if right in PYTHON:
        return "in JAX a result from a Python number is weak and gives way to the next dtype; in PyTorch it is firm"
    return "in PyTorch the tensor with dimensions decides within a category; to JAX both are arrays"
