# mypy: disable-error-code="attr-defined,call-arg,no-untyped-call,untyped-decorator,misc,no-any-return"
"""The loop over blocks of queries, as a C function that each thread of a team calls. Importing this file imports Numba.
(Effect: JIT, cache on disk.) What :mod:`.loops` says of that cache holds here too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from explorer.kernels.simd.attend import LANES, attend, encode, turn_in, turn_out
from explorer.kernels.simd.job import (
    BLOCKS,
    CAUSAL,
    DEPTH,
    FACTOR,
    HEADS,
    ITEMS,
    KEY,
    KEY_BATCH,
    KEY_HEAD,
    KEY_ROW,
    KEYS,
    MASK,
    MASK_BATCH,
    MASK_HEAD,
    MASK_ROW,
    OUT,
    OUT_WIDTH,
    PLACES,
    QUERIES,
    QUERY,
    QUERY_BATCH,
    QUERY_HEAD,
    QUERY_ROW,
    SCRATCH,
    SCRATCH_BYTES,
    VALUE,
    VALUE_BATCH,
    VALUE_DEPTH,
    VALUE_HEAD,
    VALUE_ROW,
    WAITING_AT,
    WEIGHTS_AT,
)
from explorer.kernels.simd.loops import address_of, digest_sources, take_number
from explorer.team import claim, compiled, pointer

SOURCES = ("activations", "attend", "attention_loops", "epilogue", "job", "quantise")
ONE = 0x3F800000
"""The bits of 1.0."""


@njit(nogil=True)
def hide_later_keys(weights: int, first: int, keys: int, width: int) -> None:
    """Write what is added to the scores [keys, width] of the queries from ``first`` on: -Inf for keys after a query."""
    added = carray(pointer(weights), (keys * width,), np.float32)
    for key in range(keys):
        seen = max(0, key - first)
        for lane in range(width):
            added[key * width + lane] = np.float32(0.0) if lane >= seen else np.float32(-np.inf)


@njit(nogil=True)
def attend_block(call: int, job: Any, batch: int, block: int, scratch: int) -> None:
    """Compute all heads of one block of queries of one batch."""
    registers = (job[QUERIES] + LANES - 1) // LANES
    start, stop = block * registers // job[BLOCKS], (block + 1) * registers // job[BLOCKS]
    first, registers = start * LANES, stop - start
    rows = min(registers * LANES, job[QUERIES] - first)
    weights, waiting = scratch + job[WEIGHTS_AT], job[WAITING_AT]
    keys = min(job[KEYS], first + rows) if job[CAUSAL] else job[KEYS]
    row_bytes, place = job[OUT_WIDTH] * 4, batch * job[QUERIES] + first
    target = scratch + waiting if waiting else job[OUT] + place * row_bytes
    masked = 1 if job[CAUSAL] or job[MASK] else 0
    for head in range(job[HEADS]):
        query = job[QUERY] + batch * job[QUERY_BATCH] + head * job[QUERY_HEAD] + first * job[QUERY_ROW]
        turn_in(query, job[QUERY_ROW], rows, job[DEPTH], registers, job[FACTOR], scratch)
        if job[CAUSAL]:
            hide_later_keys(weights, first, keys, registers * LANES)
        elif masked:
            mask = job[MASK] + batch * job[MASK_BATCH] + head * job[MASK_HEAD] + first * job[MASK_ROW]
            turn_in(mask, job[MASK_ROW], rows, keys, registers, ONE, weights)
        key = job[KEY] + batch * job[KEY_BATCH] + head * job[KEY_HEAD]
        value = job[VALUE] + batch * job[VALUE_BATCH] + head * job[VALUE_HEAD]
        attend(
            registers, scratch, key, job[KEY_ROW], value, job[VALUE_ROW], keys, job[DEPTH], job[VALUE_DEPTH], masked,
            weights, scratch,
        )  # fmt: skip
        turn_out(scratch, registers, rows, job[VALUE_DEPTH], row_bytes, target + head * job[VALUE_DEPTH] * 4)
    if waiting:
        encode(call, target, place, rows)


def _attention_of(sources: int) -> Any:
    @compiled
    def attention_team(call: Any) -> None:
        """One thread's part of an attention."""
        assert sources >= 0
        job = carray(call, (PLACES,))
        address: int = address_of(call)
        scratch = job[SCRATCH] + take_number(call) * job[SCRATCH_BYTES]
        item = claim(call)
        while item < job[ITEMS]:
            attend_block(address, job, item // job[BLOCKS], item % job[BLOCKS], scratch)
            item = claim(call)

    return attention_team


attention_team = _attention_of(digest_sources(SOURCES))
