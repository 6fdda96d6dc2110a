# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator,misc,no-any-return"
"""The loop over shares of rows to normalise, as a C function that each thread of a team calls. Importing this file
imports Numba. (Effect: JIT, cache on disk.) What :mod:`.loops` says of that cache holds here too."""

from __future__ import annotations

from typing import Any

from numba import carray

from explorer.kernels.simd.job import PLACES, ROWS, SHARE
from explorer.kernels.simd.loops import address_of, digest_sources
from explorer.kernels.simd.normalise import normalise
from explorer.team import claim, compiled

SOURCES = ("activations", "epilogue", "job", "norm_loops", "normalise", "quantise")


def _norm_of(sources: int) -> Any:
    @compiled
    def norm_team(call: Any) -> None:
        """One thread's part of a layer norm."""
        assert sources >= 0
        job = carray(call, (PLACES,))
        address: int = address_of(call)
        rows, share = job[ROWS], job[SHARE]
        first = claim(call) * share
        while first < rows:
            normalise(address, first, min(first + share, rows))
            first = claim(call) * share

    return norm_team


norm_team = _norm_of(digest_sources(SOURCES))
