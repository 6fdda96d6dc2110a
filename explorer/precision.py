"""Precisions: what one op computes in, as a scheme for its weight and its activations and the format it gives."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from explorer.errors import PrecisionError
from explorer.formats import Scheme, find_format

NATIVE = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Precision:
    """What one op computes in.

    ``weight`` and ``activation`` are the schemes of its operands; ``None`` means the plain float format ``compute``.
    Products of the operands are added in ``accumulate``; the result leaves in ``output``. ``weight_method`` is how the
    scale of the weight is found: see ``explorer.weights.METHODS``.
    """

    name: str
    compute: str
    output: str
    weight: Scheme | None = None
    activation: Scheme | None = None
    accumulate: str = "fp32"
    weight_method: Literal["nearest", "mse", "hqq"] = "nearest"
    title: str = ""

    @property
    def is_static(self) -> bool:
        """Whether activations are scaled by scales that are fixed beforehand."""
        return self.activation is not None and not self.activation.dynamic

    @property
    def native(self) -> bool:
        """Whether this is a plain float format, which any floating op can compute in."""
        return self.name in NATIVE


def _in_blocks(name: str, format: str, title: str) -> Precision:
    """Both operands in a block format; the blocks lie along the inputs that a product sums over."""
    return Precision(name, format, "bf16", weight=Scheme(format), activation=Scheme(format), title=title)


_TABLE = (
    Precision("fp32", "fp32", "fp32", title="32-bit float: the baseline"),
    Precision("bf16", "bf16", "bf16", title="bfloat16: FP32's range, 8 bits of precision"),
    Precision("fp16", "fp16", "fp16", title="half: 11 bits of precision, overflows above 65504"),
    Precision("tf32", "tf32", "fp32", title="TF32: FP32 storage, operands rounded to 11 bits of precision"),
    Precision(
        "fp8",
        "fp8_e4m3",
        "bf16",
        weight=Scheme("fp8_e4m3", granularity="channel", axis=0),
        activation=Scheme("fp8_e4m3", granularity="token"),
        title="FP8 E4M3 weights (per channel) and activations (per token, dynamic)",
    ),
    Precision(
        "fp8_e5m2",
        "fp8_e5m2",
        "bf16",
        weight=Scheme("fp8_e4m3", granularity="channel", axis=0),
        activation=Scheme("fp8_e5m2", granularity="token"),
        title="FP8 E5M2 activations with E4M3 weights",
    ),
    Precision(
        "fp8_tensor",
        "fp8_e4m3",
        "bf16",
        weight=Scheme("fp8_e4m3"),
        activation=Scheme("fp8_e4m3"),
        title="FP8 E4M3 weights and activations (one scale per tensor, dynamic)",
    ),
    Precision(
        "fp8_block",
        "fp8_e4m3",
        "bf16",
        weight=Scheme("fp8_e4m3", granularity="square", group=128),
        activation=Scheme("fp8_e4m3", granularity="group", group=128),
        title="FP8 E4M3 weights (blocks of 128x128) and activations (blocks of 128 inputs, dynamic)",
    ),
    Precision(
        "int8",
        "int8",
        "fp32",
        weight=Scheme("int8", granularity="channel", axis=0),
        activation=Scheme("int8", granularity="token"),
        accumulate="int32",
        title="INT8 weights (per channel) and activations (per token, dynamic)",
    ),
    Precision(
        "int8_static",
        "uint8",
        "fp32",
        weight=Scheme("int8", granularity="channel", axis=0),
        activation=Scheme("uint8", symmetric=False, dynamic=False, calibrator="percentile"),
        accumulate="int32",
        title="INT8 weights (per channel), UINT8 activations (one scale per tensor, calibrated beforehand)",
    ),
    Precision(
        "w8",
        "bf16",
        "bf16",
        weight=Scheme("int8", granularity="channel", axis=0),
        title="INT8 weights (per channel), BF16 activations",
    ),
    Precision(
        "w4",
        "bf16",
        "bf16",
        weight=Scheme("int4", granularity="group", group=32),
        title="INT4 weights (groups of 32), BF16 activations",
    ),
    Precision(
        "w4_mse",
        "bf16",
        "bf16",
        weight=Scheme("int4", granularity="group", group=32),
        weight_method="mse",
        title="INT4 weights (groups of 32, scales of least squared error), BF16 activations",
    ),
    Precision(
        "w4_hqq",
        "bf16",
        "bf16",
        weight=Scheme("int4", granularity="group", group=32, symmetric=False),
        weight_method="hqq",
        title="INT4 weights (groups of 32, half-quadratic zero points), BF16 activations",
    ),
    Precision(
        "w4_g128",
        "bf16",
        "bf16",
        weight=Scheme("int4", granularity="group", group=128),
        title="INT4 weights (groups of 128), BF16 activations",
    ),
    Precision(
        "w16",
        "fp32",
        "fp32",
        weight=Scheme("fp16"),
        title="FP16 weights (too large: 65504), FP32 activations",
    ),
    _in_blocks("mxfp8", "mxfp8_e4m3", "MXFP8 E4M3: weights and activations in blocks of 32 with a power of two"),
    _in_blocks("mxfp6", "mxfp6_e2m3", "MXFP6 E2M3: weights and activations in blocks of 32 with a power of two"),
    _in_blocks("mxfp4", "mxfp4", "MXFP4: weights and activations in blocks of 32 with a power of two"),
    _in_blocks(
        "nvfp4", "nvfp4", "NVFP4: weights and activations in blocks of 16 with an E4M3 scale, one FP32 per tensor"
    ),
)

PRECISIONS: dict[str, Precision] = {precision.name: precision for precision in _TABLE}
BLOCK_PRECISIONS = {
    name: precision for name, precision in PRECISIONS.items() if find_format(precision.compute).is_block
}


def weight_scheme_of(name: str) -> Scheme:
    """Return the scheme in which precision ``name`` stores weights; only for precisions that have one."""
    scheme = PRECISIONS[name].weight
    assert scheme is not None
    return scheme


def names_of(precisions: Iterable[str]) -> tuple[str, ...]:
    """Return the names asked for, each once; a bare name counts as a list of one."""
    return tuple(dict.fromkeys((precisions,) if isinstance(precisions, str) else precisions))


def find_precision(name: str, table: dict[str, Precision] | None = None) -> Precision:
    """Return the precision called ``name``; raise :class:`PrecisionError` naming the ones there are."""
    known = PRECISIONS if table is None else table
    if name in known:
        return known[name]
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"{close[0]!r}" if close else f"one of {', '.join(known)}"
    raise PrecisionError(f"use precision {name!r}", "there is no such precision", hint)
