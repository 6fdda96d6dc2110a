"""Errors of the explorer: each says what was asked, what was found and what would work."""

from __future__ import annotations


class ExplorerError(Exception):
    """An error a user can act on.

    ``asked`` is what the caller wanted, ``found`` what stood in the way, ``try_`` what would work.
    All three are sentences without a final full stop; ``str(error)`` joins them.
    """

    def __init__(self, asked: str, found: str, try_: str) -> None:
        super().__init__(asked, found, try_)
        self.asked, self.found, self.try_ = asked, found, try_

    def __str__(self) -> str:
        return f"{self.asked}: {self.found}. Try: {self.try_}."


class CaptureError(ExplorerError):
    """The model could not be turned into a graph that equals it."""


class ModelError(ExplorerError):
    """The model named, or its weights, cannot be loaded or used."""


class DataError(ExplorerError):
    """Inputs, targets or labels do not fit the model or the task."""


class RecipeError(ExplorerError):
    """A recipe is malformed, or belongs to another model."""


class PrecisionError(ExplorerError):
    """A format, scheme or precision is unknown, or an op cannot take it."""


class SelectionError(ExplorerError):
    """A ``where`` names no op."""


class BundleError(ExplorerError):
    """A saved exploration cannot be read, or does not hold what is asked of it."""


class MissingPackage(ExplorerError):
    """An optional package is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            feature,
            f"the package {package!r} is not installed",
            f"pip install 'precision-explorer[{extra}]'",
        )


class Cancelled(ExplorerError):
    """The caller's cancel flag was set; nothing was lost."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "it was cancelled", "run it again when you are ready")
