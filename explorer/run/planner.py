"""How a recipe becomes a plan: op by op, and next to a plan that there is already only where the two differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod

import torch

from explorer.errors import PrecisionError
from explorer.graph import ModelGraph, Op
from explorer.kernels import BEST_FP32, CARRIERS, Kernel, Option, Selection, Site, StaticScale
from explorer.measure import Device
from explorer.recipe import Recipe
from explorer.run.choosing import Chooser, Made, Shapes
from explorer.run.plan import Cast, Plan, Since, Step

FORMAT_OF_DTYPE = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.float64: "fp32"}


class Planner:
    """Plans recipes of one graph on one device; keeps what does not depend on the recipe. No other state.

    ``scales()`` returns the static scales of :attr:`static_values`; it is asked when a recipe first needs them.
    """

    def __init__(
        self, graph: ModelGraph, device: Device, shapes: Shapes, scales: Callable[[], Mapping[str, StaticScale]] = dict
    ) -> None:
        self.graph, self.device, self.shapes, self._scales = graph, device, shapes, scales
        self._chooser = Chooser(graph, device, shapes)
        self._steps: dict[tuple[str, ...], Step] = {}

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
        return Step(site.op, site, selection, self._chooser.takes(site.op, kernel, lambda _: None), kernel.gives)

    def forget_choices(self) -> None:
        """Choose kernels anew: rivals were measured since."""
        self._chooser.forget()

    def choices(self, plan: Plan) -> list[tuple[Site, str]]:
        """Return what rivals may be measured for: the ops of ``plan`` in their precisions, and all in best FP32."""
        chosen = [(step.site, step.selection.precision) for step in plan.steps if step.selection]
        return chosen + [(self._chooser.sites[op.id], BEST_FP32) for op in self.graph.rows]

    def plan(self, recipe: Recipe, fp32: str = "fp32", near: Plan | None = None) -> Plan:
        """Return the plan of ``recipe``; with ``fp32=BEST_FP32`` its FP32 ops run on the fastest kernels there are.

        near: a plan that this planner made under the same choices, scales and ``fp32``: only what differs from it is
        planned, which for a click among thousands of ops is next to nothing. The plan is the same without it.
        Raises :class:`PrecisionError` when an op cannot take its precision at all.
        """
        graph, steps, formats = self.graph, [*(near.steps if near else ())], self._first_formats(near)
        places = self._chooser.places

        def made(value: str) -> Kernel | None:
            return steps[places[value]].kernel if value in places else None

        touched, values, others = self._open(recipe, near), set[str](), list[int]()
        at = touched.find(1)
        while at >= 0:
            op = graph.ops[at]
            step = self._row(op, recipe, made, fp32) if op.has_precision else self._step(op, formats)
            if near is None:
                steps.append(step)
            elif step != steps[at]:
                values |= {op.name, *step.takes, *steps[at].takes}
                steps[at] = step
                others.append(at)
                for reader in self._readers(op):
                    touched[graph.places[reader.id]] = 1
            if step.gives:
                formats[op.name] = step.gives
            at = touched.find(1, at + 1)
        casts = self._casts(steps, formats, near, values)
        scales = self._fixed(steps, near, values)
        since = None if near is None else Since(near.kept, tuple(others))
        return Plan(graph, recipe, self.device, tuple(steps), casts, self.shapes, formats, scales, since)

    def _first_formats(self, near: Plan | None) -> dict[str, str]:
        if near is not None:
            return dict(near.format_of)
        return dict.fromkeys((name for name in self.graph.inputs if self.graph.is_floating(name)), "fp32")

    def _open(self, recipe: Recipe, near: Plan | None) -> bytearray:
        """One byte for each op, in order: 1 where its step is to be found; all of them where no plan is near.

        Else those whose precision is another one, and those that write codes where these are all that is read.
        """
        ops = self.graph.ops
        if near is None:
            return bytearray(b"\1") * len(ops)
        touched, before = bytearray(len(ops)), near.recipe.precisions
        for op, precision in recipe.precisions.items():
            if precision != before[op]:
                place = self.graph.places[op]
                touched[place] = 1
                for leader in self._chooser.leaders_of(ops[place]):
                    touched[self.graph.places[leader]] = 1
        return touched

    def _readers(self, op: Op) -> Iterator[Op]:
        """The ops whose steps may depend on the step of ``op``: its readers, looking through folded norms."""
        for reader in self.graph.users.get(op.name, ()):
            yield reader
            if reader.folded_into:
                yield from self._readers(reader)

    def _step(self, op: Op, formats: Mapping[str, str]) -> Step:
        """The step of an op that has no precision."""
        site = self._chooser.sites[op.id]
        floating = [n for n in site.inputs if n in site.floating]
        key = (op.id, *(formats[name] for name in floating))
        if key not in self._steps:
            takes, gives = _pass_through(op, floating, formats)
            self._steps[key] = Step(op, site, None, takes, gives)
        return self._steps[key]

    def _row(self, op: Op, recipe: Recipe, made: Made, fp32: str) -> Step:
        """The step of an op that has one."""
        selection = self._chooser.select_in(op, recipe, made, fp32)
        kernel = selection.kernel
        if kernel is None:
            raise PrecisionError(
                f"run {op.id!r} in {recipe[op.id]!r}", selection.reason, "another precision for this op, such as 'bf16'"
            )
        key = (op.id, "in", kernel.name)
        step = self._steps.get(key)
        if step is None or step.selection is not selection:
            step = Step(op, self._chooser.sites[op.id], selection, self._chooser.takes(op, kernel, made), kernel.gives)
            # What a sum reads in static codes depends on what was made before it: that one is found anew each time.
            if op.role == "compute" or not CARRIERS[kernel.takes].static:
                self._steps[key] = step
        return step

    def _casts(
        self, steps: list[Step], formats: Mapping[str, str], near: Plan | None, values: set[str]
    ) -> tuple[Cast, ...]:
        """All casts in the order in which they are first needed; next to a plan, only those of ``values`` are new."""
        graph = self.graph
        if near is None:
            values, kept = {*graph.users, graph.output.name}, []
        else:
            kept = [cast for cast in near.casts if cast.value not in values]

        def order(cast: Cast) -> tuple[int, int]:
            place = graph.places.get(cast.consumers[0], len(graph.ops))
            return place, graph.ops[place].refs.index(cast.value) if place < len(graph.ops) else 0

        new = [cast for value in values for cast in self._casts_of(value, steps, formats)]
        return tuple(sorted((*kept, *new), key=order))

    def _casts_of(self, value: str, steps: list[Step], formats: Mapping[str, str]) -> Iterator[Cast]:
        """One cast per carrier, shared by its consumers; the model's output returns to FP32."""
        graph, given = self.graph, formats.get(value, "")
        consumers: dict[str, list[str]] = {}
        for reader in graph.users.get(value, ()):
            carrier = steps[graph.places[reader.id]].takes.get(value, given)
            if carrier != given:
                consumers.setdefault(carrier, []).append(reader.id)
        if value == graph.output.name and given != "fp32":
            consumers.setdefault("fp32", []).append("output")
        for carrier, ops in consumers.items():
            yield Cast(
                value=value,
                source=graph.producer[value].id if value in graph.producer else value,
                consumers=tuple(ops),
                from_=CARRIERS[given].format,
                to=CARRIERS[carrier].format,
                carrier=carrier,
                elements=prod(self.shapes[value]),
                emulated=self.device.type not in CARRIERS[carrier].native_on,
            )

    def _fixed(self, steps: list[Step], near: Plan | None, values: set[str]) -> Mapping[str, StaticScale]:
        """The scales of the values that some step takes in static codes."""
        if near is None:
            readers: Iterable[Step] = steps
        else:
            users = (op for value in values for op in self.graph.users.get(value, ()))
            readers = (steps[self.graph.places[op.id]] for op in users)
        static = {name for step in readers for name, carrier in step.takes.items() if CARRIERS[carrier].static}
        if near is not None:
            static |= near.scales.keys() - values
        known = self._scales() if static else {}
        return {name: known[name] for name in static}


def _pass_through(op: Op, floating: list[str], formats: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """A view keeps the format that arrives; one that joins tensors takes the widest. A view of constants is FP32."""
    if op.output is None or not op.output.floating:
        return {name: formats[name] for name in floating}, ""
    if op.role == "integer" or not floating:
        return dict.fromkeys(floating, "fp32"), FORMAT_OF_DTYPE[op.output.dtype]
    arriving = {formats[name] for name in floating}
    joined = arriving.pop() if len(arriving) == 1 else "fp32"
    return dict.fromkeys(floating, joined), joined
