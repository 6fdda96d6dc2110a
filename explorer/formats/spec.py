"""What a number format is. Three kinds: floats and integers (``elements.py``), and blocks of them that share a scale.

All three answer ``name``, ``label``, ``source``, ``is_float``, ``is_block``, ``bits``, ``storage_bits``,
``bits_per_element``, ``largest``, ``smallest``, ``smallest_positive``, ``epsilon``, ``decimal_digits``,
``finite_values``, ``decode(code)`` and ``values``, so that few callers need to know which kind they hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from explorer.errors import PrecisionError
from explorer.formats.elements import ElementSpec, FloatSpec, IntSpec, NanStyle, label_of

__all__ = ["BlockSpec", "ElementSpec", "FloatSpec", "IntSpec", "NanStyle", "Spec"]


@dataclass(frozen=True)
class BlockSpec:
    """A format in which ``block`` consecutive elements share a scale: value = element * scale (* tensor scale).

    ``tensor_scale_spec``: the format of a second scale, one for the whole tensor, or None. It is left out of everything
    derived here: its bits are negligible, and ranges are relative to it.
    An integer element is read as fixed point with two bits before the point, the sign one of them, so MXINT8's step is
    2**-6 (OCP MX 1.0, section 5.3.4). Raises ``PrecisionError`` for facts that make no format.
    """

    name: str
    element_spec: ElementSpec
    block: int
    scale_spec: FloatSpec
    tensor_scale_spec: FloatSpec | None
    source: str

    def __post_init__(self) -> None:
        if self.block < 2:
            raise PrecisionError(f"block format {self.name!r}", f"block={self.block}", "2 elements or more, such as 32")

    @property
    def element(self) -> str:
        """Name of the elements' format."""
        return self.element_spec.name

    @property
    def scale(self) -> str:
        """Name of the scales' format."""
        return self.scale_spec.name

    @property
    def tensor_scale(self) -> str | None:
        """Name of the tensor scale's format, None where there is no such scale."""
        return self.tensor_scale_spec.name if self.tensor_scale_spec else None

    @property
    def label(self) -> str:
        """The name as people write it, such as ``MXFP4``."""
        return label_of(self.name)

    @property
    def is_float(self) -> bool:
        """Whether the elements are floats."""
        return self.element_spec.is_float

    @property
    def is_block(self) -> bool:
        return True

    @property
    def bits(self) -> int:
        """Bits of an element, scales not counted."""
        return self.element_spec.bits

    @property
    def storage_bits(self) -> int:
        """Bits that an element takes in memory, packed, scales not counted."""
        return self.element_spec.storage_bits

    @property
    def bits_per_element(self) -> float:
        """Bits that one value takes in memory, its share of the block's scale included."""
        return self.storage_bits + self.scale_spec.bits / self.block

    @property
    def unit(self) -> float:
        """What an element of 1 stands for under a scale of 1: 1, but for integers their step."""
        return 1.0 if self.element_spec.is_float else 2.0 ** (2 - self.bits)

    @property
    def max_element_exponent(self) -> int:
        """Exponent of the largest element, ``emax`` in the MX text: 0 for integers."""
        return math.frexp(self.element_spec.largest * self.unit)[1] - 1

    @property
    def largest(self) -> float:
        """The largest finite value, under the largest scale."""
        return self.element_spec.largest * self.unit * self.scale_spec.largest

    @property
    def smallest(self) -> float:
        """The most negative finite value, under the largest scale."""
        return self.element_spec.smallest * self.unit * self.scale_spec.largest

    @property
    def smallest_positive(self) -> float:
        """The smallest value above zero, under the smallest scale."""
        return self.element_spec.smallest_positive * self.unit * self.scale_spec.smallest_positive

    @property
    def epsilon(self) -> float:
        """The step between 1 and the next value, under a scale of 1."""
        return self.element_spec.epsilon * self.unit

    @property
    def decimal_digits(self) -> float:
        """Significant decimal digits of an element."""
        return self.element_spec.decimal_digits

    @property
    def finite_values(self) -> int:
        """Number of different finite values under one scale."""
        return self.element_spec.finite_values

    def decode(self, code: int) -> float:
        """The value of an element's code under a scale of 1."""
        return self.element_spec.decode(code) * self.unit

    @property
    def values(self) -> tuple[float, ...]:
        """Every different finite value under a scale of 1, in order."""
        return tuple(value * self.unit for value in self.element_spec.values)


Spec = FloatSpec | IntSpec | BlockSpec
