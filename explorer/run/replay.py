"""Replay: after a toggle, re-run only from the nearest stored cut above the changed op. Bit-identical to a full run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from explorer.graph import ModelGraph
from explorer.run.execute import Executor

FP32_BYTES = 4


@dataclass(frozen=True)
class Cut:
    """A position in the op order, the values alive there, and their bytes for one batch in FP32."""

    position: int
    live: tuple[str, ...]
    bytes: int


def choose_cuts(
    graph: ModelGraph, shapes: Mapping[str, tuple[int, ...]], costs: Sequence[float], batches: int, budget_bytes: int
) -> tuple[Cut, ...]:
    """Return the cuts that save the most re-computation for a toggle at any row, within the budget for all batches.

    ``costs`` are the relative costs of the ops in order. Cuts are added one by one, each time the one with the largest
    expected saving per byte, until the budget is full or a cut would save less than 0.2 % of a full run.
    """
    candidates = _candidates(graph, shapes)
    chosen: list[Cut] = []
    left = budget_bytes
    total = sum(costs)
    rows = [index for index, op in enumerate(graph.ops) if op.has_precision]
    before = _prefix(costs)
    saved = _expected_saving(chosen, rows, before)
    while True:
        best, best_rate = None, 0.0
        for cut in candidates:
            if cut in chosen or cut.bytes * batches > left:
                continue
            gain = _expected_saving([*chosen, cut], rows, before) - saved
            rate = gain / max(1, cut.bytes)
            if gain > 0.002 * total and rate > best_rate:
                best, best_rate = cut, rate
        if best is None:
            return tuple(sorted(chosen, key=lambda cut: cut.position))
        chosen.append(best)
        left -= best.bytes * batches
        saved = _expected_saving(chosen, rows, before)


def _prefix(costs: Sequence[float]) -> list[float]:
    sums = [0.0]
    for cost in costs:
        sums.append(sums[-1] + cost)
    return sums


def _expected_saving(cuts: Sequence[Cut], rows: Sequence[int], before: Sequence[float]) -> float:
    """Mean over the rows of the cost above the nearest cut at or above the row."""
    positions = sorted(cut.position for cut in cuts)
    saving = 0.0
    for row in rows:
        above = [p for p in positions if p <= row]
        saving += before[above[-1]] if above else 0.0
    return saving / max(1, len(rows))


def _candidates(graph: ModelGraph, shapes: Mapping[str, tuple[int, ...]]) -> list[Cut]:
    """Every position before a row, with what is alive there; a view counts as the tensor whose storage it shares."""
    born = dict.fromkeys(graph.inputs, -1) | {op.name: index for index, op in enumerate(graph.ops)}
    roots = _roots(graph)
    cuts = []
    for position, op in enumerate(graph.ops):
        if not op.has_precision or position == 0:
            continue
        live = tuple(n for n, made in born.items() if made < position <= graph.last_use.get(n, -1))
        size = sum(_elements(shapes.get(root, ())) * FP32_BYTES for root in {roots[name] for name in live})
        cuts.append(Cut(position, live, size))
    return cuts


def _roots(graph: ModelGraph) -> dict[str, str]:
    """Value -> the value whose storage it may share."""
    roots = {name: name for name in graph.inputs}
    for op in graph.ops:
        source = next((name for name in op.refs if name in roots), None)
        roots[op.name] = roots[source] if op.role == "view" and source is not None else op.name
    return roots


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count


class Replay:
    """The live sets of the batches at the cuts, each with the key of the plan that made it.

    Holds at most ``budget_bytes``. Not for use by two threads at once.
    """

    def __init__(self, cuts: tuple[Cut, ...], budget_bytes: int) -> None:
        self.cuts, self.budget_bytes = cuts, budget_bytes
        self._by_position = {cut.position: cut for cut in cuts}
        self._stored: dict[tuple[int, int], tuple[str, dict[str, Any]]] = {}

    @property
    def bytes(self) -> int:
        """Bytes that the stored tensors hold, each storage counted once."""
        storages: dict[int, int] = {}
        for _, values in self._stored.values():
            for value in values.values():
                for tensor in value if isinstance(value, (tuple, list)) else (value,):
                    if isinstance(tensor, Tensor):
                        storage = tensor.untyped_storage()
                        storages[storage.data_ptr()] = storage.nbytes()
        return sum(storages.values())

    def clear(self) -> None:
        self._stored.clear()

    def run(self, executor: Executor, batch: int, inputs: Mapping[str, Any], cancel: Any = None) -> Tensor:
        """Run ``executor``'s plan on a batch from the deepest cut that is still valid, refreshing the cuts below it."""
        keys = executor.plan.prefix_keys
        start, values = self._resume(batch, keys, inputs)

        def store(position: int, values: dict[str, Any]) -> None:
            cut = self._by_position.get(position)
            if cut is not None and position != start:
                live = {name: values[name] for name in cut.live if name in values}
                self._stored[batch, position] = (keys[position], live)

        return executor.run(values, start, stop_at=store, cancel=cancel)

    def _resume(self, batch: int, keys: tuple[str, ...], inputs: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        for cut in reversed(self.cuts):
            stored = self._stored.get((batch, cut.position))
            if stored is not None and stored[0] == keys[cut.position]:
                return cut.position, dict(stored[1])
        return 0, dict(inputs)
