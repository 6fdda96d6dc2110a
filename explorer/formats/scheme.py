"""A scheme: how one tensor is put into a format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from explorer.errors import PrecisionError
from explorer.formats.catalog import find_format
from explorer.formats.spec import BlockSpec, ElementSpec, FloatSpec, IntSpec, Spec

Granularity = Literal["tensor", "channel", "token", "group", "square", "block"]
Calibrator = Literal["minmax", "moving_average", "percentile", "mse", "entropy"]
ZeroPoint = Literal["code", "float"]


@dataclass(frozen=True)
class Scheme:
    """A format, and which elements share a scale.

    granularity: ``tensor`` one scale; ``channel`` one per index of ``axis``; ``token`` one per row of the last
    dimension; ``group`` one per ``group`` consecutive elements of the last dimension; ``square`` one per ``group`` by
    ``group`` elements of the last two, symmetric, the squares at the ends partly filled; ``block`` what a block format
    brings with it, along ``axis`` or the last dimension. Left out: ``block`` for a block format, else ``tensor``.
    axis: may be negative, counting from the last dimension.
    symmetric: zero is code 0 (INT8 -127..127, INT4 -7..7); else codes are 0..2**bits - 1 with a zero point.
    dynamic: the scale comes from the tensor itself; else it is given at each use. Blocks are always dynamic.
    calibrator: how a static scale is found from data seen before; a dynamic scale is that of the ends, ``minmax``.
    zero_point: of an asymmetric scheme, ``code``, so that 0.0 is exact, or ``float``. Left out: ``float`` for groups of
    under 8 bits, as in HQQ and torch's INT4 kernels, else ``code``, as in ONNX; None when symmetric.
    Formats of 16 bits and more take no scale: they are plain casts, and then only ``tensor`` is valid.

    Raises ``PrecisionError`` for an unknown format and for parts that do not fit each other.
    """

    format: str
    granularity: Granularity = None  # type: ignore[assignment]  # settled at once, so nobody reads None
    axis: int | None = None
    group: int | None = None
    symmetric: bool = True
    dynamic: bool = True
    calibrator: Calibrator = "minmax"
    zero_point: ZeroPoint | None = None

    def __post_init__(self) -> None:
        if self.granularity is None:
            object.__setattr__(self, "granularity", "block" if find_format(self.format).is_block else "tensor")
        if self.zero_point is None and not self.symmetric:
            object.__setattr__(self, "zero_point", self._usual_zero_point)
        _check_granularity(self)
        _check_format(self)
        _check_zero_point(self)
        _check_calibrator(self)

    def __str__(self) -> str:
        words = [f"{self.spec.label}{self._where}" if self.scaled else self.spec.label]
        words += [] if self.symmetric else ["asymmetric"]
        words += (
            [] if self.symmetric or self.zero_point == self._usual_zero_point else [f"{self.zero_point} zero point"]
        )
        words += [] if self.dynamic or not self.scaled else ["static"]
        words += [] if self.calibrator == "minmax" else [f"{self.calibrator} calibrator".replace("_", " ")]
        return ", ".join(words)

    @property
    def _where(self) -> str:
        if self.granularity == "block":
            return "" if self.axis is None else f" along axis {self.axis}"
        of_group = f" of {self.group}"
        detail = {"channel": f" (axis {self.axis})", "group": of_group, "square": of_group}.get(self.granularity, "")
        return f" per {self.granularity}{detail}"

    @cached_property
    def spec(self) -> Spec:
        """The format's facts."""
        return find_format(self.format)

    @cached_property
    def element(self) -> ElementSpec:
        """The facts of what one code is in: the format, or that of a block format's elements."""
        return self.spec.element_spec if isinstance(self.spec, BlockSpec) else self.spec

    @cached_property
    def scaled(self) -> bool:
        """Whether values are divided by a scale: formats under 16 bits."""
        return self.spec.bits < 16

    @cached_property
    def largest_code(self) -> float:
        """What the scale maps the largest magnitude (asymmetric: the largest value) to."""
        spec = self.element
        if not isinstance(spec, IntSpec):
            return spec.largest
        return float(spec.symmetric_limit or 0) if self.symmetric else float(2**spec.bits - 1)

    @property
    def smallest_code(self) -> float:
        if self.spec.is_block:
            return float(self.element.smallest)
        return -self.largest_code if self.symmetric else 0.0

    @property
    def zero_is_integer(self) -> bool:
        """Whether an asymmetric zero point is a code."""
        return self.zero_point == "code"

    @property
    def _usual_zero_point(self) -> ZeroPoint:
        return "float" if self.granularity == "group" and self.spec.bits < 8 else "code"


