"""Every recipe that was chosen, as a tree: what undo, redo and a jump to any of them move along; none is ever lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from explorer.errors import RecipeError
from explorer.recipe.recipe import BASELINE, Recipe

MOST_PARTS = 3
"""A change in words names so many precisions, those of most ops."""
PRESET = "preset: "


@dataclass(frozen=True)
class HistoryNode:
    """A recipe that was current once. ``words`` say what changed against ``parent``'s; the first has no parent."""

    id: int
    parent: int | None
    recipe: Recipe
    words: str


@dataclass(frozen=True)
class History:
    """A tree of recipes and the place in it; a change returns a new history, which holds all nodes of this one.

    ``nodes[id]`` is the node of that id, so that a parent stands before its children. ``onward[id]`` is its child on
    the way to where one was last, None where one never went further.
    """

    nodes: tuple[HistoryNode, ...]
    onward: tuple[int | None, ...]
    at: int = 0

    @staticmethod
    def of(recipe: Recipe, words: str = "the start") -> History:
        """Return the history that begins with ``recipe``."""
        return History((HistoryNode(0, None, recipe, words),), (None,))

    @property
    def node(self) -> HistoryNode:
        """The node whose recipe is the current one."""
        return self.nodes[self.at]

    @property
    def current(self) -> Recipe:
        return self.node.recipe

    @property
    def can_undo(self) -> bool:
        return self.node.parent is not None

    @property
    def can_redo(self) -> bool:
        return self.onward[self.at] is not None

    def push(self, recipe: Recipe, words: str = "") -> History:
        """Make ``recipe`` the current one, as a child of what is current.

        The recipe that is current changes nothing; one that was chosen from here before is the same child again.
        words: what changed; empty: as :func:`describe_change` tells it.
        """
        if _same(recipe, self.current):
            return self
        known = (node.id for node in self.nodes if node.parent == self.at and _same(node.recipe, recipe))
        if (again := next(known, None)) is not None:
            return self.go_to(again)
        node = HistoryNode(len(self.nodes), self.at, recipe, words or describe_change(self.current, recipe))
        return History((*self.nodes, node), (*self.onward, None), self.at).go_to(node.id)

    def undo(self) -> History:
        """Go to the parent; at the first recipe, stay."""
        return self if self.node.parent is None else replace(self, at=self.node.parent)

    def redo(self) -> History:
        """Go on to the child on the way to where one was last; where there is none, stay."""
        onward = self.onward[self.at]
        return self if onward is None else replace(self, at=onward)

    def go_to(self, node_id: int) -> History:
        """Go to any node; undo leads from there to its parents. Raises :class:`RecipeError` where there is none."""
        if isinstance(node_id, bool) or not isinstance(node_id, int) or not 0 <= node_id < len(self.nodes):
            found = f"its nodes are 0 to {len(self.nodes) - 1}"
            raise RecipeError(f"go to node {node_id!r} of the history", found, "an id from session.history")
        onward, child = list(self.onward), node_id
        while (parent := self.nodes[child].parent) is not None:
            onward[parent], child = child, parent
        return replace(self, onward=tuple(onward), at=node_id)


def describe_change(before: Recipe, after: Recipe) -> str:
    """Return what is other in ``after``, in a few words: "12 ops to int8, 3 ops to bf16 (search)", "preset w8"."""
    changed = [op for op, name in after.precisions.items() if before.precisions.get(op) != name]
    if not changed:
        return "the same precisions for other reasons"
    if after.is_baseline:
        return f"back to {BASELINE}"
    reasons = {choice.reason for _, choice in after.choices} - {"default"}
    if len(reasons) == 1 and (name := reasons.pop()).startswith(PRESET):
        return f"preset {name.removeprefix(PRESET)}"
    counts = Counter(after[op] for op in changed).most_common()
    parts = [f"{changed[0]} to {after[changed[0]]}"] if len(changed) == 1 else [_count(*part) for part in counts]
    more = ["..."] if len(parts) > MOST_PARTS else []
    return ", ".join(parts[:MOST_PARTS] + more) + _why({after.reason(op) for op in changed})


def _count(precision: str, ops: int) -> str:
    return f"{ops} op{'' if ops == 1 else 's'} to {precision}"


def _why(reasons: set[str]) -> str:
    """The reason that all changed ops share, or what is before the colon of all of them; a person's own needs none."""
    shared = reasons if len(reasons) == 1 else {reason.split(":")[0] for reason in reasons}
    return f" ({shared.pop()})" if len(shared) == 1 and not shared & {"user", "default"} else ""


def _same(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes are one choice; under which scales a recipe was stored is no choice of its reader."""
    return replace(one, calibration=None) == replace(other, calibration=None)
