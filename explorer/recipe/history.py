"""The recipes that were current, and which one is: what undo and redo move along."""

from __future__ import annotations

from dataclasses import dataclass, replace

from explorer.recipe.recipe import Recipe


@dataclass(frozen=True)
class History:
    """Recipes in the order they were chosen, and the position of the current one; a change returns a new history."""

    recipes: tuple[Recipe, ...]
    position: int = 0

    @property
    def current(self) -> Recipe:
        return self.recipes[self.position]

    @property
    def can_undo(self) -> bool:
        return self.position > 0

    @property
    def can_redo(self) -> bool:
        return self.position < len(self.recipes) - 1

    def push(self, recipe: Recipe) -> History:
        """Make ``recipe`` the current one; what could be redone is gone. The recipe that is current changes nothing."""
        if recipe == self.current:
            return self
        return History((*self.recipes[: self.position + 1], recipe), self.position + 1)

    def undo(self) -> History:
        """Go one back; at the first recipe, stay."""
        return replace(self, position=max(0, self.position - 1))

    def redo(self) -> History:
        """Go one forward; at the last recipe, stay."""
        return replace(self, position=min(len(self.recipes) - 1, self.position + 1))
