"""What has a current recipe and the way back to every former one: an open session, and a recorded one."""

from __future__ import annotations

from explorer.recipe.history import History, HistoryNode
from explorer.recipe.recipe import Recipe


class Past:
    """The public face of a history, which :meth:`_move` replaces."""

    _history: History

    @property
    def history(self) -> tuple[HistoryNode, ...]:
        """Every recipe that was current, as a tree: a node per choice, with its parent and what changed in words."""
        return self._history.nodes

    @property
    def node(self) -> HistoryNode:
        """Where the current recipe stands in :attr:`history`."""
        return self._history.node

    @property
    def onward(self) -> tuple[int | None, ...]:
        """For each node of :attr:`history`, its child on the way to where one was last."""
        return self._history.onward

    @property
    def can_undo(self) -> bool:
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        return self._history.can_redo

    def go_to(self, node_id: int) -> Recipe:
        """Make the recipe of any node of :attr:`history` the current one; raise :class:`RecipeError` for an unknown id.

        Nothing is lost by it: undo leads to that node's parents, redo back towards it.
        """
        return self._move(self._history.go_to(node_id))

    def undo(self) -> Recipe:
        """Return to the recipe from which the current one was made; at the first one, stay."""
        return self._move(self._history.undo())

    def redo(self) -> Recipe:
        """Go on towards where one was last; with nothing made from here, stay."""
        return self._move(self._history.redo())

    def _move(self, history: History) -> Recipe:
        """Take a history for the present one and return its recipe."""
        self._history = history
        return history.current
