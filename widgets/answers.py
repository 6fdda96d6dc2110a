"""What a view asks of the engine beyond the page's own numbers: kept per recipe, so that undo brings it back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

KEPT = 256
Run = Callable[..., Any]
"""``run(session, recipe, progress=..., cancel=...)`` gives the answer; called in the worker."""


@dataclass(frozen=True, eq=False)
class Ask:
    """One question to the engine. ``topic``: what listeners hear; ``title``: the running job in words.

    ``about``: what the question is about besides the recipe, such as an op. ``follows``: it is asked again by itself
    for every recipe, after its numbers are known; else a person asked, and it goes before everything else.
    """

    topic: str
    title: str
    run: Run
    about: str = ""
    follows: bool = False


@dataclass(frozen=True, eq=False)
class Answer:
    """Where a question stands for the recipe on show: state is idle | waiting | ready | failed."""

    state: str = "idle"
    value: Any = None
    error: str = ""


class Answers:
    """The questions that wait, and the last answers by topic, subject and recipe."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Answer] = {}
        self._asked: dict[tuple[str, str], Ask] = {}
        self._following: dict[tuple[str, str], Ask] = {}
        self._recipe = ""

    def turn_to(self, recipe: str) -> None:
        """Makes another recipe (its hash) the one that is asked about; what a person asked of the former is dropped."""
        if recipe != self._recipe:
            self._recipe, self._asked = recipe, {}

    def forget(self) -> None:
        """Drops everything: another model is on show. Views that follow the recipe keep following."""
        self._known, self._asked, self._recipe = {}, {}, ""

    def add(self, ask: Ask) -> None:
        """Takes a question; a former answer to it is forgotten, unless the question follows the recipe."""
        if ask.follows:
            self._following[ask.topic, ask.about] = ask
            return
        self._known.pop((ask.topic, ask.about, self._recipe), None)
        self._asked[ask.topic, ask.about] = ask

    def followed(self, topics: Collection[str]) -> list[tuple[str, str]]:
        """The questions of some topics that are asked for every recipe: (topic, about)."""
        return [key for key in self._following if key[0] in topics]

    def unfollow(self, topic: str, about: str) -> None:
        """Asks a question no more; what is known of it stays."""
        self._following.pop((topic, about), None)
        self._asked.pop((topic, about), None)

    def drop(self) -> list[str]:
        """Takes back what was not answered, for this recipe; returns the topics."""
        topics = [topic for topic, _ in self._asked]
        self._asked = {}
        while question := self.next_following():
            self._known[question.topic, question.about, self._recipe] = Answer()
            topics.append(question.topic)
        return topics

    def take(self, ask: Ask, answer: Answer) -> None:
        """Keeps an answer for the recipe on show."""
        self._asked.pop((ask.topic, ask.about), None)
        self._known[ask.topic, ask.about, self._recipe] = answer
        for old in list(self._known)[:-KEPT]:
            del self._known[old]

    def read(self, topic: str, about: str = "") -> Answer:
        """What is known for the recipe on show."""
        known = self._known.get((topic, about, self._recipe))
        if known is not None:
            return known
        waits = (topic, about) in self._asked or (topic, about) in self._following
        return Answer("waiting") if waits else Answer()

    def latest(self, topic: str, about: str = "") -> Any:
        """The newest answer for whatever recipe, or None: for what does not depend on the recipe on show."""
        known = reversed(self._known.items())
        found = (answer for (asked, subject, _), answer in known if (asked, subject) == (topic, about))
        return next((answer.value for answer in found if answer.state == "ready"), None)

    def next_asked(self) -> Ask | None:
        """What a person asked first."""
        return next(iter(self._asked.values()), None)

    def next_following(self) -> Ask | None:
        """A question that follows the recipe and is open for this one."""
        open_ = (ask for ask in self._following.values() if (ask.topic, ask.about, self._recipe) not in self._known)
        return next(open_, None)
