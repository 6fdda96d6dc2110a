"""One op of a recipe on clean FP32 inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from explorer.formats import fake_quantize
from explorer.kernels import CARRIERS, StaticScale
from explorer.run.execute import KernelCache, KernelError
from explorer.run.plan import Step

Casts = dict[tuple[str, str], Any]
"""Values by name and carrier, each as it was converted: what several ops read is converted once."""


_IN_CODES = frozenset({"int8", "uint8"})
"""Formats whose emulated kernels multiply codes. Those of all others multiply the values that codes stand for, and
values that are rounded without codes are the same ones, found in fewer passes."""


class Alone:
    """An op in its precision as a function of the clean FP32 inputs: the casts that its kernel asks for, then the
    kernel. ``scales`` are those of the values that it takes in static codes."""

    def __init__(self, step: Step, scales: Mapping[str, StaticScale], kernels: KernelCache) -> None:
        self.step, self._scales, self._run = step, scales, kernels.call(step)

    @torch.no_grad()
    def __call__(self, inputs: tuple[Any, ...], casts: Casts | None = None) -> Any:
        """``inputs`` in the order of the site's. Casts are looked up in ``casts`` and added to it.

        Raises :class:`KernelError` that names the op.
        """
        names, known = self.step.site.inputs, {} if casts is None else casts
        try:
            return self._run(*(self._cast(name, value, known) for name, value in zip(names, inputs, strict=True)))
        except Exception as error:
            raise KernelError(self.step, error) from error

    def _cast(self, name: str, value: Any, casts: Casts) -> Any:
        carrier = CARRIERS[self.step.takes.get(name, "fp32")]
        if carrier.name == "fp32":
            return value
        if self.step.emulated and carrier.scheme is not None and carrier.format not in _IN_CODES and value.is_cpu:
            key = (name, f"{carrier.name}, as values")
            if key not in casts:
                casts[key] = fake_quantize(value, carrier.scheme)
            return casts[key]
        key = (name, carrier.name)
        if key not in casts:
            casts[key] = carrier.convert(value, self._scales[name]) if carrier.static else carrier.convert(value)
        return casts[key]
