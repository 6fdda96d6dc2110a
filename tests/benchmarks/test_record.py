"""Lines of results: what is written can be read again, however small it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import record


def test_small_and_large_figures_keep_their_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    for value in (1.2345678e-7, 123456.25):
        record.tell("a figure", value, "nats", "none", met=True, file="lines.jsonl")
    assert [line["value"] for line in record.read("lines.jsonl")] == [1.2345678e-7, 123456.25]


def test_the_spread_of_small_values_is_not_zero() -> None:
    found = record.spread([1e-7, 2e-7, 3e-7])
    assert found["n"] == 3
    assert found["median"] == pytest.approx(2e-7)
    assert 1e-7 < found["low"] < found["median"] < found["high"] < 3e-7
