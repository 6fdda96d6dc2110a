"""Places in the block of INT64 that a call hands to the loops that count, and in the memory that they count into.

The loops and their callers share them. An array is its address, 0 where there is none. The first place counts the
claimed shares (:mod:`explorer.team`).
"""

from __future__ import annotations

(
    CLAIMED,
    THREADS_IN,  # threads that have taken their memory
    LOCKED,  # 1 while a thread folds what it found into the tensor's own counts
    X,  # address of the first element, FP32
    ROWS,
    WIDTH,  # elements of a row, which are neighbours in memory
    PIECES,  # chunks that a row is cut into, or 1
    GROUP,  # rows that a chunk holds, or 1
    ITEMS,  # chunks in all
    SHARE,  # chunks that a thread claims at a time
    DENSE,  # 1 where the rows of a chunk are neighbours in memory
    SIZES,  # address of [OUTER, 3]: of each outer dimension its size, its stride in elements, its channels' stride
    OUTER,
    CHANNELS,  # 0 where there are none
    ALONG,  # 1 where each element of a row is a channel of its own, 0 where a row is of one
    SHIFT,  # of a pattern, that leaves its bin
    MOMENTS,  # 1 where sums and the mantissa bits in use are found too, 2 where also what a ReLU would leave
    CLEAN,  # address of the first thread's memory that is all zeros before and after a call
    CLEAN_BYTES,  # of one thread
    WORK,  # address of the first thread's other memory
    COUNTS,  # address of the tensor's own [2**(32 - SHIFT)] INT64
    FACTS,  # [FACT_PLACES] INT64
    LIMBS,  # [4, LIMB_PLACES] INT64
    MASKS,  # [512] UINT32
    CHANNEL_MAX,  # [CHANNELS] UINT32: patterns of magnitudes; then of positive elements, where MOMENTS is 2
) = range(25)
JOB_PLACES = 25

SIGNED_MAX, UNSIGNED_MAX, LEAST, LEAST_POSITIVE, ZEROS, NEGATIVE_ZEROS, NANS, INFS, NEGATIVE_INFS = range(9)
FACT_PLACES = 9
"""The largest patterns of finite elements as INT32 and as UINT32, twice the least magnitude's less one, the least
positive one's less one, and numbers of elements, among which the infinite ones are of both signs. A thread takes off
its zeros the elements that share their bins, and adds the bins in the end."""
NO_FACTS = (-(2**31), 0, 2**32 - 1, 2**32 - 1, 0, 0, 0, 0, 0)

LIMB_PLACES = 20
"""Sums in units of 2**-149, and of squares in units of 2**-298, as limbs of 32 bits that are not carried; then those of
the positive elements alone."""
SUM_KINDS = 4
CHUNK = 4096
LANES = 16
"""Counters of one bin, so that adding to one twice in a row need not wait for the first addition."""
BYTES_OF_BIN = 2 * LANES
MOST_CHUNKS = 65535 // (CHUNK // LANES + 1)
"""Chunks after which a counter of 16 bits may be full."""
SIGNS_AND_EXPONENTS = 512
SPARE = 16
SUM_PLACES, EXTREME_PLACES = 96, 4
EXTREMES_AT, LAST_AT, FACTS_AT = 8 * SUM_PLACES, 832, 896
"""Bytes of a thread's work memory: a sweep's sums in FP64, then its extremes in INT64, the last few elements of a
chunk, and facts."""
MASKS_AT = FACTS_AT + 128
HELD_AT = MASKS_AT + 4 * SIGNS_AND_EXPONENTS
PICKED_AT = HELD_AT + 4 * (CHUNK + SPARE)
WORK_BYTES = PICKED_AT + 4 * (CHUNK + SPARE)
"""One thread's; masks, and two chunks: one held, one of picked elements, come last."""
MAGNITUDE, INFINITY = 0x7FFFFFFF, 0x7F800000


def clean_bytes(shift: int, channels: int) -> int:
    """One thread's lanes of bins, limbs and channels."""
    return (BYTES_OF_BIN << (32 - shift)) + -(-(8 * SUM_KINDS * LIMB_PLACES + 4 * channels) // 64) * 64
