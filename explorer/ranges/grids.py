"""The values that a format holds under one scale, and the squared error of rounding to them, in closed form.

Scales and zero points may be arrays: everything broadcasts, so one call weighs many clipping thresholds. Arithmetic is
FP64; x is in the units of the tensor. Integrals are those of the squared distance to the nearest value:

    integral(x) = the integral over t from 0 to x of (t - round(t))**2

which between two thresholds of rounding is a cubic, and adds step**3 / 12 for every step passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.errors import PrecisionError
from explorer.formats import FloatSpec, Scheme
from explorer.formats.elements import ElementSpec
from explorer.ranges.bins import FP32_MANTISSA, Flags, Floats

Value = Floats | float
_NARROW = 1e-4
"""In steps of the grid: integrals grow from 0, and where 0 lies between codes' thresholds a difference of two over a
narrower cell loses digits, while across it the distance changes by less than 1e-4 of a step."""


@dataclass(frozen=True, eq=False)
class UniformGrid:
    """Integers: the values (code - zero_point) * scale of the codes ``lowest`` to ``highest``.

    scale, zero_point: numbers, or arrays that broadcast against x. Ties go to the even integer nearest to x / scale,
    as in quantising with an integer zero point.
    """

    lowest: float
    highest: float
    scale: Value = 1.0
    zero_point: Value = 0.0

    def round(self, x: Floats) -> Floats:
        """The nearest value, saturating."""
        steps = x / self.scale
        code = np.where(self._has_zero, np.rint(steps) + self.zero_point, np.rint(steps + self.zero_point))
        return np.asarray((np.clip(code, self.lowest, self.highest) - self.zero_point) * self.scale)

    @property
    def narrow(self) -> Floats:
        """The width of cells up to which the error of a cell is that of its middle."""
        return np.where(np.equal(self.zero_point, 0.0), 0.0, _NARROW * np.asarray(self.scale))

    def integral(self, x: Floats) -> Floats:
        """See the top of the file."""
        start = self._primitive(np.asarray(self.zero_point, dtype=np.float64))
        end = self._primitive(x / self.scale + self.zero_point)
        return np.asarray((end - start) * np.asarray(self.scale, dtype=np.float64) ** 3)

    def _primitive(self, code: Floats) -> Floats:
        """The integral in code space, from code 0; beyond the ends the distance to the end."""
        nearest = np.clip(np.rint(code), self.lowest, self.highest)
        error = code - nearest
        return np.asarray(nearest / 12 + error * error * error / 3)  # numpy's ** 3 takes ten times as long

    @property
    def range(self) -> tuple[Floats, Floats]:
        """Where rounding leaves the values, below and above."""
        low, high = np.asarray(self.lowest - 0.5 - self.zero_point), np.asarray(self.highest + 0.5 - self.zero_point)
        return low * self.scale, high * self.scale

    @property
    def keeps_ties(self) -> tuple[Flags, Flags]:
        """Whether an x exactly at either end of ``range`` still rounds to a value: where the last code is even."""
        origin = np.rint(self.zero_point)
        return np.asarray((self.lowest - origin) % 2 == 0), np.asarray((self.highest - origin) % 2 == 0)

    @property
    def zero_range(self) -> tuple[Floats, Floats]:
        """The closed interval that rounds to 0, which saturation may leave open to one side; 0 alone without a 0."""
        half = np.where(self._has_zero, 0.5 * np.asarray(self.scale), 0.0)
        low = np.where(np.equal(self.zero_point, self.lowest), -np.inf, -half)
        return low, np.where(np.equal(self.zero_point, self.highest), np.inf, half)

    @property
    def normal_from(self) -> Floats:
        """The magnitude from which results are no subnormals; integers have none."""
        return np.zeros(())

    @property
    def _has_zero(self) -> Flags:
        return np.asarray(np.equal(np.rint(self.zero_point), self.zero_point))


@dataclass(frozen=True, eq=False)
class FloatGrid:
    """A signed float format: its values times ``scale``, a number or an array that broadcasts against x."""

    spec: FloatSpec
    scale: Value = 1.0

    def round(self, x: Floats) -> Floats:
        """The nearest value, saturating."""
        size = np.minimum(np.abs(x) / self.scale, self.spec.largest)
        step = self._unit_step(size)
        rounded = np.minimum(np.rint(size / step) * step, self.spec.largest)
        return np.asarray(np.copysign(rounded * self.scale, x))

    @property
    def narrow(self) -> Floats:
        """The width of cells up to which the error of a cell is that of its middle: points only."""
        return np.zeros(())

    def _unit_step(self, size: Floats) -> Floats:
        exponent = np.maximum(np.frexp(size)[1] - 1, self.spec.min_exponent)
        return np.asarray(np.ldexp(1.0, exponent - self.spec.mantissa_bits))

    def integral(self, x: Floats) -> Floats:
        """See the top of the file."""
        size = np.abs(x) / self.scale
        inside = np.minimum(size, self.spec.largest)
        beyond = (size - inside) ** 3 / 3
        cubed = np.asarray(self.scale, dtype=np.float64) ** 3
        return np.asarray(np.copysign((self._primitive(inside) + beyond) * cubed, x))

    def _primitive(self, size: Floats) -> Floats:
        """The integral from 0 to a magnitude under a scale of 1: whole binades, then whole steps, then a cubic."""
        if self._is_exact:
            return np.zeros_like(size)
        spec = self.spec
        step = self._unit_step(size)
        binade = step * 2.0**spec.mantissa_bits
        steps = size / step
        nearest = np.rint(steps)
        lowest = binade == spec.smallest_normal  # the first binade goes on with the subnormals' steps, from 0
        below = (binade**3 + 6 * spec.smallest_normal**3) / 7 * 4.0**-spec.mantissa_bits / 12  # a geometric series
        start = np.where(lowest, 0.0, 2.0**spec.mantissa_bits)
        within = step**3 * ((nearest - start) / 12 + (steps - nearest) ** 3 / 3)
        return np.asarray(np.where(lowest, 0.0, below) + within)

    @property
    def _is_exact(self) -> bool:
        """Whether every FP32 value is one of the format, as far as its range goes."""
        return self.spec.mantissa_bits >= FP32_MANTISSA and self.spec.min_exponent <= -126

    @property
    def range(self) -> tuple[Floats, Floats]:
        """Where rounding leaves the values, below and above."""
        end = self.spec.overflow_threshold * np.asarray(self.scale)
        return -end, end

    @property
    def keeps_ties(self) -> tuple[Flags, Flags]:
        """Whether an x exactly at either end of ``range`` still rounds to a value: where the last code is even."""
        is_even = np.asarray(self.spec.nan == "all_ones")
        return is_even, is_even

    @property
    def zero_range(self) -> tuple[Floats, Floats]:
        """The closed interval that rounds to 0."""
        half = 0.0 if self._is_exact else 0.5 * self.spec.smallest_subnormal
        return -half * np.asarray(self.scale), half * np.asarray(self.scale)

    @property
    def normal_from(self) -> Floats:
        """The magnitude from which results are no subnormals."""
        half = 0.0 if self._is_exact else 0.5 * self.spec.smallest_subnormal
        return np.asarray((self.spec.smallest_normal - half) * np.asarray(self.scale))


Grid = UniformGrid | FloatGrid


def make_grid(kind: Scheme | ElementSpec, scale: Value = 1.0, zero_point: Value = 0.0) -> Grid:
    """The values of a scheme, or of a format of elements, under a scale; zero_point: 0 when symmetric.

    Raises ``PrecisionError`` for a format without a zero, E8M0, which holds scales only.
    """
    spec = kind.element if isinstance(kind, Scheme) else kind
    if isinstance(spec, FloatSpec):
        if not spec.has_zero:
            raise PrecisionError(f"round to {spec.label}", "it holds scales only", "a format that has a zero")
        return FloatGrid(spec, scale)
    if isinstance(kind, Scheme) and not kind.spec.is_block:
        return UniformGrid(kind.smallest_code, kind.largest_code, scale, zero_point)
    return UniformGrid(spec.smallest, spec.largest, scale, zero_point)


def mean_squared_error(grid: Grid, low: Floats, high: Floats) -> Floats:
    """The mean of (x - round(x))**2 for x uniform in each cell [low, high], or at a point where they are equal.

    low, high: any shape that broadcasts against the grid's scale, low <= high.
    """
    width = high - low
    narrow = width <= grid.narrow
    middle = low + 0.5 * width
    if narrow.all():
        return np.asarray((middle - grid.round(middle)) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        across = np.maximum((grid.integral(high) - grid.integral(low)) / width, 0.0)
    if not narrow.any():
        return np.asarray(across)
    return np.where(narrow, (middle - grid.round(middle)) ** 2, across)
