"""Static scales from a stream of batches: a calibrator sees one after another, in memory that does not grow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from explorer.errors import PrecisionError
from explorer.formats import Scheme, find_scale, scale_shape
from explorer.formats.scales import scale_dtype
from explorer.formats.steps import check_float
from explorer.ranges.bins import CALIBRATION_BITS
from explorer.ranges.entropy import least_divergence_range
from explorer.ranges.histogram import Histogram
from explorer.ranges.spectrum import ChannelCounter, Spectrum, spectrum_of
from explorer.ranges.tally import Counter
from explorer.ranges.thresholds import Ends, least_error_range, percentile_range

MOVING_SHARE = 0.01
"""Weight of a new batch's extremes in their moving average; the first batch counts in full. As in torch's observers."""

Scale = tuple[Tensor, Tensor | None]
Solver = Callable[[Spectrum, Scheme], Ends]
SOLVERS: dict[str, Solver] = {
    "percentile": percentile_range,
    "mse": least_error_range,
    "entropy": least_divergence_range,
}
"""How the calibrators that keep a histogram find a range in it."""


class Calibrator(ABC):
    """Sees batches, then tells the scale that they ask for.

    scheme: static, per tensor or per channel. Every batch has the same number of dimensions and, per channel, the same
    channels; FP32, BF16, FP16 or FP64 on any device, never modified and never kept. NaN and Inf are left out, and
    counted in ``ignored``. Empty batches change nothing.
    """

    def __init__(self, scheme: Scheme) -> None:
        _check_scheme(scheme)
        self.scheme = scheme
        self.ignored = 0
        self._shape: tuple[int, ...] | None = None
        self._dtype = torch.float32
        self._device = torch.device("cpu")

    def see(self, batch: Tensor) -> None:
        """Takes a batch into account; raises ``PrecisionError`` for other dtypes and shapes that do not fit."""
        check_float(batch, f"calibrate {self.scheme}")
        shape = scale_shape(batch.shape, self.scheme)
        if batch.numel() == 0:
            return
        if self._shape not in (None, shape):
            found = f"a batch has scales of shape {list(shape)}, those before it {list(self._shape or ())}"
            raise PrecisionError(f"calibrate {self.scheme}", found, "batches of the same channels")
        self._shape = shape
        self._dtype = torch.promote_types(self._dtype, scale_dtype(batch))
        self._device = batch.device
        self._see_rows(_as_rows(batch.detach(), self.scheme))

    def _finite_ends(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest and largest finite value of each row; inf and -inf where a row has none."""
        low, high = rows.amin(dim=1), rows.amax(dim=1)
        if not bool((low.isfinite() & high.isfinite()).all()):
            finite = rows.isfinite()
            self.ignored += int((~finite).sum())
            low = rows.masked_fill(~finite, float("inf")).amin(dim=1)
            high = rows.masked_fill(~finite, -float("inf")).amax(dim=1)
        return low.to(scale_dtype(rows)), high.to(scale_dtype(rows))

    def scale(self) -> Scale:
        """The scale and the zero point (None when symmetric) of what was seen, of ``scale_shape`` of a batch.

        On the batches' device, in FP32, or FP64 if a batch was. A channel of which no element was finite, or all were
        zero: scale 1. Raises ``PrecisionError`` when nothing finite was seen.
        """
        if self._shape is None or not self._saw_finite():
            found = f"no finite element was seen, and {self.ignored} others"
            raise PrecisionError(f"calibrate {self.scheme}", found, "see(batch) before scale()")
        low, high = (end.to(self._device, self._dtype) for end in self._range())
        return _scale_of(low, high, self.scheme, self._shape)

    @abstractmethod
    def _see_rows(self, rows: Tensor) -> None:
        """Takes rows [scales, elements] of a batch into account."""

    @abstractmethod
    def _saw_finite(self) -> bool:
        """Whether there was a finite element."""

    @abstractmethod
    def _range(self) -> tuple[Tensor, Tensor]:
        """The ends [scales] of the range to cover; low above high for a channel of which nothing was finite."""


class MinMaxCalibrator(Calibrator):
    """The smallest and the largest value seen: bit for bit the scale that ``find_scale`` has for all batches joined."""

    _ends: tuple[Tensor, Tensor] | None = None

    def _see_rows(self, rows: Tensor) -> None:
        ends = self._finite_ends(rows)
        if self._ends is not None:
            ends = torch.minimum(self._ends[0], ends[0]), torch.maximum(self._ends[1], ends[1])
        self._ends = ends

    def _saw_finite(self) -> bool:
        return self._ends is not None and bool((self._ends[0] <= self._ends[1]).any())

    def _range(self) -> tuple[Tensor, Tensor]:
        assert self._ends is not None, "asked before a batch was seen"
        return self._ends


class MovingAverageCalibrator(MinMaxCalibrator):
    """A moving average of the batches' extremes, each new batch with the weight ``MOVING_SHARE``.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
    (2018), section 3.1.
    """

    def _see_rows(self, rows: Tensor) -> None:
        ends = self._finite_ends(rows)
        if self._ends is not None:
            ends = _move(self._ends[0], ends[0]), _move(self._ends[1], ends[1])
        self._ends = ends


