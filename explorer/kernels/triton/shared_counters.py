# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-any-return"
"""Counters of one program in the multiprocessor's shared memory, which Triton's own language cannot address.

``tl.histogram`` costs some sixty instructions an element, for it asks every warp for every bit of every bin's number.
One atomic addition in shared memory costs one. So the counters are declared and reached by a few lines of PTX. Under
the interpreter they are a piece of a scratch tensor in ordinary memory; all that is around them is the same.
"""

from __future__ import annotations

import triton
import triton.language as tl

from explorer.kernels.triton.casts import INTERPRETED

WORDS: int = 8448
"""Counters of a program, INT32: 33 KB, of the 48 KB that may be declared."""
_WORDS = tl.constexpr(WORDS)
CLEARED = tl.constexpr(16384)


@triton.jit
def open_counters(scratch):
    """Where this program's counters lie, all at zero. Call it once in a kernel: each call would declare others.

    scratch: INT32 [programs, WORDS] at zero under the interpreter, not read on a GPU.
    """
    if INTERPRETED:
        counters = scratch + tl.program_id(0) * _WORDS
    else:
        counters = tl.inline_asm_elementwise(
            "{ .shared .align 16 .b8 counters[33792]; .reg .u64 at; mov.u64 at, counters; cvt.u32.u64 $0, at; }",
            "=r,r", [tl.program_id(0)], dtype=tl.int32, is_pure=False, pack=1,
        )  # fmt: skip
        slot = tl.arange(0, CLEARED)
        tl.inline_asm_elementwise(
            "{ .reg .pred p; setp.lt.u32 p, $2, 33792; @p st.shared.u32 [$1], 0; mov.u32 $0, 0; }",
            "=r,r,r", [counters + slot * 4, slot * 4], dtype=tl.int32, is_pure=False, pack=1,
        )  # fmt: skip
        tl.debug_barrier()
    return counters


@triton.jit
def count(counters, slot):
    """Add one to the counter of every slot."""
    if INTERPRETED:
        tl.atomic_add(counters + slot, 1, sem="relaxed")
    else:
        tl.inline_asm_elementwise(
            "red.shared.add.u32 [$1], 1; mov.u32 $0, 0;",
            "=r,r", [counters + slot * 4], dtype=tl.int32, is_pure=False, pack=1,
        )  # fmt: skip


@triton.jit
def mark(counters, slot, bits):
    """Or bits into the counter of every slot."""
    if INTERPRETED:
        tl.atomic_or(counters + slot, bits, sem="relaxed")
    else:
        tl.inline_asm_elementwise(
            "red.shared.or.b32 [$1], $2; mov.u32 $0, 0;",
            "=r,r,r", [counters + slot * 4, bits], dtype=tl.int32, is_pure=False, pack=1,
        )  # fmt: skip


@triton.jit
def peek(counters, slot):
    """The counters of the slots as they are now, while others may still be counting."""
    if INTERPRETED:
        found = tl.load(counters + slot)
    else:
        found = tl.inline_asm_elementwise(
            "ld.volatile.shared.u32 $0, [$1];",
            "=r,r", [counters + slot * 4], dtype=tl.int32, is_pure=False, pack=1,
        )  # fmt: skip
    return found


@triton.jit
def read_counters(counters, slot):
    """The counters of the slots, once every thread of the program has counted."""
    if not INTERPRETED:
        tl.debug_barrier()
    return peek(counters, slot)
