"""Evidence: what the rules of a diagnosis look at, of each op and of the recipe as a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from explorer.formats import IntSpec, Scheme
from explorer.formats.elements import FloatSpec
from explorer.graph import Op
from explorer.precision import Precision
from explorer.ranges import Forecast, TensorRange

CALIBRATED, LATER = "calibrated", "later"
"""Slices of the data: the samples that static scales were found from, and the others."""


@dataclass(frozen=True, eq=False)
class Held:
    """A tensor at an op, as the op's precision holds it.

    port: ``output``, ``input:<k>`` or ``weight:<name>``. source: the op that makes it, or the name of an input or
    weight. scheme: what it is held in. outside: share of the elements beyond a static scale's ends, by slice.
    """

    port: str
    source: str
    range: TensorRange
    scheme: Scheme
    expected: Forecast
    outside: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What it is to a person: ``its output``, ``what it reads from 'fc1/linear'``, ``its weight 'fc1.weight'``."""
        if self.port == "output":
            return "its output"
        return f"its weight {self.source!r}" if self.port.startswith("weight:") else f"what it reads of {self.source!r}"

    @property
    def label(self) -> str:
        """The format's name as people write it."""
        return self.scheme.spec.label

    @property
    def overflows(self) -> bool:
        """Whether a plain cast, which has no scale, takes finite elements beyond the format's largest value."""
        return not self.scheme.scaled and self.range.absmax > self.scheme.spec.largest

    @property
    def lost(self) -> float:
        """Share of the elements that become zero or a subnormal."""
        return self.expected.flushed + self.expected.subnormal

    @property
    def shares_scale(self) -> bool:
        """Whether channels share a scale, so that a large one takes the small ones' codes."""
        return self.scheme.scaled and self.scheme.granularity in ("tensor", "token")

    @property
    def outlier(self) -> tuple[int, float]:
        """The channel with the largest magnitude, and how many times that of the median channel it is: of those that
        are not zero throughout. Channel -1 and 1 times where the tensor has no channels."""
        channels = self.range.channel_absmax
        if channels is None or not (channels > 0).any():
            return -1, 1.0
        return int(np.argmax(channels)), float(channels.max() / np.median(channels[channels > 0]))

    @property
    def all_codes(self) -> float:
        """How many codes on each side of zero the largest channel has: of a float, in its highest octave."""
        if isinstance(self.scheme.element, FloatSpec):
            return float(2**self.scheme.element.mantissa_bits)
        return self.scheme.largest_code if self.scheme.symmetric else self.scheme.largest_code / 2

    @property
    def typical_codes(self) -> float:
        """How many codes on each side of zero reach up to the median channel's largest magnitude: of a float, in the
        octave of that magnitude, and fewer only among subnormals."""
        _, ratio = self.outlier
        spec = self.scheme.element
        if isinstance(spec, IntSpec):
            return self.all_codes / ratio
        typical = spec.largest / ratio
        return min(self.all_codes, typical / spec.smallest_subnormal)


@dataclass(frozen=True, eq=False)
class Weights:
    """How the weight of a product fares.

    sqnr_db: by the precision that would store it, the op's own among them. group: how many weights share a scale.
    spread: the median over those groups of the largest magnitude over the typical one. normal: the same of normally
    distributed numbers.
    """

    sqnr_db: Mapping[str, float]
    group: int
    spread: float
    normal: float


@dataclass(frozen=True, eq=False)
class Sides:
    """Where the error of a product comes from: SQNR in dB of its output, computed in FP32 on rounded operands.

    inputs: only what it reads is rounded. weight: only its weight is. Infinite where it has none, or rounding changes
    nothing. rivals: by calibrator, what ``inputs`` would be under the static scales that this one finds in all data.
    """

    inputs: float = math.inf
    weight: float = math.inf
    rivals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Born:
    """Where NaN or Inf first appear: in FP32 (``in_fp32``), or because of an op's precision, there or further down.

    op: that makes them. kind: ``nan`` or ``inf``. elements: how many. samples: in how many samples, ``of`` those that
    were looked at. largest: the largest finite magnitude that the op reads in FP32. given: the input or weight that
    holds them already, else empty.
    """

    op: Op
    kind: str
    elements: int
    samples: int
    of: int
    in_fp32: bool
    largest: float
    given: str = ""


@dataclass(frozen=True, eq=False)
class OpEvidence:
    """What was measured of one op under the recipe.

    cost: what it alone costs at the model's output, see :class:`Finding`. local_sqnr_db: of its own output, on FP32
    inputs. output_sqnr_db: of the model's output, with only this op lowered. born: what it breaks, where it does.
    reduction: how many products each element of its output adds up. readers: ops that read its output, looking through
    views. able: the precisions it could take here. first, last: whether it is the first or last product of the model.
    balanced: whether its input's channels can be traded for its weight's columns. masks: whether a softmax, the op
    itself or all that reads it, comes next, to which a very negative number and minus infinity are the same.
    """

    op: Op
    precision: Precision
    kernel: str
    cost: float
    local_sqnr_db: float
    output_sqnr_db: float
    tensors: tuple[Held, ...] = ()
    sides: Sides = field(default_factory=lambda: Sides())
    weights: Weights | None = None
    reduction: int = 0
    readers: tuple[str, ...] = ()
    able: frozenset[str] = frozenset()
    first: bool = False
    last: bool = False
    balanced: bool = False
    masks: bool = False
    born: Born | None = None

    @property
    def breaks(self) -> bool:
        """Whether it makes outputs of the model NaN or Inf."""
        return math.isinf(self.cost)

    @property
    def inputs(self) -> tuple[Held, ...]:
        """Its activations."""
        return tuple(held for held in self.tensors if held.port.startswith("input:"))

    def first_able(self, *names: str) -> str:
        """The first of these precisions that it can take, FP32 where it can take none."""
        return next((name for name in names if name in self.able and name != self.precision.name), "fp32")


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The static scales in use: how they were found and on what.

    n: of ``total`` samples. lengths: the shortest and longest of these, later: those of the others; empty where the
    data do not tell lengths.
    """

    method: str
    n: int
    total: int
    lengths: tuple[int, int] | tuple[()] = ()
    later: tuple[int, int] | tuple[()] = ()


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that the rules look at, of one recipe.

    unit: of every cost, ``nats`` or ``relative squared error``. cost: the whole recipe's, NaN where the model itself
    gives NaN or Inf. n: samples that costs were
    measured on. ops: those that cost something worth a look, in order of execution; typical: the median cost of the
    recipe's products.
    """

    unit: str
    cost: float
    n: int
    ops: tuple[OpEvidence, ...] = ()
    typical: float = 0.0
    calibrated: Calibrated | None = None
