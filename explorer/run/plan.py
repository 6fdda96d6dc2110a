"""The plan: which kernel runs each op of a recipe, and every cast between them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from explorer.formats import find_format
from explorer.graph import ModelGraph, Op
from explorer.kernels import CARRIERS, Kernel, Selection, Site, StaticScale, as_float
from explorer.measure import Device
from explorer.recipe import Recipe
from explorer.run.choosing import Shapes


@dataclass(frozen=True)
class Step:
    """One op of the plan: the kernel that runs it (None: a view or integer op, run as it is).

    ``takes`` maps each floating input to the carrier it is converted to; ``gives`` is the carrier that comes out
    (empty where no float does). ``selection`` holds the reasons when the kernel is emulated.
    """

    op: Op
    site: Site
    selection: Selection | None
    takes: Mapping[str, str]
    gives: str

    @cached_property
    def kernel(self) -> Kernel | None:
        return self.selection.kernel if self.selection else None

    @cached_property
    def emulated(self) -> bool:
        return self.kernel is not None and self.kernel.emulated

    @cached_property
    def key(self) -> str:
        """What makes two steps cost the same time: kind, kernel, shapes (of weights too), settings."""
        shapes = ",".join(
            "x".join(map(str, shape)) for name in self.op.refs if (shape := self._shape(name)) is not None
        )
        name = self.kernel.name if self.kernel else "torch"
        fixed = [str(a) for a in self.op.args if isinstance(a, (int, float, list))]
        fixed += [f"{key}={a}" for key, a in self.op.kwargs.items() if isinstance(a, (int, float, list))]
        return f"{self.op.kind}|{name}|{shapes}|{','.join(fixed)}"

    def _shape(self, name: str) -> tuple[int, ...] | None:
        constant = self.site.constants.get(name)
        return self.site.shapes.get(name) if constant is None else tuple(constant.shape)


@dataclass(frozen=True)
class Cast:
    """A tensor changing its format on the way from its producer to its consumers.

    ``value`` names the tensor, ``source`` the op (or input) that makes it. ``direction`` is ``"down"`` to fewer bits or
    the same number, else ``"up"``. ``bytes`` are read plus written. ``emulated``: no kernel of this device converts so.
    """

    value: str
    source: str
    consumers: tuple[str, ...]
    from_: str
    to: str
    carrier: str
    elements: int
    emulated: bool

    @property
    def direction(self) -> str:
        return "up" if find_format(self.to).storage_bits > find_format(self.from_).storage_bits else "down"

    @property
    def bytes(self) -> int:
        bits = find_format(self.from_).storage_bits + find_format(self.to).storage_bits
        return self.elements * bits // 8

    @cached_property
    def key(self) -> str:
        """What makes two casts cost the same time."""
        return f"cast|{self.from_}|{self.carrier}|{self.elements}"

    @cached_property
    def id(self) -> str:
        return f"cast:{self.value}:{self.carrier}"


@dataclass(frozen=True, eq=False)
class Since:
    """Where a plan was made next to another one: what that one ``kept``, and the places of the steps that differ."""

    kept: Mapping[str, Any]
    places: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A recipe on a graph, a device and concrete shapes, with the scales of the values that flow in static codes.

    ``format_of``: the carrier that each floating value flows in. ``since``: see there; a plan is the same without it.
    """

    graph: ModelGraph
    recipe: Recipe
    device: Device
    steps: tuple[Step, ...]
    casts: tuple[Cast, ...]
    shapes: Shapes
    format_of: Mapping[str, str]
    scales: Mapping[str, StaticScale] = field(default_factory=dict)
    since: Since | None = None

    def converter(self, value: str, carrier: str) -> Callable[[Any], Any]:
        """Return what converts ``value`` to ``carrier``: under its own scale where that is static."""
        target, source = CARRIERS[carrier], CARRIERS[self.format_of[value]]
        convert = partial(target.convert, fixed=self.scales[value]) if target.static else target.convert
        return convert if source.scheme is None else lambda x: convert(as_float(x))

    @cached_property
    def step_of(self) -> Mapping[str, Step]:
        return {step.op.id: step for step in self.steps}

    @property
    def position_of(self) -> Mapping[str, int]:
        """Op id -> its place in the order of execution."""
        return self.graph.places

    def born(self, value: str) -> int:
        """The position of the op that makes ``value``; -1 for an input."""
        maker = self.graph.producer.get(value)
        return -1 if maker is None else self.position_of[maker.id]

    @property
    def kernels(self) -> dict[str, str]:
        """Op id -> name of the kernel that runs it."""
        return {step.op.id: step.kernel.name for step in self.steps if step.kernel}

    @property
    def refusals(self) -> dict[str, str]:
        """Op id -> why no real kernel runs it, for the emulated ops."""
        return {s.op.id: s.selection.reason for s in self.steps if s.selection and s.emulated}

    @property
    def emulated(self) -> tuple[str, ...]:
        """Ids of the emulated ops."""
        return tuple(self.refusals)

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What follows from this plan and was found already, by name; a plan never changes."""
        return {}

    @cached_property
    def cast_of(self) -> Mapping[tuple[str, str], Cast]:
        """Value and carrier -> the cast that makes it."""
        return {(cast.value, cast.carrier): cast for cast in self.casts}

    @cached_property
    def dying(self) -> tuple[tuple[str, ...], ...]:
        """For each position, the values that no later step reads."""
        dying: list[list[str]] = [[] for _ in self.steps]
        for name, last in self.graph.last_use.items():
            if last < len(self.steps) and name not in self.graph.constants:
                dying[last].append(name)
        return tuple(map(tuple, dying))

    @cached_property
    def prefix_keys(self) -> tuple[str, ...]:
        """For each position, a key that two plans share exactly when everything computed before it is equal."""
        digest = hashlib.blake2b(self.graph.fingerprint.encode(), digest_size=12)
        keys = []
        for step in self.steps:
            keys.append(digest.copy().hexdigest())
            digest.update(f"{step.op.id}|{step.kernel.name if step.kernel else ''}|{step.gives}".encode())
            digest.update(str([self.scales[n] for n, c in step.takes.items() if CARRIERS[c].static]).encode())
        return (*keys, digest.hexdigest())
