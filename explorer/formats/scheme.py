"""A scheme: how one tensor is put into a format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from explorer.errors import PrecisionError
from explorer.formats.catalog import find_format
from explorer.formats.spec import IntSpec, Spec

Granularity = Literal["tensor", "channel", "token", "group"]


@dataclass(frozen=True)
class Scheme:
    """A format, and which elements share a scale.

    granularity: ``tensor`` one scale; ``channel`` one per index of ``axis``; ``token`` one per row of the last
    dimension; ``group`` one per ``group`` consecutive elements of the last dimension.
    symmetric: zero is code 0 (INT8 -127..127, INT4 -7..7); else codes are 0..2**bits - 1 with a zero point.
    dynamic: the scale comes from the tensor itself; else it is given at each use.
    Formats of 16 bits and more take no scale: they are plain casts, and then only ``tensor`` is valid.

    Raises ``PrecisionError`` for an unknown format and for parts that do not fit each other.
    """

    format: str
    granularity: Granularity = "tensor"
    axis: int | None = None
    group: int | None = None
    symmetric: bool = True
    dynamic: bool = True

    def __post_init__(self) -> None:
        spec = find_format(self.format)
        _check_granularity(self)
        if not self.scaled and self.granularity != "tensor":
            raise PrecisionError(
                f"{spec.label} per {self.granularity}",
                f"{spec.label} has {spec.bits} bits and takes no scale",
                "granularity='tensor', or a format of 8 bits or fewer",
            )
        if not self.symmetric and not isinstance(spec, IntSpec):
            raise PrecisionError(
                f"{spec.label} with symmetric=False", "floats have no zero point", "symmetric=True, or an integer"
            )
        if self.symmetric and isinstance(spec, IntSpec) and not spec.signed:
            raise PrecisionError(
                f"{spec.label} with symmetric=True",
                "an unsigned format cannot hold values on both sides of zero",
                f"symmetric=False, or {spec.name.removeprefix('u')!r}",
            )

    def __str__(self) -> str:
        detail = {"channel": f" (axis {self.axis})", "group": f" of {self.group}"}.get(self.granularity, "")
        words = [f"{self.spec.label} per {self.granularity}{detail}" if self.scaled else self.spec.label]
        words += [] if self.symmetric else ["asymmetric"]
        words += [] if self.dynamic or not self.scaled else ["static"]
        return ", ".join(words)

    @cached_property
    def spec(self) -> Spec:
        """The format's facts."""
        return find_format(self.format)

    @cached_property
    def scaled(self) -> bool:
        """Whether values are divided by a scale: formats under 16 bits."""
        return self.spec.bits < 16

    @cached_property
    def largest_code(self) -> float:
        """What the scale maps the largest magnitude (asymmetric: the largest value) to."""
        spec = self.spec
        if not isinstance(spec, IntSpec):
            return spec.largest
        return float(spec.symmetric_limit or 0) if self.symmetric else float(2**spec.bits - 1)

    @property
    def smallest_code(self) -> float:
        return -self.largest_code if self.symmetric else 0.0

    @property
    def zero_is_integer(self) -> bool:
        """Whether an asymmetric zero point is a code, so that 0.0 is exact: 8 bits; below that it is a float."""
        return self.spec.bits >= 8


def weight_scheme(format: str, group: int | None = None, symmetric: bool = True, axis: int = 0) -> Scheme:
    """The usual scheme of a weight: a scale per output channel, or per ``group`` inputs; none at 16 bits or more.

    Fits linear [out, in] and conv [out, in, kh, kw]; a transposed conv [in, out, kh, kw] takes ``axis=1``.
    Raises ``PrecisionError`` as ``Scheme`` does.
    """
    if group is not None:
        return Scheme(format, "group", group=group, symmetric=symmetric)
    if find_format(format).bits >= 16:
        return Scheme(format, symmetric=symmetric)
    return Scheme(format, "channel", axis=axis, symmetric=symmetric)


def _check_granularity(scheme: Scheme) -> None:
    known = get_args(Granularity)
    if scheme.granularity not in known:
        raise PrecisionError(f"granularity {scheme.granularity!r}", "there is no such granularity", " or ".join(known))
    asked = f"{scheme.format} per {scheme.granularity}"
    for part, owner, example in (("axis", "channel", 0), ("group", "group", 128)):
        value = getattr(scheme, part)
        if scheme.granularity == owner and value is None:
            raise PrecisionError(asked, f"{part} is not given", f"{part}={example}")
        if scheme.granularity != owner and value is not None:
            raise PrecisionError(asked, f"{part}={value!r} belongs to granularity='{owner}'", f"leave {part} out")
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise PrecisionError(asked, f"{part}={value!r} is no integer", f"{part}={example}")
    if scheme.group is not None and scheme.group < 1:
        raise PrecisionError(asked, f"group={scheme.group}", "a positive number of elements, such as 128")
