"""What a session predicts, sweeps and searches: one map that grows, prices from it, and proposals that are measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import explorer as px
from explorer.errors import DataError, ExplorerError, RecipeError, SelectionError
from explorer.search import Constraints
from tests.engine.conftest import build_vit, vit_data

NAMES = ("fp32", "bf16", "int8")


def open_vit(folder: Path) -> px.Session:
    x, y = vit_data(21)
    store = folder / "trials.sqlite"
    return px.open(build_vit(), inputs=x[:2], data=(x, y), name="vit", batch_size=8, device="cpu", store=store)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searches")


@pytest.fixture(scope="module")
def session(folder: Path) -> px.Session:
    opened = open_vit(folder)
    opened.precisions = NAMES
    return opened


def test_nothing_is_priced_before_there_is_a_map(folder: Path) -> None:
    fresh = open_vit(folder)
    assert fresh.price() is None
    with pytest.raises(SelectionError, match=r"session\.map"):
        fresh.sweep(only="ambiguous")
    with pytest.raises(SelectionError, match=r"session\.map"):
        fresh.interactions()


def test_the_map_grows_and_is_found_again_by_another_session(session: px.Session, folder: Path) -> None:
    seen: list[int] = []
    found = session.predicted_map(["int8"], partial=lambda part: seen.append(part.samples))
    assert seen[0] == 8 and found.samples == 21
    table = session.map()
    assert list(table.columns) == list(NAMES) and (table["fp32"] == 0).all()
    assert table["int8"].equals(found.table()["int8"])
    again = open_vit(folder).predicted_map(NAMES)
    assert again.only(NAMES).table().equals(table)


def test_a_recipes_own_trial_is_no_part_of_its_band(session: px.Session) -> None:
    session.map()
    session.set("kind:linear", "int8")
    before = session.price()
    assert before is not None and before.trials == 0 and before.low < before.cost < before.high
    quality = session.evaluate()
    after = session.price()
    assert after is not None and (after.low, after.high, after.trials) == (before.low, before.high, 0)
    session.set("kind:layer_norm", "bf16")
    other = session.price()
    assert other is not None and other.trials == 1
    assert before.cost / 3 < quality.kl < before.cost * 3
    session.reset()


def test_what_was_swept_is_known_from_then_on(session: px.Session) -> None:
    predicted = session.map()
    op = predicted["int8"].idxmax()
    swept = session.sweep([op], ["int8"], n=21)
    assert session.measured_cells[op, "int8"] == (swept.loc[op, "int8"], 21)
    price = session.price(session.subject.baseline.recipe.with_precision([op], "int8", "test"))
    assert price is not None and price.cost == pytest.approx(swept.loc[op, "int8"], rel=1e-5)
    assert session.sweep(precisions=["int8"], n=8, only="ambiguous").notna().sum().sum() < swept.size * len(predicted)


def test_one_precision_may_be_named_alone(session: px.Session) -> None:
    assert session.map("int8").equals(session.map(["int8"]))
    assert session.sweep("kind:linear", "int8", n=8).equals(session.sweep("kind:linear", ["int8"], n=8))
    allowed = Constraints(allowed={"*": "bf16"})
    assert set(session.search("bits", max_cost=1.0, constraints=allowed).proposals[0].recipe.counts) == {"bf16"}


WRONG: list[tuple[Callable[[Any], Any], type[ExplorerError], str]] = [
    (lambda s: s.map(n=0), DataError, "whole number from 1"),
    (lambda s: s.map(n=2.5), DataError, "whole number from 1"),
    (lambda s: s.map(probes=0), DataError, "probes=4"),
    (lambda s: s.map(probes=2.5), DataError, "probes=4"),
    (lambda s: s.map(of="weights"), SelectionError, "of='kv'"),
    (lambda s: s.sweep("kind:linear", ["int8"], n=0), DataError, "whole number from 1"),
    (lambda s: s.search(budget="1 ms"), RecipeError, "finite number"),
    (lambda s: s.search("bits", constraints={"locked": {}}), RecipeError, "they are a dict"),
    (lambda s: s.search("bits", constraints=Constraints(tied=(s.ops.index[0],))), RecipeError, "one op ties nothing"),
    (lambda s: s.search("bits", max_cost=1.0).at(float("nan")), RecipeError, "no number"),
    (lambda s: s.search("bits", max_cost=1.0).at("8"), RecipeError, "no number"),
    (lambda s: s.search("bits", max_cost=1.0).verify(k=0), RecipeError, "nothing to measure"),
]


@pytest.mark.parametrize(("ask", "error", "words"), WRONG)
def test_what_cannot_be_asked_is_told(
    session: px.Session, ask: Callable[[Any], Any], error: type[ExplorerError], words: str
) -> None:
    session.map()
    with pytest.raises(error, match=words):
        ask(session)


def test_interactions_are_of_the_strongest_pairs_first(session: px.Session) -> None:
    session.map()
    session.set("kind:linear", "int8")
    pairs = session.interactions(k=2, n=8)
    assert len(pairs) == 2
    assert abs(pairs["predicted"].iloc[0]) >= abs(pairs["predicted"].iloc[1])
    difference = pairs["together"] - pairs["first"] - pairs["second"]
    np.testing.assert_allclose(pairs["interaction"], difference, rtol=1e-12)
    session.reset()


def test_a_search_proposes_and_verify_measures(session: px.Session) -> None:
    locked = str(session.ops.index[session.ops["kind"] == "linear"][0])
    front = session.search("bits", precisions=NAMES, constraints=Constraints(locked={locked: "fp32"}))
    costs, bits = [each.price.cost for each in front.proposals], [each.bits for each in front.proposals]
    assert bits == sorted(bits) and costs == sorted(costs, reverse=True)
    assert all(each.recipe[locked] == "fp32" for each in front.proposals)
    low, high = front.limits
    middle = front.at((low + high) / 2)
    assert middle.bits <= (low + high) / 2 and middle.price.cost <= max(costs)
    checked = front.verify(k=1)
    measured = [each for each in checked.proposals if each.quality is not None]
    assert len(measured) == 1 and measured[0].quality == session.known(measured[0].recipe).quality
