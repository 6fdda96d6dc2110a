"""Integer codes against ONNX Runtime's QuantizeLinear and torch's fake-quantise ops: INT8 and INT4, both symmetries.

Torch multiplies by the inverse of the scale, ONNX Runtime divides by the scale. No code can equal both everywhere: ours
are torch's. The two quotients are each within 2**-23 of the exact one, relatively, so ONNX Runtime's codes must be
equal wherever the exact quotient is farther than that from a tie, and everywhere under scales that are powers of two.
"""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from onnxruntime import InferenceSession, SessionOptions

from explorer.formats import Scheme, find_scale, quantize

ONNX = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int4": TensorProto.INT4, "uint4": TensorProto.UINT4}
AXES = [None, 0, 1, -1]
FORMATS = ["int8", "int4"]
TIE_WINDOW = 2.0**-23


def scheme_of(name, axis, symmetric, dynamic=True):
    granularity = "tensor" if axis is None else "channel"
    return Scheme(name, granularity, axis, symmetric=symmetric, dynamic=dynamic)


def onnx_codes(x, q):
    """ONNX Runtime's codes for x under the scale and zero point of q, as INT32."""
    kind = q.scheme.format if q.scheme.symmetric else "u" + q.scheme.format.removeprefix("u")
    zero_point = torch.zeros_like(q.scale) if q.zero_point is None else q.zero_point
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [q.scale.numel()], q.scale.flatten().tolist()),
        helper.make_tensor("zero", ONNX[kind], [q.scale.numel()], [int(zero) for zero in zero_point.flatten()]),
    ]
    if q.scale.ndim == 0:
        for constant in constants:
            del constant.dims[:]
    axis = {} if q.scheme.axis is None else {"axis": q.scheme.axis}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"], **axis),
        helper.make_node("Cast", ["codes"], ["y"], to=TensorProto.INT32),
    ]
    ends = [helper.make_tensor_value_info(n, t, None) for n, t in (("x", TensorProto.FLOAT), ("y", TensorProto.INT32))]
    graph = helper.make_graph(nodes, "quantise", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def torch_values(x, q):
    """Torch's fake-quantised x under the scale and zero point of q."""
    scheme = q.scheme
    low, high = int(scheme.smallest_code), int(scheme.largest_code)
    zero_point = torch.zeros_like(q.scale) if q.zero_point is None else q.zero_point
    if scheme.axis is None:
        return torch.fake_quantize_per_tensor_affine(x, q.scale, zero_point.to(torch.int32), low, high)
    zero_point = zero_point.flatten().to(torch.int32)
    return torch.fake_quantize_per_channel_affine(x, q.scale.flatten(), zero_point, scheme.axis % x.ndim, low, high)


def near_a_tie(x, q):
    """Where the exact x / scale lies within the window around a tie in which division and inverse may part."""
    exact = x.double() / q.scale.double()
    distance = (exact - exact.floor() - 0.5).abs()
    return distance <= TIE_WINDOW * exact.abs() * (1 + 2.0**-20)  # the quotient in FP64 is itself rounded


def random_tensor(seed, shape=(37, 65, 11)):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 3, (shape[0], 1, 1)) + rng.uniform(-1, 1)
    return torch.from_numpy(x.astype(np.float32))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", FORMATS)
def test_codes_are_those_of_torch_and_onnx_runtime(name, axis, symmetric, seed):
    x = random_tensor(seed)
    q = quantize(x, scheme_of(name, axis, symmetric))
    assert torch.equal(q.dequantize(), torch_values(x, q))
    differ = q.codes.to(torch.int32) != onnx_codes(x, q)
    assert not (differ & ~near_a_tie(x, q)).any()
    assert differ.sum() <= 1


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", FORMATS)
def test_codes_are_the_same_everywhere_under_powers_of_two(name, axis, symmetric):
    x = random_tensor(7)
    scheme = scheme_of(name, axis, symmetric, dynamic=False)
    scale, zero_point = find_scale(x, scheme)
    scale = 2.0 ** scale.log2().floor()
    x = torch.where(torch.rand(x.shape) < 0.5, x, (x / scale).floor() * scale + scale / 2)  # half of them ties
    q = quantize(x, scheme, scale, zero_point)
    codes = q.codes.to(torch.int32)
    assert torch.equal(q.dequantize(), torch_values(x, q))
    theirs = onnx_codes(x, q)
    lowest_is_ours = theirs < scheme.smallest_code  # symmetric codes leave the lowest unused, ONNX does not
    assert torch.equal(codes[~lowest_is_ours], theirs[~lowest_is_ours])
    assert (codes[lowest_is_ours] == scheme.smallest_code).all()


def test_where_torch_and_onnx_runtime_part():
    """10 million elements: ours are torch's, every one; ONNX Runtime's differ, and only beside a tie."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(10_000_000, generator=generator)
    q = quantize(x, Scheme("int8"))
    assert torch.equal(q.dequantize(), torch_values(x, q))
    differ = q.codes.to(torch.int32) != onnx_codes(x, q)
    assert 0 < differ.sum() <= near_a_tie(x, q).sum()
    assert not (differ & ~near_a_tie(x, q)).any()
    assert near_a_tie(x, q).float().mean() < 1e-4  # so that equality elsewhere says nearly everything


def test_zero_is_exact_under_every_integer_zero_point():
    for name in FORMATS:
        for axis in AXES:
            x = random_tensor(3)
            x[:, :, ::4] = 0
            q = quantize(x, scheme_of(name, axis, symmetric=False))
            assert (q.dequantize()[x == 0] == 0).all()
            assert torch.equal(q.zero_point, q.zero_point.round())
