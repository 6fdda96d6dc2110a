"""What each ATen operator is to a person: its kind (the name shown) and its role."""

from __future__ import annotations

from typing import Any

from explorer.graph.ir import Role, TensorType

COMPUTE = {
    "linear": "linear",
    "addmm": "linear",
    "conv1d": "conv1d",
    "conv2d": "conv2d",
    "conv3d": "conv3d",
    "convolution": "conv",
    "conv_transpose2d": "conv_transpose2d",
    "matmul": "matmul",
    "mm": "matmul",
    "bmm": "matmul",
    "baddbmm": "matmul",
    "einsum": "matmul",
    "grouped_mm_fallback": "grouped_matmul",
    "scaled_dot_product_attention": "attention",
}
SENSITIVE = {
    "softmax": "softmax",
    "_softmax": "softmax",
    "log_softmax": "log_softmax",
    "_log_softmax": "log_softmax",
    "layer_norm": "layer_norm",
    "native_layer_norm": "layer_norm",
    "rms_norm": "rms_norm",
    "batch_norm": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "group_norm": "group_norm",
    "native_group_norm": "group_norm",
    "instance_norm": "instance_norm",
    "cross_entropy_loss": "loss",
    "nll_loss": "loss",
    "mse_loss": "loss",
} | {
    name: name
    for name in (
        "mean sum var std var_mean prod norm linalg_vector_norm cumsum cumprod logsumexp exp expm1 log log1p log2 "
        "pow rsqrt sqrt reciprocal softplus erf"
    ).split()
}
VIEW = set(
    "view reshape permute transpose t expand expand_as unsqueeze squeeze slice select flatten unflatten alias detach "
    "contiguous clone _unsafe_view as_strided split split_with_sizes chunk unbind narrow movedim getitem _to_copy to "
    "lift_fresh_copy lift_fresh dropout feature_dropout alpha_dropout cat concat stack repeat "
    "roll flip index_select gather pixel_shuffle pixel_unshuffle unfold tril triu "
    "diagonal copy fill index expand_copy view_copy repeat_interleave constant_pad_nd pad _conj".split()
)
ASSERTS = set(
    "_assert_tensor_metadata _assert_async _assert_scalar sym_constrain_range_for_size sym_constrain_range".split()
)
FACTORY = set(
    "arange full zeros ones empty full_like zeros_like ones_like empty_like new_ones new_zeros new_full "
    "new_empty scalar_tensor eye linspace".split()
)


def operator_name(target: Any) -> str:
    """The bare name of an operator: ``aten.add.Tensor`` -> ``add``."""
    packet = getattr(target, "overloadpacket", target)
    return str(getattr(packet, "__name__", packet)).removesuffix("_default")


def classify(
    target: Any, output: TensorType | None, inputs: tuple[TensorType, ...], weight: TensorType | None = None
) -> tuple[str, Role]:
    """Return ``(kind, role)`` of an operator from its name and the types that flow through it.

    ``weight`` is the type of its second argument where that is a constant: a product with a matrix of weights is a
    linear, however the model writes it.

    Integer, boolean and shape arithmetic is ``integer`` and has no precision. A floating operator that no table
    knows is ``elementwise``: it may run in any native float format.
    """
    name = operator_name(target)
    if output is None or not output.floating or name in ASSERTS:
        return name, "integer"
    if name in FACTORY:
        return name, "integer"
    if name in VIEW:
        floats_in = any(type_.floating for type_ in inputs)
        return name, "view" if floats_in else "integer"
    if name in ("mm", "matmul") and weight is not None and len(weight.shape) == 2:
        return "linear", "compute"
    if name in COMPUTE:
        return COMPUTE[name], "compute"
    if name in SENSITIVE:
        return SENSITIVE[name], "sensitive"
    if not any(type_.floating for type_ in inputs):
        return name, "integer"
    return name.lstrip("_"), "elementwise"
