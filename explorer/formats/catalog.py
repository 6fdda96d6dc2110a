"""The table of formats that the explorer knows, each with the source of its definition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from explorer.errors import MissingPackage, PrecisionError
from explorer.formats.spec import BlockSpec, ElementSpec, FloatSpec, IntSpec, Spec

if TYPE_CHECKING:
    import pandas as pd

IEEE = "IEEE 754-2019, section 3.6"
OCP_FP8 = "OCP 8-bit Floating Point Specification (OFP8) 1.0"
OCP_MX = "OCP Microscaling Formats (MX) 1.0"
BF16_SOURCE = "Intel BFLOAT16 Hardware Numerics Definition 1.0"
TF32_SOURCE = "NVIDIA A100 Tensor Core GPU Architecture, 2020"
TWOS_COMPLEMENT = "two's complement, symmetric range without the lowest code"
UNSIGNED = "unsigned binary"
NVFP4_SOURCE = "NVIDIA, Pretraining Large Language Models with NVFP4 (2025)"


class UnknownFormatError(PrecisionError, KeyError):
    """No format has this name."""


class FormatTable(Mapping[str, Spec]):
    """An ordered map from format name to spec that shows as a table in a notebook.

    Asking for a name that it lacks raises ``UnknownFormatError``, a ``PrecisionError``, with the nearest names.
    """

    def __init__(self, specs: Iterable[Spec]) -> None:
        self._specs = {spec.name: spec for spec in specs}

    def __getitem__(self, name: str) -> Spec:
        if isinstance(name, str) and name in self._specs:
            return self._specs[name]
        raise UnknownFormatError(f"format {name!r}", "no format has this name", self._suggest(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __repr__(self) -> str:
        return f"FORMATS({', '.join(self._specs)})"

    def table(self) -> pd.DataFrame:
        """A DataFrame with one row per format, index = name; raises ``MissingPackage`` without pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise MissingPackage("the table of formats", "pandas", "notebook") from None
        rows = [_row(spec) for spec in self._specs.values()]
        frame = pd.DataFrame(rows, index=pd.Index(list(self._specs), name="format"))
        return frame.astype(dict.fromkeys(("block", "exponent", "mantissa", "bias"), "Int64"))

    def _repr_html_(self) -> str:
        frame = self.table()
        shown = frame.astype(object).where(frame.notna(), "")
        return str(shown.to_html(float_format=lambda value: f"{value:.6g}"))

    def _suggest(self, name: object) -> str:
        wanted = str(name).lower().replace("-", "_")
        near = get_close_matches(wanted, self._specs, n=3, cutoff=0.5)
        near += [known for known in self._specs if known not in near and len(wanted) > 2 and wanted in known]
        return " or ".join(repr(known) for known in near) if near else "one of " + ", ".join(self._specs)


def find_format(format: str | Spec) -> Spec:
    """The spec of a format given by name, or the spec itself; raises ``PrecisionError`` for an unknown name."""
    return format if isinstance(format, FloatSpec | IntSpec | BlockSpec) else FORMATS[format]


def _row(spec: Spec) -> dict[str, object]:
    """One row of the table: facts that a reader compares formats by."""
    row: dict[str, object] = {"bits": spec.bits, "bits_per_element": spec.bits_per_element}
    row |= {"element": None, "block": None, "scale": None, "exponent": None, "mantissa": None, "bias": None}
    row |= {"smallest": float(spec.smallest), "largest": float(spec.largest)}
    row |= {"smallest_normal": None, "smallest_subnormal": None, "smallest_positive": spec.smallest_positive}
    row |= {"epsilon": spec.epsilon, "decimal_digits": spec.decimal_digits, "values": spec.finite_values}
    row |= {"inf": False, "nan": False, "source": spec.source}
    if isinstance(spec, FloatSpec):
        row |= {"exponent": spec.exponent_bits, "mantissa": spec.mantissa_bits, "bias": spec.bias}
        row |= {"smallest_normal": spec.smallest_normal, "inf": spec.has_inf, "nan": spec.nan != "none"}
        row |= {"smallest_subnormal": spec.smallest_subnormal if spec.has_zero else None}
    if isinstance(spec, BlockSpec):
        scale = spec.scale if spec.tensor_scale is None else f"{spec.scale}, {spec.tensor_scale} per tensor"
        row |= {"element": spec.element, "block": spec.block, "scale": scale, "nan": True}
    return row


def _mx(name: str, element: ElementSpec) -> BlockSpec:
    """The MX format of this name: 32 elements under an E8M0 scale."""
    return BlockSpec(name, element, 32, E8M0, None, OCP_MX)


FP32 = FloatSpec("fp32", 8, 23, 127, True, "ieee", IEEE)
E4M3 = FloatSpec("fp8_e4m3", 4, 3, 7, False, "all_ones", OCP_FP8)
E5M2 = FloatSpec("fp8_e5m2", 5, 2, 15, True, "ieee", OCP_FP8)
E3M2 = FloatSpec("fp6_e3m2", 3, 2, 3, False, "none", OCP_MX)
E2M3 = FloatSpec("fp6_e2m3", 2, 3, 1, False, "none", OCP_MX)
E2M1 = FloatSpec("fp4_e2m1", 2, 1, 1, False, "none", OCP_MX)
E8M0 = FloatSpec("e8m0", 8, 0, 127, False, "all_ones", OCP_MX, signed=False, has_zero=False)
INT8 = IntSpec("int8", 8, True, 127, TWOS_COMPLEMENT)

FORMATS = FormatTable(
    [
        FP32,
        FloatSpec("tf32", 8, 10, 127, True, "ieee", TF32_SOURCE, container_bits=32),
        FloatSpec("bf16", 8, 7, 127, True, "ieee", BF16_SOURCE),
        FloatSpec("fp16", 5, 10, 15, True, "ieee", IEEE),
        E4M3,
        E5M2,
        E3M2,
        E2M3,
        E2M1,
        E8M0,
        INT8,
        IntSpec("uint8", 8, False, None, UNSIGNED),
        IntSpec("int4", 4, True, 7, TWOS_COMPLEMENT),
        IntSpec("uint4", 4, False, None, UNSIGNED),
        IntSpec("int2", 2, True, 1, TWOS_COMPLEMENT),
        _mx("mxfp8_e4m3", E4M3),
        _mx("mxfp8_e5m2", E5M2),
        _mx("mxfp6_e3m2", E3M2),
        _mx("mxfp6_e2m3", E2M3),
        _mx("mxfp4", E2M1),
        _mx("mxint8", INT8),
        BlockSpec("nvfp4", E2M1, 16, E4M3, FP32, NVFP4_SOURCE),
    ]
)
"""Every format by its name: floats and integers from wide to narrow, then the block formats."""
