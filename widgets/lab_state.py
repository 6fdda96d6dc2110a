"""The format lab's one mutable object: the number, how it is rounded, the formats on show, and who listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property

import explorer as px
from explorer.errors import PrecisionError
from explorer.formats import BlockSpec, ElementSpec, IntSpec
from widgets.answering import BadMessage, Fields, Reply, reply_to, text_field, whole_field
from widgets.jobs import MainLoop
from widgets.number_text import MAX_TEXT, Exact, read_number, to_float, write_exactly, write_number
from widgets.one_number import MODES, Landing, Rounding, code_of, land, stand
from widgets.state import Listener

SCALARS: dict[str, ElementSpec] = {name: spec for name, spec in px.FORMATS.items() if not isinstance(spec, BlockSpec)}
"""The formats whose values stand for themselves; a block format's element is one of them."""
SHOWN = ("fp32", "tf32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "int8")
MAX_SEED = 2**31 - 1
MAX_NAME = 40
MAX_FIELD = 20
"""Characters of a number that fit into its field; of a longer one 17 digits are shown there."""


class LabState:
    """Everything that the lab's views show and its messages change; touched on the main loop only.

    Topics told to listeners: number (the number, its rounding or the integers' scale), formats.
    """

    def __init__(self, number: float | str = 0.1, formats: Sequence[str] | None = None) -> None:
        self.main = MainLoop()
        self.text = str(number)
        self.number: Exact = read_number(self.text)
        self.formats = tuple(formats or SHOWN)
        for name in self.formats:
            _scalar(name)
        self.rounding = Rounding()
        self.scale = Fraction(1)
        self._pinned: tuple[str, int] | None = None
        self._listeners: list[Listener] = []

    # -- listeners --------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Calls ``listener(topics)`` after every change; returns the function that stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def _changed(self, *topics: str) -> None:
        self.__dict__.pop("landings", None)
        for listener in tuple(self._listeners):
            listener(frozenset(topics))

    # -- what is shown ----------------------------------------------------------------------------------------------

    @cached_property
    def landings(self) -> dict[str, Landing]:
        """Where the number lands in each format on show; worked out once per change, shared by the views."""
        return {name: self._land(name) for name in self.formats}

    def unit(self, name: str) -> Fraction:
        """What a value of 1 of this format stands for: the scale for integers, 1 for floats."""
        return self.scale if isinstance(SCALARS[name], IntSpec) else Fraction(1)

    def _land(self, name: str) -> Landing:
        if self._pinned and self._pinned[0] == name:
            return stand(self._pinned[1], SCALARS[name], self.rounding)
        number = self.number if isinstance(self.number, float) else self.number / self.unit(name)
        return land(number, SCALARS[name], self.rounding)

    # -- what changes it --------------------------------------------------------------------------------------------

    def set_number(self, text: str) -> None:
        """Takes the number that the text says; raises ``PrecisionError`` and changes nothing where there is none."""
        self.number = read_number(text)
        self.text, self._pinned = text.strip(), None
        self._changed("number")

    def set_code(self, name: str, code: int) -> None:
        """Makes the number the value of this code of a format."""
        value = stand(code, SCALARS[name], self.rounding).value
        self.number = value if isinstance(value, float) else value * self.unit(name)
        whole = write_exactly(self.number)
        self.text = whole if len(whole) <= MAX_FIELD else write_number(self.number, 17).rstrip("…")
        self._pinned = (name, code)
        self._changed("number")

    def set_rounding(self, rounding: Rounding) -> None:
        self.rounding = rounding
        self._changed("number")

    def set_scale(self, text: str) -> None:
        """Takes the integers' scale; raises ``PrecisionError`` where the text says no number above zero."""
        scale = read_number(text)
        if isinstance(scale, float) or scale <= 0:
            raise PrecisionError(f"a scale of {text[:MAX_NAME]!r}", "it is not above zero", "1/127 or 0.05")
        self.scale, self._pinned = scale, None
        self._changed("number")

    def show_formats(self, names: Sequence[str]) -> None:
        """Shows these formats, in the catalogue's order."""
        for name in names:
            _scalar(name)
        self.formats = tuple(name for name in SCALARS if name in set(names))
        self._changed("formats", "number")


# -- messages -------------------------------------------------------------------------------------------------------


def answer(state: LabState, content: object) -> Reply:
    """Carries out one message and returns its reply: ``{id, ok: True, ...}`` or ``{id, ok: False, error}``."""
    return reply_to(content, FIELDS, lambda kind, fields: ACTIONS[kind](state, fields))


def _scalar(name: object) -> ElementSpec:
    if not isinstance(name, str) or name not in SCALARS:
        found = "no scalar format has this name"
        raise PrecisionError(f"show the format {str(name)[:MAX_NAME]!r}", found, ", ".join(SCALARS))
    return SCALARS[name]


def _landing(state: LabState, fields: Fields) -> tuple[str, Landing]:
    name = text_field(fields, "format", MAX_NAME)
    if name not in state.landings:
        raise BadMessage(f"format {name!r} is not on show; on show: {', '.join(state.formats)}")
    return name, state.landings[name]


def _hello(state: LabState, fields: Fields) -> None:
    """Every view says this when it is mounted; the answer tells it that Python listens."""


def _number(state: LabState, fields: Fields) -> None:
    state.set_number(text_field(fields, "text", MAX_TEXT))


def _flip(state: LabState, fields: Fields) -> None:
    name, landing = _landing(state, fields)
    bits = landing.spec.bits
    bit = whole_field(fields, "bit", 0, bits - 1)
    state.set_code(name, (landing.code or 0) ^ (1 << (bits - 1 - bit)))


def _step(state: LabState, fields: Fields) -> None:
    name, landing = _landing(state, fields)
    by = whole_field(fields, "by", -1, 1)
    value = {-1: landing.below, 1: landing.above}.get(by)
    code = None if value is None else code_of(to_float(value), landing.spec)
    if code is None:
        raise BadMessage(f"{landing.spec.label} has no value {'above' if by > 0 else 'below'} this one")
    state.set_code(name, code)


def _take(state: LabState, fields: Fields) -> None:
    name, landing = _landing(state, fields)
    state.set_code(name, whole_field(fields, "code", 0, 2**landing.spec.bits - 1))


def _rounding(state: LabState, fields: Fields) -> None:
    mode, saturate = text_field(fields, "mode", MAX_NAME), fields["saturate"]
    if mode not in MODES or not isinstance(saturate, bool):
        raise BadMessage(f"mode must be one of {', '.join(MODES)}, and saturate true or false")
    state.set_rounding(Rounding(mode, saturate, whole_field(fields, "seed", 0, MAX_SEED)))


def _scale(state: LabState, fields: Fields) -> None:
    state.set_scale(text_field(fields, "text", MAX_TEXT))


def _formats(state: LabState, fields: Fields) -> None:
    names = fields["names"]
    if not isinstance(names, list) or not 1 <= len(names) <= len(SCALARS):
        raise BadMessage(f"names must be a list of 1 to {len(SCALARS)} formats")
    state.show_formats(names)


ACTIONS: dict[str, Callable[[LabState, Fields], None]] = {
    "hello": _hello,
    "number": _number,
    "flip": _flip,
    "step": _step,
    "take": _take,
    "rounding": _rounding,
    "scale": _scale,
    "formats": _formats,
}
FIELDS: dict[str, set[str]] = {
    "hello": set(),
    "number": {"text"},
    "flip": {"format", "bit"},
    "step": {"format", "by"},
    "take": {"format", "code"},
    "rounding": {"mode", "seed", "saturate"},
    "scale": {"text"},
    "formats": {"names"},
}
