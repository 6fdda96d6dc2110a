"""The kernel protocol, spoken directly: no message runs code, makes a widget or changes what a page does not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.serving.conftest import Running
from tests.serving.speaking import Talk, frame, join
from widgets.serve.rules import MAX_DEPTH, MAX_TEXT_BYTES, Unreadable, read, refusal

MOST = 1000
SLIDER = {"comm_id": "s", "data": {"method": "update", "state": {"value": 7}}}


def code(proof: Path) -> dict[str, Any]:
    """A request to write a file."""
    return {"code": f"open({str(proof)!r}, 'w')", "silent": False, "store_history": False, "allow_stdin": False}


def attempts(proof: Path, slider: str, box: str, view: str) -> list[bytes]:
    """What a visitor might try; ``slider``, ``box`` and ``view``: ids of a control, a container and a view of ours."""
    run, state = code(proof), {"_model_module": "@jupyter-widgets/controls", "_model_name": "TextModel"}
    told = [
        ("execute_request", run),
        ("inspect_request", {"code": "slider", "cursor_pos": 3}),
        ("complete_request", {"code": "sli", "cursor_pos": 3}),
        ("history_request", {"hist_access_type": "tail", "n": 9, "output": True, "raw": True}),
        ("is_complete_request", {"code": "1"}),
        ("debug_request", {"type": "request", "command": "evaluate", "arguments": {"expression": run["code"]}}),
        ("interrupt_request", {}),
        ("shutdown_request", {"restart": False}),
        ("create_subshell_request", {}),
        ("usage_request", {}),
        ("input_reply", {"value": run["code"]}),
        ("abort_request", {}),
    ]
    by_type = [frame(channel, kind, content) for kind, content in told for channel in ("shell", "control", "stdin")]
    comms = [
        ("comm_open", {"comm_id": "new", "target_name": "jupyter.widget", "data": {"state": state}}),
        ("comm_open", {"comm_id": "new", "target_name": "os.system", "data": {"state": run}}),
        ("comm_msg", {"comm_id": box, "data": {"method": "update", "state": {"children": []}}}),
        ("comm_msg", {"comm_id": slider, "data": {"method": "update", "state": {"max": 10**9, "value": 5}}}),
        ("comm_msg", {"comm_id": slider, "data": {"method": "update", "state": {"value": "x" * 20_000}}}),
        ("comm_msg", {"comm_id": slider, "data": {"method": "custom", "content": run}}),
        ("comm_msg", {"comm_id": slider, "data": {"method": "__class__"}}),
        ("comm_msg", {"comm_id": view, "data": {"method": "update", "state": {"_esm": "alert(1)"}}}),
        ("comm_msg", {"comm_id": "nobody", "data": {"method": "update", "state": {"value": 5}}}),
        ("comm_close", {"comm_id": slider, "data": {}}),
        ("comm_close", {"comm_id": view, "data": {}}),
    ]
    garbage = [b"", b"\xff" * 64, b"{}", (10**9).to_bytes(8, "little"), join([b"shell", b"{", b"{}", b"{}", b"{}"])]
    return [*by_type, *(frame("shell", kind, content) for kind, content in comms), *garbage]


def _find(states: dict[str, Any], model: str) -> str:
    return next(identity for identity, found in states.items() if found["model_name"] == model)


def test_no_message_runs_code_or_changes_what_a_page_does_not(talk: Talk, tmp_path: Path) -> None:
    before = talk.states()
    slider, box, view = (_find(before, name) for name in ("IntSliderModel", "VBoxModel", "AnyModel"))
    for raw in attempts(tmp_path / "proof", slider, box, view):
        talk.send(raw)
    assert talk.states() == before
    assert list(tmp_path.iterdir()) == []


def test_what_a_page_says_is_heard(talk: Talk) -> None:
    before = talk.states()
    slider, view = _find(before, "IntSliderModel"), _find(before, "AnyModel")
    value = before[slider]["state"]["value"] + 1
    talk.send(frame("shell", "comm_msg", {"comm_id": slider, "data": {"method": "update", "state": {"value": value}}}))
    assert talk.states()[slider]["state"]["value"] == value
    asked = {"comm_id": view, "data": {"method": "custom", "content": {"id": "t-1", "type": "nonsense"}}}
    talk.send(frame("shell", "comm_msg", asked))
    reply = talk.until("comm_msg")["data"]["content"]
    assert (reply["id"], reply["ok"]) == ("t-1", False)
    talk.send(frame("shell", "kernel_info_request", {}))
    assert talk.until("kernel_info_reply")["status"] == "ok"


def test_other_kernels_are_out_of_reach(site: Running) -> None:
    import websocket

    with pytest.raises(websocket.WebSocketBadStatusException):
        site.connect("00000000-0000-0000-0000-000000000000")


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (frame("shell", "execute_request", {}), "'execute_request'"),
        (frame("control", "comm_msg", SLIDER), "over 'control'"),
        (frame("shell", "comm_msg", SLIDER, (b"x" * (MOST + 1),)), "1000 are the most"),
        (frame("shell", "comm_msg", SLIDER, msg_id=3), "has an id"),
        (frame("shell", "comm_msg", {**SLIDER, "comm_id": "x" * 500}), "a comm has an id"),
        (frame("shell", "comm_msg", {"comm_id": "s", "data": nested(MAX_DEPTH + 1)}), "nested"),
        (frame("shell", "comm_msg", {"comm_id": "s", "data": {"method": "update", "buffer_paths": [[[]]]}}), "paths"),
        (frame("shell", "comm_msg", SLIDER, (b"x" * MOST,)), ""),
    ],
)
def test_the_rules_say_why(raw: bytes, words: str) -> None:
    reason = refusal(read(raw), MOST)
    assert words in reason if words else reason == ""


def test_a_frame_is_read_only_whole() -> None:
    whole = frame("shell", "comm_msg", SLIDER)
    for end in range(len(whole)):
        with pytest.raises(Unreadable):
            read(whole[:end])
    for raw in ("text", whole + b"x", join([b"shell", b" " * (MAX_TEXT_BYTES + 1), b"{}", b"{}", b"{}"])):
        with pytest.raises(Unreadable):
            read(raw)
    deep = json.dumps({}).encode() + b"[" * 100_000
    with pytest.raises(Unreadable):
        read(join([b"shell", b"{}", b"{}", b"{}", deep]))
