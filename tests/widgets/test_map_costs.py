"""The map's colours: costs cross as bytes, come early and tighten, yield to clicks, and never hold up the numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.widgets.conftest import Ask, until
from tests.widgets.fake import FakeSession
from tests.widgets.fake_searches import BREAKS, PROBES
from widgets import map_costs, messages, payloads
from widgets.predicting import FIRST_PRECISIONS
from widgets.sharing import state_of
from widgets.state import MAP_SAMPLES, PageState

QKV = "blocks.0.attn.qkv/linear"
FC1 = "blocks.1.mlp.fc1/linear"


def read(state: PageState) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Costs and errors as the browser reads them."""
    about, raw = map_costs.costs(state)
    shape = about["rows"], about["columns"]
    cells = shape[0] * shape[1]
    return np.frombuffer(raw, np.float32, cells).reshape(shape), np.frombuffer(raw, np.uint8, cells, 4 * cells).reshape(
        shape
    )


def test_costs_cross_as_five_bytes_a_cell_in_the_order_of_the_page(state: PageState, session: FakeSession) -> None:
    about, raw = map_costs.costs(state)
    json.dumps(about, allow_nan=False)
    assert len(raw) == 5 * len(session.ids) * len(session.precisions)
    costs, errors = read(state)
    table = session._costs()
    for op in (QKV, FC1):
        for precision in session.precisions:
            found = costs[session.ids.index(op), session.precisions.index(precision)]
            assert found == np.float32(table.at[op, precision])
    # The fake's errors are a part of each cost that only the number of samples decides.
    assert set(errors[session.ids.index(QKV), 1:]) == {round(100 / MAP_SAMPLES[-1] ** 0.5)}
    assert (about["samples"], about["total"], about["unit"], about["per"]) == (MAP_SAMPLES[-1], 397, "nats", "sample")


def test_what_breaks_is_not_what_is_unknown(state: PageState, session: FakeSession) -> None:
    costs, errors = read(state)
    op, precision = BREAKS
    broken = session.ids.index(op), session.precisions.index(precision)
    impossible = session.ids.index("norm/layer_norm"), session.precisions.index("int8")
    assert np.isnan(costs[broken]) and errors[broken] == map_costs.MORE
    assert costs[impossible] == map_costs.UNKNOWN
    assert (costs[:, session.precisions.index("fp32")] == 0).all()


def test_errors_are_whole_percents_and_large_ones_are_said_to_be(session: FakeSession) -> None:
    values, spreads = np.array([[1.0, 2.0, 1.0, 0.0, 1.0]]), np.array([[0.084, 9.0, np.nan, 0.0, np.inf]])
    assert map_costs._percents(values, spreads).tolist() == [[8, 254, 254, 0, 254]]


def test_measured_cells_stand_beside_the_predicted_ones(state: PageState, session: FakeSession) -> None:
    session.measured_cells = {(QKV, "int8"): (3e-4, 128), (FC1, "fp16"): (float("inf"), 128), ("gone", "int8"): (1, 1)}
    about, _ = map_costs.costs(state)
    assert about["measured"] == [
        [session.ids.index(QKV), session.precisions.index("int8"), 3e-4, 128],
        [session.ids.index(FC1), session.precisions.index("fp16"), None, 128],
    ]


def test_the_first_colours_come_from_the_first_samples_and_then_tighten(session: FakeSession) -> None:
    state = state_of(session)
    seen: list[tuple[int, list[str], set[str]]] = []

    def hear(topics: frozenset[str]) -> None:
        if "map" in topics and state.costs is not None:
            known = (state.costs.costs != map_costs.UNKNOWN).any(axis=0)
            coloured = {name for name, found in zip(session.precisions, known, strict=True) if found}
            seen.append((state.costs.samples, list(session.calls), coloured))

    state.subscribe(hear)
    assert map_costs.costs(state)[0] == {"state": "waiting", "error": ""}
    messages.answer(state, {"id": 0, "type": "hello"})
    assert state.wait(20)
    counts = [samples for samples, _, _ in seen]
    assert counts[0] < MAP_SAMPLES[0] <= counts[-1] == MAP_SAMPLES[-1]
    assert seen[0][2] == {"fp32", *FIRST_PRECISIONS}, "the first columns do not wait for the others"
    assert seen[-1][2] == set(session.precisions)
    assert "evaluate" not in seen[0][1], "colours come before the numbers of a page that has just opened"
    assert session.calls.index("evaluate") < session.calls.index("latency") < session.calls.index("map", 3)
    assert state.predicted_map.probes == PROBES


def test_a_click_goes_before_the_map_which_keeps_what_it_had(session: FakeSession) -> None:
    state = state_of(session)
    messages.answer(state, {"id": 0, "type": "hello"})
    until(lambda: session.calls.count("map") == 2)
    session.gate.clear()
    until(lambda: session.waiting)
    before = state.costs
    assert messages.answer(state, {"id": 1, "type": "set", "ops": [QKV], "precision": "int8"})["ok"]
    assert state.costs is before
    session.gate.set()
    assert state.wait(20)
    after = session.calls[session.calls.index("map") + 2 :]
    assert after.index("evaluate") < after.index("latency") < after.index("map")
    assert state.map_samples == MAP_SAMPLES[-1]


def test_every_click_is_priced_at_once_and_then_measured(ask: Ask, state: PageState, session: FakeSession) -> None:
    session.gate.clear()
    ask("set", ops=[QKV], precision="int8")
    kl = payloads.delta(state)["kl"]
    assert kl["kind"] == "predicted"
    assert kl["predicted"]["low"] < kl["predicted"]["cost"] < kl["predicted"]["high"]
    session.gate.set()
    assert state.wait(20)
    kl = payloads.delta(state)["kl"]
    assert (kl["kind"], kl["n"]) == ("measured", 397)
    assert kl["predicted"]["cost"] == pytest.approx(session._cost(QKV, "int8"))
    ask("preset", name="w4")
    assert payloads.delta(state)["kl"]["predicted"]["valid"] is False


def test_a_map_that_fails_is_told_and_stops_nothing(session: FakeSession) -> None:
    session.no_map = ValueError("its outputs are strings")
    state = state_of(session)
    messages.answer(state, {"id": 0, "type": "hello"})
    assert state.wait(20)
    assert map_costs.costs(state) == ({"state": "failed", "error": "its outputs are strings"}, b"")
    assert session.calls.count("map") == 1
    assert payloads.delta(state)["latency"]["kind"] == "measured"
    assert payloads.delta(state)["kl"]["predicted"] is None


def test_a_price_that_fails_is_told_in_its_card(
    ask: Ask, state: PageState, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(recipe: Any = None) -> Any:
        raise ValueError("no products")

    monkeypatch.setattr(session, "price", refuse)
    state.recipe_changed()
    assert payloads.delta(state)["kl"]["predicted"] == {"cost": None, "valid": False, "words": "no products"}


def test_another_model_forgets_the_costs(state: PageState) -> None:
    other = FakeSession(blocks=1)
    state.adopt(other)
    assert map_costs.costs(state)[0]["state"] == "waiting"
    assert (state.price, state.frontier, state.proposal) == (None, None, None)
