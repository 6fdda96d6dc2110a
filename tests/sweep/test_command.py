"""`explorer sweep`: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from explorer import cli


def test_sweep_prints_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "cells.csv"
    asked = ["sweep", "digits-cnn", "--ops", "kind:linear", "--precisions", "bf16, int8", "--n", "8"]
    assert cli.main(asked) == 0
    head, columns, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("measured cost of each op alone, in nats, on 8 samples; 0 of ")
    assert columns.split() == ["bf16", "int8"]
    assert cli.main([*asked, "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert f"{len(table)} cells written to {out}" in capsys.readouterr().out
    assert list(table) == ["op", "precision", "cost", "error", "n", "emulated", "kernel", "failure"]
    assert len(table) == 2 * (len(rows) - 1) and (table.cost > 0).all() and set(table.n) == {8}


def test_what_cannot_run_is_in_the_table_too(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--ops", "*", "--precisions", "w4,bf16", "--n", "8"]
    assert cli.main(["sweep", "digits-cnn", *asked]) == 0
    _, columns, *rows = capsys.readouterr().out.splitlines()
    assert columns.split() == ["w4", "bf16"]
    costs = {row.split()[0]: row.split()[1:] for row in rows[1:]}
    assert any("relu" in op and found[0] == "-" != found[1] for op, found in costs.items())
    assert any("linear" in op and found[0] != "-" for op, found in costs.items())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits-cmn"], "no bundled model has that name"),
        (["digits-cnn", "--out", "/no/such/folder/x.csv"], "there is no folder /no/such/folder"),
        (["digits-cnn", "--workers", "0"], "there must be at least one"),
        (["digits-cnn", "--scheduler", "nonsense"], "no address of one: missing port number"),
        (["digits-cnn", "--scheduler", "http://127.0.0.1:8786"], "no address of one: unknown address scheme 'http'"),
        (["digits-cnn", "--scheduler", "tls://127.0.0.1:8786"], "no certificate"),
        (["digits-cnn", "--ops", "kind:relu", "--precisions", "w4"], "ops can run in w4 here"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and "Try: " in said
