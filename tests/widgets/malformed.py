"""Messages that no page sends, drawn from a seed: random JSON, wrong types, huge text, unknown op ids, near misses."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets

from widgets import messages
from widgets.loading_choice import Choice
from widgets.views.plot import ASKED
from widgets.views.view import Pane, View

Random = random.Random
HUGE = 3_000_000
NAMES = ("__class__", "../../etc/passwd", "%s%n", "'; --", "\x00", "\u202e", "\ud800", "<script>", "NaN", "ops", "")
NUMBERS = (0, -1, 2**31, 2**53, -(2**63), 10**40, 1.5, float("nan"), float("inf"), -0.0, True, False)


def malformed(seed: int, count: int, known: Mapping[str, set[str]], ops: list[str]) -> Iterator[Any]:
    """Give ``count`` messages; ``known``: the types that a view obeys with their fields, ``ops``: ids that exist.

    Most are near misses: a known type whose fields are of the wrong kind, number or size. Some are well formed by
    chance ("undo"), as from a page of another version.
    """
    rng = Random(seed)
    makers = (_anything, _unknown, _near, _near, _near, _near, _broken_id)
    for number in range(count):
        yield _huge(rng, known) if number % 97 == 0 else rng.choice(makers)(rng, known, ops)


def panes_of(widget: ipywidgets.Widget) -> list[Pane]:
    """Return every view of ours inside a widget, itself included."""
    inside = [pane for child in getattr(widget, "children", ()) for pane in panes_of(child)]
    return [widget, *inside] if isinstance(widget, Pane) else inside


def known_to(pane: Pane) -> dict[str, set[str]]:
    """Return the messages that a view obeys, with their fields, and some that others do."""
    own = dict(pane.own) if isinstance(pane, View) else {}
    return {**messages.FIELDS, **own, **ASKED, "turn": {"open"}}


def pieces(seed: int) -> Iterator[list[memoryview]]:
    """Give, without end, what bytes may come with a message: none mostly, too few, too many, or more than it said."""
    rng = Random(seed)
    while True:
        sizes = rng.choice(((), (), (), (0,), (1,), (64,), (2_000_000,), (3, 3)))
        yield [memoryview(rng.randbytes(size)) for size in sizes]


def _anything(rng: Random, known: Mapping[str, set[str]], ops: list[str]) -> Any:
    return _value(rng, ops, rng.randrange(5))


def _unknown(rng: Random, known: Mapping[str, set[str]], ops: list[str]) -> Any:
    return {"id": _word(rng), "type": rng.choice([*NAMES, *NUMBERS, None, [], {}]), **_object(rng, ops, 2)}


def _near(rng: Random, known: Mapping[str, set[str]], ops: list[str]) -> Any:
    kind = rng.choice(sorted(known))
    fields = {name: _field(rng, ops, name) for name in known[kind]}
    if rng.random() < 0.2 and fields:
        fields.pop(rng.choice(sorted(fields)))
    if rng.random() < (0.1 if known[kind] else 0.5):  # all that can be wrong with a message that has no fields
        fields[_word(rng)] = _value(rng, ops, 1)
    return {"id": rng.randrange(10**6), "type": kind, **fields}


def _broken_id(rng: Random, known: Mapping[str, set[str]], ops: list[str]) -> Any:
    return {**_near(rng, known, ops), "id": _value(rng, ops, 2)}


def _huge(rng: Random, known: Mapping[str, set[str]]) -> Any:
    kind = rng.choice(sorted(known))
    values: tuple[Callable[[], Any], ...] = (
        lambda: "x" * HUGE,
        lambda: "[" * 100_000,
        lambda: list(range(100_000)),
        lambda: _deep(5_000),
        lambda: {str(number): number for number in range(50_000)},
    )
    return {
        "id": rng.choice(["huge", "y" * 10_000]),
        "type": kind,
        **{name: rng.choice(values)() for name in known[kind]},
    }


def _field(rng: Random, ops: list[str], name: str) -> Any:
    """Any value; or one that goes far, for what only a field of this name takes."""
    right: dict[str, Callable[[], Any]] = {
        "choice": lambda: _choice(rng, ops),
        "role": lambda: rng.choice(("weights", "config", "data", "recorded")),
        "name": lambda: rng.choice(
            ("../../x.npz", "a.safetensors", "\x00.json", "x.npz.", "y.pxb", "z" * 399 + ".npz")
        ),
        "size": lambda: rng.choice((1, 64, 2**40, 10**7)),
        "upload": lambda: rng.randrange(1, 9),
        "at": lambda: rng.choice((0, 1, 64, 2**40)),
        "what": lambda: rng.choice(("tensor", "format", "bundle ", "page\n")),
        "ops": lambda: [rng.choice(ops) for _ in range(rng.randrange(3))],
        "op": lambda: rng.choice(ops),
    }
    return right[name]() if name in right and rng.random() < 0.4 else _value(rng, ops, 3)


def _choice(rng: Random, ops: list[str]) -> dict[str, Any]:
    """What to open, with a few of its facts replaced."""
    facts = Choice("bundled", rng.choice(("digits-cnn", "digits-vit", "nope"))).as_facts()
    return facts | {name: _value(rng, ops, 2) for name in rng.sample(sorted(facts), rng.randrange(1, 4))}


def _deep(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def _value(rng: Random, ops: list[str], depth: int) -> Any:
    drawn = rng.random()
    if depth and drawn < 0.15:
        return [_value(rng, ops, depth - 1) for _ in range(rng.randrange(6))]
    if depth and drawn < 0.3:
        return _object(rng, ops, depth - 1)
    if drawn < 0.45:
        return rng.choice(NUMBERS)
    if drawn < 0.6:
        return _op(rng, ops)
    if drawn < 0.7:
        return [_op(rng, ops) for _ in range(rng.randrange(4))]
    return rng.choice([None, _word(rng), rng.choice(NAMES)])


def any_value(rng: Random) -> Any:
    """Return any value, of whatever kind and depth."""
    return _value(rng, ["blocks.0"], 3)


def _object(rng: Random, ops: list[str], depth: int) -> dict[str, Any]:
    return {_word(rng): _value(rng, ops, depth) for _ in range(rng.randrange(5))}


def _op(rng: Random, ops: list[str]) -> str:
    """An op that exists, one that does not, or one with a sign too many."""
    return rng.choice([rng.choice(ops), f"{rng.choice(ops)}.{_word(rng)}", rng.choice(ops).upper(), "blocks.*"])


def _word(rng: Random) -> str:
    return "".join(rng.choices(string.printable, k=rng.randrange(1, 20)))
