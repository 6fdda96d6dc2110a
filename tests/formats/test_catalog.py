"""The table of formats: order, lookup, suggestions and its look in a notebook."""

import pickle
import sys

import pytest

from explorer.errors import MissingPackage, PrecisionError
from explorer.formats import FORMATS, find_format

NAMES = [
    "fp32",
    "tf32",
    "bf16",
    "fp16",
    "fp8_e4m3",
    "fp8_e5m2",
    "fp6_e3m2",
    "fp6_e2m3",
    "fp4_e2m1",
    "e8m0",
    "int8",
    "uint8",
    "int4",
    "uint4",
    "int2",
    "mxfp8_e4m3",
    "mxfp8_e5m2",
    "mxfp6_e3m2",
    "mxfp6_e2m3",
    "mxfp4",
    "mxint8",
    "nvfp4",
]


def test_holds_the_formats_in_order_with_sources():
    assert list(FORMATS) == NAMES
    assert len(FORMATS) == len(NAMES)
    assert all(spec.source and spec.name == name for name, spec in FORMATS.items())


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("FP8-E4M3", "'fp8_e4m3'"),
        ("int88", "'int8'"),
        ("e4m3", "'fp8_e4m3'"),
        ("mxfp8", "'mxfp8_e5m2' or 'mxfp8_e4m3'"),
        ("float", "one of fp32"),
        (7, "one of fp32"),
    ],
)
def test_unknown_name_lists_close_matches(asked, suggested):
    with pytest.raises(PrecisionError, match="no format has this name") as caught:
        find_format(asked)
    assert suggested in caught.value.try_
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_is_a_mapping():
    assert "int8" in FORMATS
    assert "int9" not in FORMATS
    assert FORMATS.get("int9") is None
    assert find_format(FORMATS["int8"]) is FORMATS["int8"]
    assert find_format(FORMATS["mxfp4"]) is FORMATS["mxfp4"]
    assert repr(FORMATS).startswith("FORMATS(fp32, tf32")


def test_shows_as_a_table():
    table = FORMATS.table()
    assert list(table.index) == NAMES
    assert table.loc["fp8_e4m3", "largest"] == 448
    assert table.loc["fp16", "exponent"] == 5
    assert table.loc["mxfp6_e2m3", ["element", "block", "scale", "bits_per_element"]].tolist() == [
        "fp6_e2m3",
        32,
        "e8m0",
        6.25,
    ]
    assert table.loc["nvfp4", ["block", "scale", "bits_per_element"]].tolist() == [
        16,
        "fp8_e4m3, fp32 per tensor",
        4.5,
    ]
    assert table.loc["e8m0", "smallest_normal"] == 2.0**-127
    html = FORMATS._repr_html_()
    assert html.startswith("<table")
    assert "448" in html
    assert "fp4_e2m1" in html
    assert "mxint8" in html


def test_table_without_pandas_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackage, match="'pandas' is not installed"):
        FORMATS.table()