def weight_scheme(format: str, group: int | None = None, symmetric: bool = True, axis: int = 0) -> Scheme:
    """The usual scheme of a weight: a scale per output channel, or per ``group`` inputs; none at 16 bits or more.

    Fits linear [out, in] and conv [out, in, kh, kw]; a transposed conv [in, out, kh, kw] takes ``axis=1``. A block
    format has its blocks along the last dimension, the inputs of a linear.
    Raises ``PrecisionError`` as ``Scheme`` does.
    """
    if group is not None:
        return Scheme(format, "group", group=group, symmetric=symmetric)
    if find_format(format).bits >= 16 or find_format(format).is_block:
        return Scheme(format, symmetric=symmetric)
    return Scheme(format, "channel", axis=axis, symmetric=symmetric)


def _check_granularity(scheme: Scheme) -> None:
    known = get_args(Granularity)
    if scheme.granularity not in known:
        raise PrecisionError(f"granularity {scheme.granularity!r}", "there is no such granularity", " or ".join(known))
    asked = f"{scheme.format} per {scheme.granularity}"
    for part, owners, example in (("axis", ("channel", "block"), 0), ("group", ("group", "square"), 128)):
        value = getattr(scheme, part)
        if scheme.granularity in owners and scheme.granularity != "block" and value is None:
            raise PrecisionError(asked, f"{part} is not given", f"{part}={example}")
        if scheme.granularity not in owners and value is not None:
            raise PrecisionError(asked, f"{part}={value!r} belongs to granularity='{owners[0]}'", f"leave {part} out")
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise PrecisionError(asked, f"{part}={value!r} is no integer", f"{part}={example}")
    if scheme.group is not None and scheme.group < 1:
        raise PrecisionError(asked, f"group={scheme.group}", "a positive number of elements, such as 128")


def _check_format(scheme: Scheme) -> None:
    """Refuses a granularity that the format cannot have."""
    spec = scheme.spec
    asked = f"{spec.label} per {scheme.granularity}"
    if spec.is_block != (scheme.granularity == "block"):
        found = f"{spec.label} has its own blocks" if spec.is_block else f"{spec.label} is no block format"
        try_ = "granularity='block'" if spec.is_block else "granularity='group', or a format such as 'mxfp4'"
        raise PrecisionError(asked, found, try_)
    if not scheme.scaled and scheme.granularity != "tensor":
        found = f"{spec.label} has {spec.bits} bits and takes no scale"
        raise PrecisionError(asked, found, "granularity='tensor', or a format of 8 bits or fewer")
    if isinstance(spec, FloatSpec) and not spec.has_zero:
        raise PrecisionError(asked, f"{spec.label} holds scales only", "a block format such as 'mxfp8_e4m3'")
    if spec.is_block and not scheme.dynamic:
        raise PrecisionError(f"{spec.label} with dynamic=False", "a block's scale comes from the block", "dynamic=True")


def _check_zero_point(scheme: Scheme) -> None:
    spec = scheme.spec
    if scheme.zero_point not in (None, *get_args(ZeroPoint)):
        raise PrecisionError(f"zero_point={scheme.zero_point!r}", "there is no such kind", "'code' or 'float'")
    if scheme.symmetric and scheme.zero_point is not None:
        found = "a symmetric scheme has no zero point"
        raise PrecisionError(f"{spec.label} with zero_point={scheme.zero_point!r}", found, "symmetric=False")
    if not scheme.symmetric and not isinstance(spec, IntSpec):
        kind = "block formats" if spec.is_block else "floats"
        raise PrecisionError(
            f"{spec.label} with symmetric=False", f"{kind} have no zero point", "symmetric=True, or an integer"
        )
    if not scheme.symmetric and scheme.granularity == "square":
        raise PrecisionError(
            f"{spec.label} per square with symmetric=False", "squares have no zero point", "granularity='group'"
        )
    if scheme.symmetric and isinstance(spec, IntSpec) and not spec.signed:
        raise PrecisionError(
            f"{spec.label} with symmetric=True",
            "an unsigned format cannot hold values on both sides of zero",
            f"symmetric=False, or {spec.name.removeprefix('u')!r}",
        )


def _check_calibrator(scheme: Scheme) -> None:
    known = get_args(Calibrator)
    if scheme.calibrator not in known:
        raise PrecisionError(f"calibrator {scheme.calibrator!r}", "there is no such calibrator", " or ".join(known))
    if scheme.calibrator != "minmax" and (scheme.spec.is_block or not scheme.scaled):
        found = "a block's scale comes from the block" if scheme.spec.is_block else "it takes no scale"
        raise PrecisionError(
            f"{scheme.spec.label} with calibrator={scheme.calibrator!r}", found, "leave calibrator out"
        )
