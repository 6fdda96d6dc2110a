"""Whose row is which: values that were taken out of the order of samples, such as tokens sorted by their expert.

Elsewhere the first dimension of a value is the batch, or begins with it. An op that picks rows by numbers computed from
the data changes that, until another puts them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.graph import ModelGraph, Op, Ref


class Owners:
    """The sample that each row of a value belongs to, for values of one batch whose rows are not in order.

    :meth:`follow` is called for each op in the order of execution, before its inputs are let go.
    """

    def __init__(self, graph: ModelGraph, size: int) -> None:
        self._graph, self._size = graph, size
        self._rows: dict[str, Tensor] = {}

    def follow(self, op: Op, values: Mapping[str, Any]) -> None:
        """Note whose the rows of an op's result are, given the values that it reads."""
        if (picked := find_picked(op)) is not None:
            self._pick(op, picked[0], values[picked[1]], values)
            return
        for name in op.refs:
            if name in self._rows and _height(self._graph, name) == _height(self._graph, op.name):
                self._rows[op.name] = self._rows[name]

    def order(self, name: str) -> Tensor | None:
        """Return the numbers of a value's rows [rows], sample by sample; None where they are in order already.

        Empty where samples have different numbers of rows, so that no tensor can hold them.
        """
        if name not in self._rows:
            return None
        rows = self._rows[name]
        counts = rows.bincount(minlength=self._size)
        return rows.argsort(stable=True) if bool((counts == counts[0]).all()) else rows[:0]

    def _pick(self, op: Op, source: str, index: Tensor, values: Mapping[str, Any]) -> None:
        rows = len(values[source]) if "batch" in _height(self._graph, source) else 0
        if index.dim() != 1 or index.dtype == torch.bool or not rows or rows % self._size:
            return
        in_order = torch.arange(self._size, device=index.device).repeat_interleave(rows // self._size)
        found = self._rows.get(source, in_order)[index]
        if not bool((found.diff() >= 0).all()):
            self._rows[op.name] = found


def find_picked(op: Op) -> tuple[str, str] | None:
    """Return the names of what ``op`` picks rows from and of the rows' numbers; None where it picks none."""
    if op.kind == "index" and len(op.args) == 2 and isinstance(op.args[1], (list, tuple)):
        source, (index, *others) = op.args
        found = (source, index) if not others else ()
    elif op.kind == "index_select" and len(op.args) == 3 and op.args[1] == 0:
        found = (op.args[0], op.args[2])
    else:
        found = ()
    return (found[0].name, found[1].name) if found and all(isinstance(each, Ref) for each in found) else None


def _height(graph: ModelGraph, name: str) -> str:
    """The size of a value's first dimension, as the graph has it; empty where it has none."""
    type_ = graph.producer[name].output if name in graph.producer else None
    return str(type_.shape[0]) if type_ is not None and type_.shape else ""
