"""Ranges of every tensor of a model, in one pass over its data. (Effect: runs the model; compiled loops on threads.)"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from explorer.errors import Cancelled
from explorer.graph import ModelGraph, Op, interpret
from explorer.observe.counters import Counters, count_weight
from explorer.observe.picking import Picker
from explorer.observe.range_set import Ranges, RangeSet, make_fingerprint
from explorer.observe.slices import Slicing, find_slicings
from explorer.observe.watch import Watch, Watched, choose_watched
from explorer.progress import Progress
from explorer.ranges import Runs, TensorRange
from explorer.subject import Subject

Slices = str | Sequence[Any] | Tensor | Mapping[str, Any]


def observe(
    subject: Subject,
    n: int | None = None,
    slices: Slices | None = None,
    progress: Progress | None = None,
    cancel: Any = None,
    known: RangeSet | None = None,
) -> RangeSet:
    """The ranges of every op's inputs and output in FP32, and of the weights, over the first ``n`` samples (all).

    The data stream through the captured graph once and no activation is kept. Each set of elements is counted once,
    right after its op ran; copies that fill the last batch up are left out.

    slices: which part of the data each sample or token belongs to, see :func:`find_slicings`; ranges of each part are
    found too. known: the ranges of this subject's first samples, by the same slices; where they are of whole batches
    only the samples after them are run, and the result is equal to that of one pass over all. Raises
    :class:`DataError` for slices that the data cannot be cut into, and :class:`Cancelled`.
    """
    total = len(subject.samples) if n is None else max(1, min(n, len(subject.samples)))
    slicings = find_slicings(slices, subject.samples)
    watch = choose_watched(subject.graph)
    if known is not None and (known.samples > total or known.samples % subject.samples.batch_size):
        known = None
    start = 0 if known is None else known.samples // subject.samples.batch_size
    digests = [_digests(inputs, count) for inputs, count in islice(subject.samples.first(total), start, None)]
    picker = Picker(digest for batch in digests for digest in batch)
    pass_ = _Pass(subject.graph, watch, slicings, picker, started=known is not None)
    done = 0 if known is None else known.samples
    for (inputs, count), found_digests in zip(islice(subject.samples.first(total), start, None), digests, strict=True):
        if cancel is not None and cancel.is_set():
            raise Cancelled("find the ranges")
        if progress is not None:
            progress(done, total, "finding ranges")
        picker.begin(found_digests)
        pass_.run(inputs, count, done)
        done += count
    weights = _count_weights(subject.graph) if known is None else known.weights
    fingerprint = make_fingerprint(subject.graph.fingerprint, sum(map(sum, digests)))
    counted = done if known is None else done - known.samples
    found = RangeSet(pass_.read(), weights, pass_.read_slices(), counted, fingerprint, watch.fixed)
    return found if known is None else known.merge(found)


class _Pass:
    """One pass over data: the counters of every watched value, of all samples and of each slice; runs of a few."""

    def __init__(
        self, graph: ModelGraph, watch: Watch, slicings: Sequence[Slicing], picker: Picker, started: bool
    ) -> None:
        """started: whether the values that no sample changes were counted before."""
        self._graph, self._watch, self._slicings = graph, watch, slicings
        self._picker = picker
        self._whole = Counters()
        self._parts = {label: Counters() for slicing in slicings for label in slicing.names}
        self._started = started

    def run(self, inputs: tuple[Any, ...], count: int, start: int) -> None:
        """Count the first ``count`` samples of a batch, the first of which is sample ``start``."""
        size, watched = len(inputs[0]), self._watch.counted

        def see(name: str, value: Any) -> None:
            found = watched.get(name)
            value = value[0] if isinstance(value, (tuple, list)) else value
            if found is None or (found.batch_axis is None and self._started):
                return
            self._see(found, value, size, slice(start, start + count))

        def note(op: Op, output: Any) -> None:
            see(op.name, output)

        for name, value in zip(self._graph.inputs, inputs, strict=True):
            see(name, value)
        interpret(self._graph, inputs, note)
        self._started = True

    def _see(self, watched: Watched, value: Tensor, size: int, chosen: slice) -> None:
        count = chosen.stop - chosen.start
        if watched.batch_axis is not None and count < size:
            folded = value.shape[watched.batch_axis] // size
            value = value.narrow(watched.batch_axis, 0, count * folded)
        self._picker.see(watched, value)
        if self._whole.is_counted_along(watched.name):
            return
        self._whole.see(watched, value)
        for slicing in self._slicings:
            for label, part in slicing.cut(watched, value, chosen):
                self._parts[label].see(watched, part)

    def read(self) -> Ranges:
        """The ranges of all samples."""
        return self._name(self._whole, self._picker)

    def read_slices(self) -> Mapping[str, Ranges]:
        """Those of each slice."""
        return {label: self._name(counters) for label, counters in self._parts.items()}

    def _name(self, counters: Counters, picker: Picker | None = None) -> dict[str, TensorRange]:
        """The counted ranges under the names of all values that have those elements."""
        joined: dict[tuple[str, ...], TensorRange] = {}
        for sources in self._watch.same.values():
            if sources not in joined and all(source in counters for source in sources):
                runs = None if picker is None else picker.read(sources)
                joined[sources] = replace(counters.join(sources), runs=runs)
        return {name: joined[sources] for name, sources in self._watch.same.items() if sources in joined}


def _count_weights(graph: ModelGraph) -> dict[str, TensorRange]:
    """The ranges of the floating constants that ops read; tied weights are counted once."""
    counted: dict[tuple[object, ...], TensorRange] = {}
    found: dict[str, TensorRange] = {}
    for name in dict.fromkeys(name for op in graph.ops for name in op.refs):
        weight = graph.constants.get(name)
        if weight is None or not weight.is_floating_point():
            continue
        key = weight.data_ptr(), weight.shape, weight.stride(), weight.dtype, weight.device
        if key not in counted:
            counted[key] = replace(count_weight(graph, name), runs=Runs.of(weight))
        found[name] = counted[key]
    return found


def _digests(inputs: tuple[Any, ...], count: int) -> list[int]:
    """The digests of the samples: those of the same sample are equal, wherever it stands."""
    found = []
    tensors = [x[:count].detach().cpu().contiguous() for x in inputs]
    for sample in range(count):
        digest = hashlib.sha1(usedforsecurity=False)  # no secret: the fastest one where the CPU has instructions for it
        for x in tensors:
            digest.update(x[sample].reshape(-1).view(torch.uint8).numpy().data)
        found.append(int.from_bytes(digest.digest()[:8], "little"))
    return found
