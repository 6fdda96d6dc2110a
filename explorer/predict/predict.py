"""Making a predicted map, batch by batch. (Effect: runs the model; progress reports.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from numbers import Integral

import numpy as np

from explorer.compare.runs import Extent, each_batch
from explorer.errors import DataError
from explorer.precision import find_precision
from explorer.predict.keep import MapStore, fingerprint_of
from explorer.predict.probes import seed_of
from explorer.predict.products import Contract, signed
from explorer.predict.record import Cell, Flow, PredictedMap, Products, Seam, Unit
from explorer.predict.seams import find_seams, flow_of, is_static
from explorer.predict.sensitivity import Key, Manner, Rounding, Sensitivity, Work
from explorer.recipe import BASELINE
from explorer.run import Step
from explorer.subject import Subject

PROBES, SAMPLES = 4, 512
"""What a map is made from where no numbers are asked for."""
BUDGET = 1 << 28
"""Bytes held at a time. From 128 MiB to 1 GiB no difference in speed was seen."""
_TEXT = "predicting quality costs"


@dataclass(frozen=True)
class Ask:
    """What is asked of a map: its precisions, how many probes, how an error becomes products, and how many bytes of
    values and gradients may be held at a time. Packed weights, and what the allocator keeps, come on top."""

    precisions: tuple[str, ...]
    probes: int = PROBES
    contract: Contract = signed
    budget_bytes: float = BUDGET

    def __post_init__(self) -> None:
        if not isinstance(self.probes, Integral) or self.probes < 1:
            raise DataError(f"predict with probes={self.probes!r}", "it is no whole number from 1 on", "probes=4")


def predict_map(
    subject: Subject,
    ask: Ask,
    extent: Extent = Extent(),  # noqa: B008  a frozen value
    known: PredictedMap | None = None,
    partial: Callable[[PredictedMap], None] | None = None,
    store: MapStore | None = None,
) -> PredictedMap:
    """Return what each op costs in each precision, predicted from the first samples (512, or all of fewer).

    What ``known``, another map of the same subject, has of these samples is taken over, and only the rest is computed:
    of precisions that it lacks all, of others what comes after its samples; its other precisions are handed on.
    ``partial`` gets the map after every batch;
    the first is a rough answer. A cell whose kernel fails, or whose error passes an op without a derivative, is refused
    with the reason. What ``store`` has is not computed again, and what is found is kept there, also before an
    interruption. Raises :class:`Cancelled`.
    """
    extent = Extent(SAMPLES if extent.n is None else extent.n, extent.progress, extent.cancel)
    known = known if store is None else _join(known, store.find(subject, ask.precisions, ask.probes))
    draft = _Draft(subject, ask, known, extent.of(len(subject.samples)))
    sensitivity = Sensitivity(subject, Manner(ask.probes, ask.contract, ask.budget_bytes))
    try:
        for index, (inputs, batch) in enumerate(each_batch(subject, extent, _TEXT)):
            work = draft.missing_at(index * subject.samples.batch_size)
            if work is None:
                continue
            draft.add(sensitivity.run(inputs, batch, seed_of(subject.samples.fingerprint, index), work, extent.cancel))
            draft.refuse(sensitivity.failures)
            if partial is not None:
                partial(draft.read())
    finally:
        if store is not None:
            store.add(draft.read().only([name for name in ask.precisions if name != BASELINE]))
    return draft.read()


def _join(known: PredictedMap | None, stored: PredictedMap | None) -> PredictedMap | None:
    """What is known and what is stored; what is stored alone where they do not belong together."""
    if known is None or stored is None:
        return known or stored
    same = (known.fingerprint, known.probes) == (stored.fingerprint, stored.probes)
    return known.merge(stored) if same else stored


class _Draft:
    """A map that is being made: what is to be done, and the products so far."""

    def __init__(self, subject: Subject, ask: Ask, known: PredictedMap | None, wanted: int) -> None:
        self._subject, self._ask = subject, ask
        steps, refusals = survey(subject, ask.precisions)
        self._steps, self._refusals = steps, refusals
        self._flows = {cell: flow_of(step) for cell, step in steps.items()}
        static = any(is_static(step) for step in steps.values())
        self._scales = subject.calibration().fingerprint if static else ""
        self._work = _plan_work(subject, steps, self._flows)
        self._products: dict[Key, Products] = {}
        self._known = self._usable(known)
        if self._known is not None:
            self._take(self._known, wanted)

    def _usable(self, known: PredictedMap | None) -> PredictedMap | None:
        """What is known of this subject, without what was found under other static scales."""
        asked = fingerprint_of(self._subject), self._ask.probes
        if known is None or (known.fingerprint, known.probes) != asked:
            return None
        if not self._scales or known.scales == self._scales:
            return known
        return known.only([name for name in known.precisions if not find_precision(name).is_static])

    def _take(self, known: PredictedMap, wanted: int) -> None:
        """Take over what is known, cut to whole batches where more is wanted."""
        size = self._subject.samples.batch_size
        mine = frozenset(self._work.keys)
        for key, products in (*known.products.items(), *known.seams.items()):
            if key in mine:
                whole = wanted if len(products) >= wanted else len(products) // size * size
                self._products[key] = products[:whole]
        self.refuse({cell: reason for cell, reason in known.refusals.items() if cell in mine})

    def missing_at(self, start: int) -> Work | None:
        """What is to be done on the batch that begins at this sample; None where nothing is."""
        keys = frozenset(key for key in self._work.keys if len(self._products.get(key, ())) <= start)
        keys -= self._refusals.keys()
        return self._work.only(keys) if keys else None

    def add(self, found: Mapping[Key, Products]) -> None:
        """Append the products of the next batch."""
        for key, products in found.items():
            self._products[key] = np.concatenate([self._products[key], products]) if key in self._products else products

    def refuse(self, failures: Mapping[Cell, str]) -> None:
        """Leave out cells that have no prediction."""
        self._refusals |= failures
        for cell in failures:
            self._products.pop(cell, None)

    def read(self) -> PredictedMap:
        """The map so far."""
        subject = self._subject
        cells = {cell: products for cell in self._steps if (products := self._products.get(cell)) is not None}
        found = replace(
            empty_map(subject, self._ask),
            products=cells,
            seams={key: products for key, products in self._products.items() if isinstance(key, Seam)},
            flows={cell: self._flows[cell] for cell in cells},
            refusals=dict(self._refusals),
            emulated=frozenset(cell for cell in cells if self._steps[cell].emulated),
            scales=self._scales,
        )
        return found if self._known is None else self._known.merge(found)


def empty_map(subject: Subject, ask: Ask) -> PredictedMap:
    """Return a map of a subject without any products."""
    return PredictedMap(
        ops=tuple(op.id for op in subject.graph.rows),
        precisions=ask.precisions,
        products={},
        seams={},
        flows={},
        refusals={},
        emulated=frozenset(),
        positions=prod(subject.baseline.shapes[subject.graph.output.name][1:-1]),
        unit=unit_of(subject),
        total=len(subject.samples),
        probes=ask.probes,
        fingerprint=fingerprint_of(subject),
    )


def unit_of(subject: Subject) -> Unit:
    """Return what costs are in: nats of KL where outputs are logits, else squared error."""
    return "nats" if subject.task.logits else "squared error"


def survey(subject: Subject, precisions: tuple[str, ...]) -> tuple[dict[Cell, Step], dict[Cell, str]]:
    """Return the step of every cell that can run, and why the others cannot."""
    steps, refusals = {}, {}
    for op in subject.graph.rows:
        for precision in precisions:
            step = subject.planner.alone(op.id, precision) if precision != BASELINE else None
            if step is not None:
                steps[op.id, precision] = step
            elif precision != BASELINE:
                refusals[op.id, precision] = subject.planner.option(op.id, precision).reason
    return steps, refusals


def _plan_work(subject: Subject, steps: Mapping[Cell, Step], flows: Mapping[Cell, Flow]) -> Work:
    cells: dict[str, dict[Cell, Step]] = {}
    for cell, step in steps.items():
        cells.setdefault(cell[0], {})[cell] = step
    roundings: dict[str, dict[Key, Rounding]] = {}
    for seam, name in find_seams(subject.graph, flows.values()).items():
        roundings.setdefault(seam.reader, {})[seam] = Rounding(name, seam.carrier)
    return Work(cells, roundings)
