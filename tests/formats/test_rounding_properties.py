"""What must hold of rounding any number to any format, whichever way."""

import math
from bisect import bisect_left, bisect_right

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from explorer.formats import FORMATS, round_to

NAMES = [name for name, spec in FORMATS.items() if not spec.is_block]
FLOATS = [name for name in NAMES if FORMATS[name].is_float and FORMATS[name].signed]
SHORT = [name for name in NAMES if FORMATS[name].bits <= 16]
DIRECTIONS = ["nearest", "toward_zero", "up", "down"]
QUICK = settings(deadline=None, derandomize=True)  # other work may hold the cores; the same cases each time


def seeded(rounding, seed=0):
    return {"rounding": rounding, "seed": seed if rounding == "stochastic" else None}


numbers = st.floats(width=32, allow_nan=False)
directions = st.sampled_from(DIRECTIONS)
ways = st.sampled_from([*DIRECTIONS, "stochastic"])


def positive_where_needed(x, name):
    return x.abs().clamp(min=2.0**-127) if name == "e8m0" else x


@QUICK
@given(st.lists(numbers, max_size=30), st.sampled_from(NAMES), ways, ways)
def test_idempotent(numbers, name, first, second):
    y = round_to(positive_where_needed(torch.tensor(numbers), name), name, **seeded(first))
    assert torch.equal(round_to(y, name, **seeded(second)), y)


@QUICK
@given(st.lists(numbers, min_size=2, max_size=30), st.sampled_from(NAMES), directions)
def test_monotonic(numbers, name, rounding):
    x = positive_where_needed(torch.tensor(numbers), name).sort().values
    y = round_to(x, name, rounding=rounding)
    assert (y[1:] >= y[:-1]).all()


@QUICK
@given(st.lists(numbers, max_size=30), st.sampled_from([*FLOATS, "int8", "int4", "int2"]), directions, st.booleans())
def test_symmetric_in_sign(numbers, name, rounding, saturate):
    """Up is down seen in a mirror. Integers without their lowest code, which has no mirror image."""
    top = FORMATS[name].largest
    x = torch.tensor(numbers) if FORMATS[name].is_float else torch.tensor(numbers).clamp(-top, top)
    mirrored = {"up": "down", "down": "up"}.get(rounding, rounding)
    y, z = round_to(x, name, saturate, rounding), -round_to(-x, name, saturate, mirrored)
    assert torch.equal(y.nan_to_num(nan=1e30), z.nan_to_num(nan=1e30))
    assert torch.equal(y.signbit() | y.isnan(), z.signbit() | z.isnan())


@QUICK
@given(numbers, st.sampled_from(SHORT), ways)
def test_error_is_at_most_half_a_step_or_one(number, name, rounding):
    values = FORMATS[name].values
    number = float(positive_where_needed(torch.tensor(number), name))
    assume(values[0] <= number <= values[-1])
    low, high = values[bisect_right(values, number) - 1], values[bisect_left(values, number)]
    y = float(round_to(torch.tensor([number]), name, **seeded(rounding)))
    assert y in (low, high)
    assert rounding not in ("up", "down") or y == {"up": high, "down": low}[rounding]
    assert rounding != "toward_zero" or abs(y) == min(abs(low), abs(high))
    assert rounding != "nearest" or abs(y - number) <= (high - low) / 2


@QUICK
@given(st.data(), st.sampled_from([*FLOATS, "e8m0"]), directions)
def test_powers_of_two_pass_through(data, name, rounding):
    """Among normal values, a binade below the last."""
    spec = FORMATS[name]
    exponents = st.integers(spec.min_exponent, spec.max_exponent - 1)
    significands = data.draw(st.lists(st.floats(1.0, 2.0, width=32), min_size=1))
    x = torch.tensor(significands, dtype=torch.float64) * 2.0 ** data.draw(exponents)
    factor = 2.0 ** (data.draw(exponents) - math.floor(math.log2(float(x.min()))))
    assume(float(x.max()) * factor <= 2.0**spec.max_exponent)
    scaled = round_to(x * factor, name, rounding=rounding)
    assert torch.equal(scaled, round_to(x, name, rounding=rounding) * factor)
