"""Import an optional package, or say which one is missing and how to get it."""

from __future__ import annotations

import importlib
from typing import Any

from explorer.errors import MissingPackage, ModelError


def optional(package: str, asked: str, extra: str) -> Any:
    """The module ``package``.

    Raises ``MissingPackage`` where it is not installed, and ``ModelError`` where it is but does not import, as wheels
    of torchvision and timm built for another torch do.
    """
    try:
        return importlib.import_module(package)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise MissingPackage(asked, package, extra) from error
        raise ModelError(
            asked,
            f"the installed package {package!r} does not import ({type(error).__name__}: {error})",
            f"reinstall {package} in the version made for your torch",
        ) from error
