"""Which ops a ``where`` means: an id, a fold, a list, a glob on layers, a kind or a role."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase

from explorer.errors import SelectionError
from explorer.graph import ModelGraph

Where = str | Iterable[str]


def select(graph: ModelGraph, where: Where) -> tuple[str, ...]:
    """Return the ids of the ops that ``where`` means, in execution order.

    ``where`` is an op id, a fold id, a layer path (all ops below it), a glob on layers or ids (``"blocks.*.mlp.*"``),
    ``"kind:linear"``, ``"role:compute"``, ``"*"``, or a list of these. Raises :class:`SelectionError` when a part of
    it names nothing.
    """
    if not isinstance(where, Iterable):
        raise SelectionError(f"select {where!r}", f"it is a {type(where).__name__}", "an op id or a pattern (text)")
    parts = [where] if isinstance(where, str) else list(where)
    if not parts:
        raise SelectionError("select ops", "the list is empty", "an op id, or a pattern such as 'blocks.*'")
    chosen: set[str] = set()
    for part in parts:
        chosen.update(_select_one(graph, part))
    return tuple(op.id for op in graph.rows if op.id in chosen)


def is_exact(graph: ModelGraph, where: Where) -> bool:
    """Whether ``where`` names ops one by one, so that each of them must be able to take a precision."""
    parts = [where] if isinstance(where, str) else list(where)
    return all(part in graph.row_ids for part in parts)


def _select_one(graph: ModelGraph, part: str) -> list[str]:
    if not isinstance(part, str):
        raise SelectionError(f"select {part!r}", f"it is a {type(part).__name__}", "an op id or a pattern (text)")
    if part in graph.row_ids:
        return [part]
    found = [op.id for op in graph.rows if _matches(part, op.id, op.layer, op.kind, op.role, op.fold)]
    if found:
        return found
    folded = graph.by_id.get(part)
    if folded is not None and folded.folded_into:
        raise SelectionError(f"select {part!r}", f"it is folded into {folded.folded_into!r}", folded.folded_into)
    close = difflib.get_close_matches(part, [op.id for op in graph.rows], n=1)
    raise SelectionError(
        f"select {part!r}", "no op has this id, layer, kind or role", close[0] if close else "an id from session.ops"
    )


def _matches(part: str, op: str, layer: str, kind: str, role: str, fold: str) -> bool:
    if part.startswith("kind:"):
        return kind == part.removeprefix("kind:")
    if part.startswith("role:"):
        return role == part.removeprefix("role:")
    if part in ("*", fold, layer) or layer.startswith(part + "."):
        return True
    return "*" in part and (fnmatchcase(layer, part) or fnmatchcase(op, part))
