"""``session.sweep`` and ``session.interactions`` as a notebook sees them: tables of one shape, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import explorer as px
from explorer.errors import DataError, SelectionError
from tests.engine.conftest import build_vit, vit_data

NAMES = ("fp32", "bf16", "w4")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> px.Session:
    store: Path = tmp_path_factory.mktemp("session") / "trials.sqlite"
    x, y = vit_data(21)
    opened = px.open(build_vit(), inputs=x[:2], data=(x, y), name="vit", batch_size=8, device="cpu", store=store)
    opened.precisions = NAMES
    opened.map()
    return opened


def test_the_sweep_has_the_shape_of_the_map(session: px.Session) -> None:
    seen: list[pd.DataFrame] = []
    swept, predicted = session.sweep(n=8, partial=seen.append), session.map()
    assert list(swept.index) == list(predicted.index) and list(swept) == list(predicted)
    assert swept.isna().equals(predicted.isna()) and swept["w4"].isna().any() and swept["w4"].notna().any()
    assert all(part.shape == swept.shape for part in seen)


def test_rows_and_columns_that_cannot_run_are_there(session: px.Session) -> None:
    norms = session.ops.index[session.ops["kind"] == "layer_norm"]
    swept = session.sweep("kind:layer_norm", ["w4", "bf16"], n=8)
    assert list(swept.index) == list(norms) and list(swept) == ["w4", "bf16"]
    assert swept["w4"].isna().all() and (swept["bf16"] > 0).all()
    assert session.sweep("kind:layer_norm", "w4", n=8).shape == (len(norms), 1)


def test_where_nothing_is_ambiguous_the_table_is_empty_but_whole(
    session: px.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.predict.ambiguous_cells", lambda found: frozenset())
    swept = session.sweep("kind:linear", only="ambiguous")
    assert list(swept) == list(NAMES) and len(swept) == (session.ops["kind"] == "linear").sum()
    assert (swept["fp32"] == 0).all() and swept[["bf16", "w4"]].isna().all(axis=None)


def test_interactions_need_two_ops_and_a_number_of_pairs(session: px.Session) -> None:
    session.reset()
    with pytest.raises(SelectionError, match=r"none of the recipe's ops is out of FP32 .* a pair takes two"):
        session.interactions()
    session.set(session.ops.index[session.ops["kind"] == "linear"][0], "bf16")
    with pytest.raises(SelectionError, match="1 of the recipe's ops"):
        session.interactions()
    session.set("kind:linear", "bf16")
    wrong: list[Any] = [-1, 2.5, "8"]
    for k in wrong:
        with pytest.raises(DataError, match=f"k={k!r} .* whole number from 0 on"):
            session.interactions(k)
    some, none = session.interactions(1, n=8), session.interactions(0, n=8)
    assert len(some) == 1 and none.empty
    assert list(none) == list(some) == ["first", "second", "together", "interaction", "predicted"]
    assert none.index.names == some.index.names == ["one", "other"]
    session.reset()
