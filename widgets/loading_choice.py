"""What a person asks the load panel to open, and on which data: read strictly from a message or an address. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import explorer as px
from explorer.errors import DataError, ModelError
from explorer.limits import Limits
from explorer.zoo.made import Made
from widgets.bad_message import BadMessage

SOURCES = ("bundled", "hub", "local", "upload", "recorded")
HUBS = ("hf", "timm", "torchvision")
DATA = ("own", "made", "npz")
LABELS = ("", "classes", "tokens", "values")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
HUB = re.compile(r"(hf|timm|torchvision):([\w./-]{1,160})(?:@([\w.-]{1,80}))?", re.ASCII)
"""A model of a hub as an address and a session name it: ``hf:gpt2``, ``hf:org/name@main``."""
INPUTS = re.compile(
    r"(?P<what>made|first)(?P<n>\d{1,7})(_seed(?P<seed>\d{1,9}))?(_shape(?P<shape>[\dx]{1,40}))?(_batch(?P<batch>\d{1,4}))?"
)
MAX_TEXT = 1000
MAX_NUMBER = 2**31 - 1
MAX_BATCH = 1024
MAX_DIMENSIONS = 4
MAX_SIDE = 65_536
MADE_SAMPLES = 64
"""Made-up samples where nobody said how many."""
BATCH = 32


@dataclass(frozen=True)
class Choice:
    """A model and the data it is run on.

    source: one of :data:`SOURCES`. name: a bundled model's, a hub's, or a path on this machine. hub, revision: where
    the source is a hub. architecture: of an uploaded file, or a local one, of weights. data: the model's own, made-up
    inputs, or an uploaded .npz. samples: how many are made, or the first of the model's own; 0: all. shape: of one
    made-up sample, () the model's own. labels: what ``y`` of the .npz means, "" what the model's task makes of it.
    """

    source: str
    name: str = ""
    hub: str = ""
    revision: str = ""
    architecture: str = ""
    data: str = "own"
    samples: int = 0
    seed: int = 0
    shape: tuple[int, ...] = ()
    labels: str = ""
    batch: int = BATCH

    @property
    def spec(self) -> str:
        """A hub's model as an address names it; empty for what is no hub's."""
        return f"{self.hub}:{self.name}" + (f"@{self.revision}" if self.revision else "") if self.hub else ""

    @property
    def made(self) -> Made:
        """The inputs to make up."""
        return Made(self.samples or MADE_SAMPLES, self.seed, self.shape)

    @property
    def inputs(self) -> str:
        """The data as an address names them, which :func:`read_inputs` reads back; empty where they are the default."""
        if self.data == "own":
            words = f"first{self.samples}" if self.samples or self.batch != BATCH else ""
        else:
            shape = "_shape" + "x".join(map(str, self.shape)) if self.shape else ""
            words = f"made{self.made.samples}_seed{self.seed}{shape}"
        return words + (f"_batch{self.batch}" if self.batch != BATCH else "")

    def as_facts(self) -> dict[str, Any]:
        """This choice as plain JSON, as a page keeps it."""
        return {**asdict(self), "shape": list(self.shape)}


def read_choice(said: object) -> Choice:
    """The choice in a message; raises ``BadMessage`` for what no page of ours sends."""
    names = {field.name for field in fields(Choice)}
    if not isinstance(said, Mapping) or set(said) != names:
        raise BadMessage(f"a choice is an object with {', '.join(sorted(names))}")
    kinds = {field.name: type(field.default) for field in fields(Choice)} | {"source": str, "shape": list}
    for name, kind in kinds.items():
        if type(said[name]) is not kind:
            raise BadMessage(f"{name} must be {kind.__name__}, not {type(said[name]).__name__}")
    _check_texts({name: said[name] for name, kind in kinds.items() if kind is str})
    for name, least, most in (("samples", 0, MAX_NUMBER), ("seed", 0, MAX_NUMBER), ("batch", 1, MAX_BATCH)):
        if not least <= said[name] <= most:
            raise BadMessage(f"{name} must be from {least} to {most}")
    shape = said["shape"]
    if len(shape) > MAX_DIMENSIONS or any(type(side) is not int or not 1 <= side <= MAX_SIDE for side in shape):
        raise BadMessage(f"shape is at most {MAX_DIMENSIONS} whole numbers from 1 to {MAX_SIDE}")
    return Choice(**{**said, "shape": tuple(shape)})


def _check_texts(texts: Mapping[str, str]) -> None:
    known = {"source": SOURCES, "hub": ("", *HUBS), "data": DATA, "labels": LABELS}
    for name, value in texts.items():
        if len(value) > MAX_TEXT or "\x00" in value:
            raise BadMessage(f"{name} has {len(value)} characters, or some that no name has")
        if name in known and value not in known[name]:
            raise BadMessage(f"unknown {name} {value[:40]!r}; known: {', '.join(filter(None, known[name]))}")
    if (texts["source"] == "hub") != bool(texts["hub"]):
        raise BadMessage("a hub is named where the source is one, and nowhere else")


def check_allowed(choice: Choice, models: tuple[str, ...], limits: Limits) -> None:
    """Raise an error in words where this kernel may not open the choice, or where a name is none."""
    asked = f"open {(choice.spec or choice.name)[:120]!r}" if choice.name else "open an uploaded file"
    if choice.source == "bundled" and choice.name not in (*models, *px.MODELS):
        raise ModelError(asked, "there is no such model", f"one of {', '.join(models)}")
    if limits.served and choice.source == "local":
        found = "this is a shared server, where a page reads no files of the machine"
        raise ModelError(asked, found, "uploading the file, or a notebook of your own")
    if choice.source == "hub":
        _check_hub(choice, limits, asked)
    if choice.source == "local" and not choice.name.strip():
        raise ModelError("open a local model", "no path was given", "a folder written by save_pretrained, or a file")
    if limits.samples and choice.samples > limits.samples:
        found = f"{choice.samples:,} samples were asked for, and {limits.samples:,} are the most"
        raise DataError(asked, found, "fewer samples")


def _check_hub(choice: Choice, limits: Limits, asked: str) -> None:
    if limits.served and not limits.models_from_outside:
        found = "this is a shared server, which fetches no models"
        raise ModelError(asked, found, "a bundled model, an uploaded file, or a notebook of your own")
    if not choice.name:
        raise ModelError("open a model of a hub", "no name was given", "a name such as gpt2 or org/name")
    if not NAME.fullmatch(choice.name) or ".." in choice.name:
        raise ModelError(
            asked, "that is no name of a hub's model", "letters, digits, . _ - and one / at most: org/name"
        )
    if choice.revision and not REVISION.fullmatch(choice.revision):
        raise ModelError(asked, f"{choice.revision[:60]!r} is no revision", "a branch, a tag or a commit, or nothing")


def choice_of_link(model: str, inputs: str) -> Choice | None:
    """The choice that an address names, or None where it names none: a bundled model or a hub's, on such inputs."""
    if len(model) > MAX_TEXT or len(inputs) > MAX_TEXT:
        return None
    found = HUB.fullmatch(model)
    data = read_inputs(inputs)
    if data is None:
        return None
    if found:
        hub, name, revision = found.groups()
        return Choice("hub", name, hub, revision or "", **{"data": "made", **data})
    return Choice("bundled", model, **data)


def read_inputs(text: str) -> dict[str, Any] | None:
    """The fields of a choice that :attr:`Choice.inputs` wrote; {} for "", None for anything else."""
    if not text:
        return {}
    found = INPUTS.fullmatch(text)
    if found is None:
        return None
    shape = tuple(int(side) for side in (found["shape"] or "").split("x") if side)
    batch = int(found["batch"] or BATCH)
    whole = len(shape) <= MAX_DIMENSIONS and all(1 <= side <= MAX_SIDE for side in shape) and 1 <= batch <= MAX_BATCH
    if not whole:
        return None
    data = "made" if found["what"] == "made" else "own"
    return {"data": data, "samples": int(found["n"]), "seed": int(found["seed"] or 0), "shape": shape, "batch": batch}
