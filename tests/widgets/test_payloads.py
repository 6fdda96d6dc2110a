"""What crosses to the browser: plain JSON, capped, and true to the session."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from tests.widgets.conftest import Ask
from tests.widgets.fake import FakeSession
from widgets import payloads, plain, timings
from widgets.shown import show
from widgets.state import PageState


def strict(payload: object) -> str:
    return json.dumps(payload, allow_nan=False)


def test_everything_is_strict_json(ask: Ask, state: PageState, session: FakeSession) -> None:
    ask("preset", name="int8-dynamic")
    assert state.wait(10)
    assert state.shown is not None
    for payload in (
        payloads.table(session),
        payloads.plan(session, state.shown),
        timings.times(state),
        payloads.delta(state),
        payloads.top(state),
        payloads.job(state),
        payloads.recipe(state.shown, session.precisions),
    ):
        assert len(strict(payload)) < 60_000


def test_the_table_holds_each_option_once(session: FakeSession) -> None:
    table = payloads.table(session)
    assert len(table["option_kinds"]) < 80
    for op, row in zip(table["ops"], table["options"], strict=True):
        for precision, kind in zip(session.precisions, row, strict=True):
            option = session.options(op["id"])[precision]
            found = table["option_kinds"][kind]
            assert (found["possible"], found["emulated"], found["kernel"]) == (
                option.possible,
                option.emulated,
                option.kernel,
            )


def test_links_are_op_numbers(session: FakeSession) -> None:
    table = payloads.table(session)
    named = [(table["ops"][a]["id"], table["ops"][b]["id"]) for a, b in table["links"]]
    assert named == session.links


def test_the_plan_follows_the_recipe(session: FakeSession) -> None:
    session.set(["blocks.0.attn.qkv/linear"], "int8")
    plan = payloads.plan(session, show(session))
    at = session.ids.index("blocks.0.attn.qkv/linear")
    assert session.precisions[plan["choices"][at]] == "int8"
    assert plan["kernels"][at] == "onednn_int8_linear"
    assert len(plan["casts"]) == 1 + len(session.ids), "the first are those of inputs"
    ((cast,),) = [row for row in plan["casts"] if row]
    source = plan["casts"].index([cast]) - 1
    assert (session.ids[source], session.ids[at]) in session.links
    assert (cast["consumers"], cast["from"], cast["to"], cast["direction"]) == ([at], "fp32", "int8", "down")
    assert cast["time_us"] is None


def test_caps_hold(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MAX_OPS", 5)
    monkeypatch.setattr(payloads, "MAX_CHOICES", 3)
    table = payloads.table(session)
    assert (len(table["ops"]), table["more"]) == (5, len(session.ids) - 5)
    assert max(max(link) for link in table["links"]) < 5
    session.set(session.ids, "bf16")
    recipe = payloads.recipe(show(session), session.precisions)
    assert (len(recipe["choices"]), recipe["more"]) == (3, len(session.ids) - 3)
    assert len(plain.text("x" * 10_000)) == plain.MAX_TEXT


def test_numbers_that_json_cannot_carry_are_none() -> None:
    assert [plain.number(value) for value in (math.nan, math.inf, None, 1)] == [None, None, None, 1.0]


def test_a_score_that_is_not_a_number_stays_a_measurement(state: PageState) -> None:
    state.quality = replace(state.quality, kl=math.nan)
    kl = payloads.delta(state)["kl"]
    assert (kl["kind"], kl["value"]) == ("measured", None)


def test_subtitles_say_what_matters(session: FakeSession) -> None:
    subs = {op["id"]: op["sub"] for op in payloads.table(session)["ops"]}
    assert subs["blocks.0.attn.qkv/linear"] == "linear \u00b7 192 \u2192 576"
    assert subs["patch_embed.proj/conv2d"] == "conv2d \u00b7 1 \u2192 192 \u00b7 8\u00d78"
    assert subs["blocks.0.norm2/layer_norm"] == "layer_norm \u00b7 64\u00d7192"