class HistogramCalibrator(Calibrator):
    """A histogram of all batches, in bins 0.8 % wide (at most 8 MB), and the range that the calibrator finds in it.

    FP64 is read as FP32.
    """

    def __init__(self, scheme: Scheme) -> None:
        super().__init__(scheme)
        self._counter = Counter(CALIBRATION_BITS, moments=False)
        self._is_bf16 = True

    def _see_rows(self, rows: Tensor) -> None:
        self._counter.see(rows)
        self._is_bf16 &= rows.dtype == torch.bfloat16  # whose values are the lower edges of just these bins
        self.ignored = self._counter.ignored

    def _saw_finite(self) -> bool:
        return self._counter.saw_finite

    def _range(self) -> tuple[Tensor, Tensor]:
        return _solve(spectrum_of(self._counter.read(), CALIBRATION_BITS, self._is_bf16), self.scheme)


class ChannelHistogramCalibrator(MinMaxCalibrator):
    """A histogram per channel, in bins 3 % wide (12 kB a channel), and the ranges that the calibrator finds in them.

    Magnitudes over 24 octaves below their channel's largest count as zero. FP64 is read as FP32.
    """

    _counter: ChannelCounter | None = None

    def _see_rows(self, rows: Tensor) -> None:
        super()._see_rows(rows)
        if self._counter is None:
            self._counter = ChannelCounter(len(rows), rows.device)
        self._counter.see(rows.float())

    def _range(self) -> tuple[Tensor, Tensor]:
        assert self._counter is not None, "asked before a batch was seen"
        ends = super()._range()
        low, high = (torch.where(end.isfinite(), end, 0.0).double().cpu().numpy() for end in ends)
        return _solve(self._counter.read(low, high), self.scheme)


def find_calibrator(scheme: Scheme) -> Calibrator:
    """A new calibrator of the kind that the scheme names.

    Raises ``PrecisionError`` for schemes that are dynamic, take no scale, or have one per token, group or block.
    """
    if scheme.calibrator == "minmax":
        return MinMaxCalibrator(scheme)
    if scheme.calibrator == "moving_average":
        return MovingAverageCalibrator(scheme)
    return HistogramCalibrator(scheme) if scheme.granularity == "tensor" else ChannelHistogramCalibrator(scheme)


def calibrate(batches: Iterable[Tensor], scheme: Scheme) -> Scale:
    """The scale and zero point of a static scheme for data like the batches, which are read once, one after another.

    Shapes, edge cases and errors are those of ``Calibrator.see`` and ``Calibrator.scale``.
    """
    calibrator = find_calibrator(scheme)
    for batch in batches:
        calibrator.see(batch)
    return calibrator.scale()


def scale_from_histogram(histogram: Histogram, scheme: Scheme) -> Scale:
    """The scale and zero point, [] both, that a scheme per tensor finds for data of this histogram.

    Dynamic schemes, and the calibrators minmax and moving_average, take the extremes, others what the bins tell them.
    """
    low, high = torch.tensor([min(histogram.min, histogram.max)]), torch.tensor([max(histogram.min, histogram.max)])
    if not histogram.finite:
        low, high = torch.zeros(1), torch.zeros(1)
    elif not scheme.dynamic and scheme.calibrator in SOLVERS:
        is_exact = int(histogram.used_bits.max()) <= histogram.mantissa_bits
        low, high = _solve(spectrum_of(histogram, histogram.mantissa_bits, is_exact), scheme)
    return _scale_of(low.float(), high.float(), scheme, ())


def _check_scheme(scheme: Scheme) -> None:
    asked = f"calibrate {scheme}"
    if not scheme.scaled:
        raise PrecisionError(asked, f"{scheme.spec.label} takes no scale", "a format of 8 bits or fewer")
    if scheme.dynamic:
        raise PrecisionError(asked, "a dynamic scheme finds its scale from each tensor", "dynamic=False")
    if scheme.granularity not in ("tensor", "channel"):
        found = f"batches have no {scheme.granularity}s in common"
        raise PrecisionError(asked, found, "granularity='tensor' or 'channel'")


def _as_rows(x: Tensor, scheme: Scheme) -> Tensor:
    """x as [scales, elements]; a view wherever strides allow."""
    return x.reshape(1, -1) if scheme.axis is None else x.movedim(scheme.axis, 0).reshape(x.shape[scheme.axis], -1)


def _move(old: Tensor, new: Tensor) -> Tensor:
    """The average moved towards the new ends; channels that one of the two never saw take the other's."""
    moved = old + MOVING_SHARE * (new - old)
    return torch.where(old.isfinite() & new.isfinite(), moved, torch.where(old.isfinite(), old, new))


def _solve(spectrum: Spectrum, scheme: Scheme) -> tuple[Tensor, Tensor]:
    low, high = SOLVERS[scheme.calibrator](spectrum, scheme)
    return torch.from_numpy(low), torch.from_numpy(high)


def _scale_of(low: Tensor, high: Tensor, scheme: Scheme, shape: Sequence[int]) -> Scale:
    """The scale and zero point of ranges [scales], of a shape; those of a range that was never seen are of zeros."""
    ends = torch.stack([low, high], dim=1)
    ends = torch.where((low <= high).unsqueeze(1), ends, 0.0)
    scale, zero_point = find_scale(ends, replace(scheme, granularity="token", axis=None))
    return scale.reshape(shape), None if zero_point is None else zero_point.reshape(shape)
