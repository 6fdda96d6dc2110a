"""Places in the block of INT64 that a call hands to the compiled loops; they and their callers share it.

An array is its address, 0 where there is none; a FP32 number is its bits. The first place counts the claimed shares
(:mod:`explorer.team`).
"""

from __future__ import annotations

(
    CLAIMED,
    THREADS_IN,  # threads that have taken their scratch memory
    SAW_NAN,  # address of an INT64 that becomes 1 where a NaN was written as a code
    ROWS,  # of the product, to quantise or to normalise; elements of an elementwise call
    SHARE,  # rows, or elements, of one share
    ITEMS,  # shares in all
    PANELS,  # panels of 64 outputs
    SHARE_PANELS,  # panels of one share
    X,
    ROW_BYTES,  # from one row of X to the next
    FLIPPED,  # 1 where X holds INT8 codes, whose sign bit is flipped on the way in
    TAPS,
    QUADS,  # groups of four inputs that one tap holds
    OFFSETS,  # [pixels, taps] INT64: where a convolution's tap starts within its image; -1: in the padding
    PIXELS,  # output pixels of one image
    IMAGE_BYTES,
    PADDING,  # a row of zero points
    SCRATCH,
    SCRATCH_BYTES,  # of one thread
    WEIGHT,
    CORRECTION,  # [panels * 64] INT32: zero point times the column's sum of codes
    ROW_SCALE,
    ROW_SCALE_BYTES,  # from one row's scale to the next: 4, or 0 for one scale
    COLUMN_SCALE,
    BIAS,
    ADDEND,
    ADDEND_CODES,  # 1 where the addend is UINT8 codes
    ADDEND_SCALE,
    ADDEND_ZERO,
    ACTIVATION,  # 0: none, else the place in ACTIVATIONS, from 1
    OUT,
    OUT_CODES,  # 1 where the result is written as UINT8 codes
    OUT_INVERSE,  # 1 / scale of those codes
    OUT_ZERO,
    OUT_WIDTH,  # outputs of one row
    GROUP_PANELS,  # panels of one group of a convolution
    GROUP_WIDTH,  # outputs of one group; elements of one row to quantise or to normalise
    GROUP_BYTES,  # inputs of one group
    EPS,  # added to the variance of a row to normalise
    NAN_SEEN,  # where SAW_NAN may point
    QUERY,  # of an attention: queries [batches, tokens, heads, depth], FP32, whose numbers of one row are neighbours
    QUERY_BATCH,  # bytes from one batch to the next
    QUERY_HEAD,
    QUERY_ROW,
    KEY,  # keys
    KEY_BATCH,
    KEY_HEAD,
    KEY_ROW,
    VALUE,  # values
    VALUE_BATCH,
    VALUE_HEAD,
    VALUE_ROW,
    MASK,  # added to the scores: [batches, tokens, heads, keys]
    MASK_BATCH,
    MASK_HEAD,
    MASK_ROW,
    CAUSAL,  # 1 where a query sees no later key
    HEADS,
    QUERIES,  # of one batch
    KEYS,
    DEPTH,  # numbers of a query and of a key
    VALUE_DEPTH,
    FACTOR,  # of the scores
    BLOCKS,  # blocks of queries in one batch
    WEIGHTS_AT,  # where in a thread's scratch memory the weights of the keys are, after the queries, later the results
    WAITING_AT,  # results that wait there to become codes with the rest of their row; 0: they go to OUT as they are
    TOKEN_SCALE,  # of a product: where the scales of rows go that are written as INT8 codes
    CAST_AT,  # of few rows of FP32: where in a thread's scratch memory it makes their codes; 0: X holds codes
    INPUTS,  # numbers of one such row
) = range(69)
PLACES = 69
BLOCK_BYTES = -(-PLACES * 8 // 64) * 64

PANEL = 64
"""Outputs in a panel of the packed weight: four registers of sixteen."""
HEIGHTS = (6, 4, 2, 1)
"""Rows of the register tiles that exist."""
SUMS_BYTES = HEIGHTS[0] * PANEL * 4
"""Sums of one tile, at the start of a thread's scratch memory; the addresses of the rows follow."""
