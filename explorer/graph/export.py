"""The call of ``torch.export``, and what went wrong in it, in words. The only user of ``torch.export``."""

from __future__ import annotations

import gc
import inspect
import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch._ops import HigherOrderOperator, OpOverload
from torch.export import Dim, ExportedProgram

from explorer.errors import CaptureError

LIBRARY_FOLDERS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


def export(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], asked: str) -> ExportedProgram:
    """Return ``module`` as an exported program of whole ATen operators, its batch (and sequence) dimensions dynamic."""
    shapes = (pytree.tree_map(_dynamic, args), pytree.tree_map(_dynamic, kwargs))
    by_name = _shapes_by_name(module, *shapes)
    try:
        with warnings.catch_warnings(), torch.no_grad(), _quiet():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, args, kwargs, dynamic_shapes=by_name, strict=False)
            return program if _is_functional(program) else program.run_decompositions({})
    except Exception as error:
        where = _line_of_user_code(error)
        raise CaptureError(
            asked,
            f"it cannot be exported{where}: {first_sentence(error)}",
            "example inputs of the right shape and type, or keep control flow that depends on data out of forward()",
        ) from error


def _is_functional(program: ExportedProgram) -> bool:
    """Whether every node is a plain ATen operator that writes to none of its inputs.

    Then the program is what ``run_decompositions({})`` would return, at half the time.
    """
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    return all(not target._schema.is_mutable for target in targets if isinstance(target, OpOverload)) and not any(
        isinstance(target, HigherOrderOperator) for target in targets
    )


def _dynamic(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor) or not leaf.dim():
        return None
    sequence = leaf.dim() == 2 and not leaf.is_floating_point() and leaf.shape[1] > 1
    return {0: Dim.AUTO, 1: Dim.AUTO} if sequence else {0: Dim.AUTO}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own log out of the user's notebook (the error that follows says what matters), and the
    garbage collector off: tracing makes some million objects that live until its end, a tenth of its time."""
    loggers = [logging.getLogger(name) for name in ("torch.fx.experimental.symbolic_shapes", "torch.export")]
    levels = [logger.level for logger in loggers]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if collecting:
            gc.enable()


def _shapes_by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not kwargs:
        return args
    names = list(inspect.signature(module.forward).parameters)
    return dict(zip(names, args, strict=False)) | kwargs


def first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:240]}" if lines else type(error).__name__


def _line_of_user_code(error: BaseException) -> str:
    """Return `` at file.py:12 (`source line`)`` for the deepest frame outside torch and this package, or nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".py") and not frame.filename.startswith(LIBRARY_FOLDERS):
            return f" at {Path(frame.filename).name}:{frame.lineno} (`{(frame.line or '').strip()}`)"
    return ""
