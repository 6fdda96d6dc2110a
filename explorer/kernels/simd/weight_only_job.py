"""Places in the block of INT64 that a weight-only product hands to its compiled loops; they and their caller share it.

An array is its address, 0 where there is none. The first place counts the claimed shares (:mod:`explorer.team`).
"""

from __future__ import annotations

(
    CLAIMED,
    THREADS_IN,  # threads that have taken their scratch memory
    ROWS,
    X,  # rows of BF16, filled up to whole blocks, or of FP32
    NARROW,  # of rows of FP32: where the first thread rounds them to BF16, each thread at PACKED_BYTES after; 0: none
    PIECES,  # [rows, 2, depth] INT8: the rows' integers; where each thread packs for itself, of the first thread
    META,  # [rows, blocks, 4] of 32 bits: what belongs to the blocks; likewise
    PACKED_BYTES,  # of one thread's pieces and meta, where each packs all rows for itself; 0: they are packed already
    OUT,
    SHARES,  # panels of 64 outputs
    PART,  # a thread claims this part of the neighbouring shares that are left, and one at least
    BLOCKS,  # of a row
    BLOCK,  # inputs of a block
    OFFSET,  # of the weight's codes
    WEIGHT,
    WEIGHT_BYTES,  # from one panel to the next
    GAP,  # bytes of a panel between the codes of one block and of the next
    SCALE,
    ZERO,
    SCALE_BYTES,  # from one panel's scales to the next panel's
    SCALE_STEP,  # from one block's scales to the next block's
    BIAS,
) = range(22)
PLACES = 22
