"""Our own GPU kernels, in Triton: for sm_80 and later, written for sm_90, and the same under Triton's interpreter.

Importing this package loads nothing. Its modules import Triton at their top, so ask :func:`missing` first.
Without a GPU they run under Triton's interpreter: set ``TRITON_INTERPRET=1`` before Triton is first imported.
"""

from __future__ import annotations

import importlib.util
from functools import cache


@cache
def missing() -> str:
    """Why these kernels cannot be used here, in words; nothing where they can. (Asked per op: remembered.)"""
    if importlib.util.find_spec("triton") is None:
        return "our GPU kernels need Triton, which is not installed (torch for CUDA on Linux brings it)"
    return ""
