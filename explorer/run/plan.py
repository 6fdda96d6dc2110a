"""The plan: which kernel runs each op of a recipe, and every cast between them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from typing import Any

import torch

from explorer.errors import PrecisionError
from explorer.formats import find_format
from explorer.graph import ModelGraph, Op
from explorer.kernels import BEST_FP32, CARRIERS, Kernel, Option, Selection, Site, StaticScale, as_float
from explorer.measure import Device
from explorer.recipe import Recipe
from explorer.run.choosing import Chooser, Made, Shapes

FORMAT_OF_DTYPE = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.float64: "fp32"}


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

    @property
    def kernel(self) -> Kernel | None:
        return self.selection.kernel if self.selection else None

    @property
    def emulated(self) -> bool:
        return self.kernel is not None and self.kernel.emulated

    @property
    def key(self) -> str:
        """What makes two steps cost the same time: kind, kernel, shapes."""
        shapes = ",".join("x".join(map(str, self.site.shapes[n])) for n in self.op.refs if n in self.site.shapes)
        name = self.kernel.name if self.kernel else "torch"
        fixed = [str(a) for a in self.op.args if isinstance(a, (int, float, list))]
        return f"{self.op.kind}|{name}|{shapes}|{','.join(fixed)}"


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

    @property
    def key(self) -> str:
        """What makes two casts cost the same time."""
        return f"cast|{self.from_}|{self.carrier}|{self.elements}"

    @property
    def id(self) -> str:
        return f"cast:{self.value}:{self.carrier}"


@dataclass(frozen=True, eq=False)
class Plan:
    """A recipe on a graph, a device and concrete shapes, with the scales of the values that flow in static codes."""

    graph: ModelGraph
    recipe: Recipe
    device: Device
    steps: tuple[Step, ...]
    casts: tuple[Cast, ...]
    shapes: Shapes
    scales: Mapping[str, StaticScale] = field(default_factory=dict)

    def converter(self, value: str, carrier: str) -> Callable[[Any], Any]:
        """Return what converts ``value`` to ``carrier``: under its own scale where that is static."""
        target, source = CARRIERS[carrier], CARRIERS[self.format_of[value]]
        convert = partial(target.convert, fixed=self.scales[value]) if target.static else target.convert
        return convert if source.scheme is None else lambda x: convert(as_float(x))

    @cached_property
    def step_of(self) -> Mapping[str, Step]:
        return {step.op.id: step for step in self.steps}

    @cached_property
    def position_of(self) -> Mapping[str, int]:
        """Op id -> its place in the order of execution."""
        return {step.op.id: position for position, step in enumerate(self.steps)}

    def born(self, value: str) -> int:
        """The position of the op that makes ``value``; -1 for an input."""
        maker = self.graph.producer.get(value)
        return -1 if maker is None else self.position_of[maker.id]

    @cached_property
    def format_of(self) -> Mapping[str, str]:
        """The carrier that each floating value flows in."""
        formats = dict.fromkeys((n for n in self.graph.inputs if self.graph.is_floating(n)), "fp32")
        return formats | {step.op.name: step.gives for step in self.steps if step.gives}

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


class Planner:
    """Plans recipes of one graph on one device; keeps what does not depend on the recipe. No other state.

    ``scales()`` returns the static scales of :attr:`static_values`; it is asked when a recipe first needs them.
    """

    def __init__(
        self, graph: ModelGraph, device: Device, shapes: Shapes, scales: Callable[[], Mapping[str, StaticScale]] = dict
    ) -> None:
        self.graph, self.device, self.shapes, self._scales = graph, device, shapes, scales
        self._chooser = Chooser(graph, device, shapes)

    @property
    def static_values(self) -> tuple[str, ...]:
        """Names of the values that some op could read in static codes."""
        sites = self._chooser.sites
        names = (
            name
            for op in self.graph.rows
            if self.option(op.id, "int8_static").possible
            for name in (sites[op.id].operands if op.role == "compute" else sites[op.id].inputs)
        )
        return tuple(dict.fromkeys(names))

    def select(self, op: str, precision: str) -> Selection:
        """Return the kernel chosen for an op in a precision, with the refusals on the way."""
        return self._chooser.select(op, precision)

    def option(self, op: str, precision: str) -> Option:
        return self._chooser.option(op, precision)

    def alone(self, op: str, precision: str) -> Step | None:
        """Return the step of an op in a precision where all others are in FP32; None where no kernel runs it."""
        selection, site = self._chooser.select(op, precision), self._chooser.sites[op]
        kernel = selection.kernel
        if kernel is None:
            return None
        return Step(site.op, site, selection, self._chooser.takes(site.op, kernel, {}), kernel.gives)

    def forget_choices(self) -> None:
        """Choose kernels anew: rivals were measured since."""
        self._chooser.forget()

    def choices(self, plan: Plan) -> list[tuple[Site, str]]:
        """Return what rivals may be measured for: the ops of ``plan`` in their precisions, and all in best FP32."""
        chosen = [(step.site, step.selection.precision) for step in plan.steps if step.selection]
        return chosen + [(self._chooser.sites[op.id], BEST_FP32) for op in self.graph.rows]

    def plan(self, recipe: Recipe, fp32: str = "fp32") -> Plan:
        """Return the plan of ``recipe``; with ``fp32=BEST_FP32`` its FP32 ops run on the fastest kernels there are.

        Raises :class:`PrecisionError` when an op cannot take its precision at all.
        """
        formats = dict.fromkeys((n for n in self.graph.inputs if self.graph.is_floating(n)), "fp32")
        steps: list[Step] = []
        made: dict[str, Kernel | None] = {}
        for op in self.graph.ops:
            step = self._step(op, formats) if not op.has_precision else self._row(op, recipe, made, fp32)
            if step.gives:
                formats[op.name] = step.gives
            made[op.name] = step.kernel
            steps.append(step)
        casts = _find_casts(self.graph, steps, formats, self.shapes, self.device)
        static = {name for step in steps for name, carrier in step.takes.items() if CARRIERS[carrier].static}
        known = self._scales() if static else {}
        scales = {name: known[name] for name in static}
        return Plan(self.graph, recipe, self.device, tuple(steps), casts, self.shapes, scales)

    def _step(self, op: Op, formats: Mapping[str, str]) -> Step:
        """The step of an op that has no precision."""
        site = self._chooser.sites[op.id]
        takes, gives = _pass_through(op, [n for n in site.inputs if n in site.floating], formats)
        return Step(op, site, None, takes, gives)

    def _row(self, op: Op, recipe: Recipe, made: Made, fp32: str) -> Step:
        """The step of an op that has one."""
        selection = self._chooser.select_in(op, recipe, made, fp32)
        kernel = selection.kernel
        if kernel is None:
            raise PrecisionError(
                f"run {op.id!r} in {recipe[op.id]!r}", selection.reason, "another precision for this op, such as 'bf16'"
            )
        return Step(op, self._chooser.sites[op.id], selection, self._chooser.takes(op, kernel, made), kernel.gives)


def _pass_through(op: Op, floating: list[str], formats: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """A view keeps the format that arrives; one that joins tensors takes the widest. A view of constants is FP32."""
    if op.output is None or not op.output.floating:
        return {name: formats[name] for name in floating}, ""
    if op.role == "integer" or not floating:
        return dict.fromkeys(floating, "fp32"), FORMAT_OF_DTYPE[op.output.dtype]
    arriving = {formats[name] for name in floating}
    joined = arriving.pop() if len(arriving) == 1 else "fp32"
    return dict.fromkeys(floating, joined), joined


def _find_casts(
    graph: ModelGraph, steps: list[Step], formats: Mapping[str, str], shapes: Shapes, device: Device
) -> tuple[Cast, ...]:
    """One cast per value and carrier, shared by its consumers; the model's output returns to FP32."""
    consumers: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        for name, carrier in step.takes.items():
            if formats[name] != carrier:
                consumers.setdefault((name, carrier), []).append(step.op.id)
    if formats[graph.output.name] != "fp32":
        consumers.setdefault((graph.output.name, "fp32"), []).append("output")
    return tuple(
        Cast(
            value=name,
            source=graph.producer[name].id if name in graph.producer else name,
            consumers=tuple(ops),
            from_=CARRIERS[formats[name]].format,
            to=CARRIERS[carrier].format,
            carrier=carrier,
            elements=prod(shapes[name]),
            emulated=device.type not in CARRIERS[carrier].native_on,
        )
        for (name, carrier), ops in consumers.items()
    )
