"""Every edge that a block has: zeros, NaN, sizes that do not divide, layouts, dtypes, bytes."""

import math

import pytest
import torch

from explorer.errors import PrecisionError
from explorer.formats import FORMATS, Scheme, fake_quantize, find_scale, quantize, round_to, scale_shape

NAMES = [name for name, spec in FORMATS.items() if spec.is_block]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def bits(x):
    return x.view(torch.int32)


@pytest.mark.parametrize("name", NAMES)
class TestEdges:
    def test_zeros_and_empty(self, name):
        scheme = Scheme(name)
        x = torch.tensor([[0.0, -0.0] * 32])
        assert torch.equal(bits(round_to(x, name)), bits(x))
        q = quantize(x, scheme)
        assert (q.codes.float() == 0).all()
        assert torch.equal(q.dequantize(), x)
        assert (q.scale == (2.0**-6 if name == "nvfp4" else 2.0**-127)).all()
        for shape in ((0,), (0, 64), (3, 0), (2, 0, 32)):
            empty = torch.empty(shape)
            assert round_to(empty, name).shape == shape
            q = quantize(empty, scheme)
            assert q.dequantize().shape == q.codes.shape == shape
            assert q.scale.shape == scale_shape(shape, scheme)
            assert q.nbytes == (4 if name == "nvfp4" else 0)

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_nan_and_inf_are_never_hidden(self, name, bad):
        torch.manual_seed(0)
        x = torch.randn(3, 96)
        x[1, 40] = bad
        block = FORMATS[name].block
        hit = torch.zeros(3, 96, dtype=torch.bool)
        hit[1, 40 // block * block : (40 // block + 1) * block] = True
        hit |= name == "nvfp4"  # the tensor scale is everybody's
        q = quantize(x, Scheme(name))
        for y in (round_to(x, name), q.dequantize()):
            assert torch.equal(y.isnan(), hit)
            assert torch.equal(y[~hit], round_to(torch.where(hit, 0.0, x), name)[~hit])
        assert torch.equal(find_scale(x, Scheme(name))[0].isnan(), hit.unflatten(-1, (-1, block)).any(-1))

    @pytest.mark.parametrize("size", [1, 15, 16, 17, 31, 33, 63, 64, 65])
    def test_last_block_is_as_if_filled_up_with_zeros(self, name, size):
        torch.manual_seed(size)
        x = torch.randn(3, size)
        block = FORMATS[name].block
        filled = torch.zeros(3, math.ceil(size / block) * block)
        filled[:, :size] = x
        assert torch.equal(round_to(x, name), round_to(filled, name)[:, :size])
        q, whole = quantize(x, Scheme(name)), quantize(filled, Scheme(name))
        assert torch.equal(q.scale, whole.scale)
        assert torch.equal(q.dequantize(), whole.dequantize()[:, :size])
        assert q.nbytes == whole.nbytes

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_dtypes_and_layouts(self, name, dtype):
        torch.manual_seed(0)
        base = (torch.randn(4, 8, 70) * 2.0 ** torch.randint(-8, 8, (4, 8, 70))).to(dtype)
        for x in (
            base.transpose(0, 2),
            base[::2, 1::3, 3:],
            base[:, :1].expand(4, 3, 70),
            base[0, 0],
            base.clone().requires_grad_(),
        ):
            before = x.detach().clone()
            y = round_to(x, name)
            q = quantize(x, Scheme(name))
            assert (y.dtype, y.shape, y.requires_grad) == (dtype, x.shape, False)
            assert torch.equal(y, round_to(before.contiguous(), name))
            assert torch.equal(y, q.dequantize())
            assert torch.equal(x.detach(), before)
            assert y.data_ptr() != x.data_ptr()
            if dtype.itemsize == 2 and name != "nvfp4":  # whose products of scales need more bits than these have
                assert torch.equal(y.float(), round_to(before.float(), name))

    def test_blocks_lie_along_any_axis(self, name):
        x = torch.randn(3, 40, 5)
        for axis in (1, -2):
            y = fake_quantize(x, Scheme(name, axis=axis))
            assert torch.equal(y, fake_quantize(x.transpose(1, 2), Scheme(name)).transpose(1, 2))
            q = quantize(x, Scheme(name, axis=axis))
            assert torch.equal(q.dequantize(), y)
            assert q.scale.shape == (3, math.ceil(40 / FORMATS[name].block), 5)

    def test_chunks_join_without_seams(self, name):
        x = torch.randn(1027, 32 * 33)
        assert x.numel() > 1 << 20
        x[3, 4] = 100  # every part has the same absmax, for NVFP4
        x[900, 4] = -100
        parts = torch.cat([round_to(part, name) for part in (x[:500], x[500:])])
        assert torch.equal(round_to(x, name), parts)
        assert torch.equal(quantize(x, Scheme(name)).dequantize(), parts)

    def test_largest_magnitudes_stay_finite(self, name):
        for dtype in DTYPES:
            top = torch.finfo(dtype).max
            x = torch.tensor([-top, top, top / 3, 0.0] * 16, dtype=dtype)
            for y in (round_to(x, name), quantize(x, Scheme(name)).dequantize()):
                assert y.isfinite().all()
                assert (y.sign() == x.sign()).all()

    def test_refuses_what_has_no_blocks(self, name):
        for wrong, words in (
            (torch.tensor(1.0), r"a scalar has no dimension to cut into blocks\. Try: x\.reshape\(1\)"),
            (torch.arange(32), r"a tensor of torch\.int64"),
        ):
            with pytest.raises(PrecisionError, match=words):
                round_to(wrong, name)
            with pytest.raises(PrecisionError, match=words):
                quantize(wrong, Scheme(name))
        with pytest.raises(PrecisionError, match=r"no axis 2\. Try: an axis from -2 to 1"):
            quantize(torch.ones(2, 32), Scheme(name, axis=2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mxfp8_e4m3", 12 * (32 + 1)),
        ("mxfp6_e2m3", 12 * (24 + 1)),
        ("mxfp4", 12 * (16 + 1)),
        ("mxint8", 12 * (32 + 1)),
        ("nvfp4", 24 * (8 + 1) + 4),
    ],
)
def test_nbytes_counts_scales_and_whole_blocks(name, expected):
    assert quantize(torch.randn(4, 96), Scheme(name)).nbytes == expected
    assert quantize(torch.randn(4, 81), Scheme(name)).nbytes == expected
    assert expected * 8 / (4 * 96) == pytest.approx(FORMATS[name].bits_per_element, rel=0.02)  # the tensor scale


def test_fp64_scales_stop_at_the_ends_of_e8m0():
    x = torch.tensor([[1e300, 1.0], [1e-300, 0.0]], dtype=torch.float64)
    q = quantize(x, Scheme("mxfp4"))
    assert q.scale.tolist() == [[2.0**127], [2.0**-127]]
    assert q.dequantize().tolist() == [[6 * 2.0**127, 0.0], [0.0, 0.0]]
    assert quantize(x, Scheme("nvfp4")).dequantize().isfinite().all()


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this CPU cannot flush subnormals")
@pytest.mark.parametrize("name", NAMES)
def test_zero_blocks_survive_where_subnormals_are_flushed(name):
    x = torch.randn(4, 64)
    x[1] = 0
    expected = round_to(x, name)
    torch.set_flush_denormal(True)
    try:
        rounded, values = round_to(x, name), quantize(x, Scheme(name)).dequantize()
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(rounded, expected)
    assert torch.equal(values, expected)
