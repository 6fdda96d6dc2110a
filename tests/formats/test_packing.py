"""Codes of a few bits in bytes, against packing by Python's integers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import PrecisionError
from explorer.formats import pack, unpack

QUICK = settings(deadline=None, derandomize=True)  # other work may hold the cores; the same cases each time

WIDTHS = [2, 4, 6, 8]


def pack_slowly(codes, bits):
    """One big integer whose lowest bits are the first code."""
    number = sum(code << (i * bits) for i, code in enumerate(codes))
    return list(number.to_bytes((len(codes) * bits + 7) // 8, "little"))


@QUICK
@given(st.sampled_from(WIDTHS).flatmap(lambda bits: st.tuples(st.just(bits), st.lists(st.integers(0, 2**bits - 1)))))
def test_round_trip(case):
    bits, codes = case
    packed = pack(torch.tensor(codes, dtype=torch.int64), bits)
    assert packed.dtype == torch.uint8
    assert packed.tolist() == pack_slowly(codes, bits)
    assert unpack(packed, bits, len(codes)).tolist() == codes


@pytest.mark.parametrize("bits", WIDTHS)
def test_large(bits):
    codes = torch.randint(0, 2**bits, (100_003,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    packed = pack(codes, bits)
    assert len(packed) == (100_003 * bits + 7) // 8
    assert torch.equal(unpack(packed, bits, len(codes)), codes)
    assert torch.equal(unpack(packed, bits, 5), codes[:5])


def test_order_of_bits():
    assert pack(torch.tensor([1, 2]), 4).tolist() == [0x21]
    assert pack(torch.tensor([3, 0, 1]), 2).tolist() == [0b00010011]
    assert pack(torch.tensor([0b000001, 0b100000]), 6).tolist() == [0b00000001, 0b00001000]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_any_integers_and_layouts(dtype):
    base = torch.arange(30).reshape(5, 6).to(dtype) % 16
    for codes in (base, base.t(), base[::2, 1:], base[:1].expand(3, 6), base[:0], base[2, 3]):
        kept = codes.clone()
        assert pack(codes, 4).tolist() == pack_slowly(codes.flatten().tolist(), 4)
        assert torch.equal(codes, kept)


@pytest.mark.parametrize(("codes", "bits", "found"), [
    (torch.tensor([4]), 2, "codes from 4 to 4"), (torch.tensor([-1, 2]), 4, "codes from -1 to 2"),
    (torch.tensor([1.0]), 4, "codes of torch.float32"), (torch.tensor([True]), 4, "codes of torch.bool"),
    (torch.tensor([1]), 3, "no packing of this width"),
])  # fmt: skip
def test_pack_refuses(codes, bits, found):
    with pytest.raises(PrecisionError, match=found):
        pack(codes, bits)


@pytest.mark.parametrize(("packed", "bits", "count"), [
    (torch.zeros(2, dtype=torch.uint8), 4, 5), (torch.zeros(2, dtype=torch.uint8), 4, -1),
    (torch.zeros(2, dtype=torch.int32), 4, 1), (torch.zeros(2, dtype=torch.uint8), 5, 1),
])  # fmt: skip
def test_unpack_refuses(packed, bits, count):
    with pytest.raises(PrecisionError, match="unpack"):
        unpack(packed, bits, count)
