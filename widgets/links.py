"""What an address says of a page: its model and inputs, recipe and kept state; read strictly: anyone may write one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from widgets.loading import is_hub

HASH = re.compile(r"[0-9a-f]{16}")
PAGE = re.compile(r"[A-Za-z0-9_-]{22}")
MAX_TEXT = 200
NAMES = ("model", "recipe", "page", "inputs")


@dataclass(frozen=True)
class Link:
    """A view of a page: ``?model=digits-vit&recipe=<hash>&page=<id>``; what is not said is empty.

    model: one that the page offers, or a hub's. inputs: which inputs were made for it, where they are not its own.
    """

    model: str = ""
    recipe: str = ""
    page: str = ""
    inputs: str = ""

    @property
    def asks_to_load(self) -> bool:
        """Whether more than opening a model of the page's list is asked for."""
        return bool(self.inputs) or is_hub(self.model)

    @property
    def query(self) -> str:
        """The part of an address after its question mark."""
        return urlencode({name: value for name in NAMES if (value := getattr(self, name))})


def read_link(said: Mapping[str, object], models: tuple[str, ...]) -> tuple[Link, str]:
    """Return what an address asks for, and what is wrong with it in words (empty: nothing).

    said: the texts of its query by name. models: the names that this page offers; no other is opened.
    """
    texts = {name: value for name in NAMES if isinstance(value := said.get(name), str) and len(value) <= MAX_TEXT}
    model, recipe, page, inputs = (texts.get(name, "") for name in NAMES)
    wrong = []
    if model and model not in models and not is_hub(model):
        wrong.append(f"this page offers no model {model[:60]!r}, but {', '.join(models)}")
        model, recipe, inputs = "", "", ""
    if recipe and not HASH.fullmatch(recipe):
        wrong.append("the recipe in the address is no hash of 16 hex digits")
        recipe = ""
    if page and not PAGE.fullmatch(page):
        page = ""
    return Link(model, recipe, page, inputs), "; ".join(wrong)


def new_page_name() -> str:
    """A name that nobody guesses: whoever has it may open the page."""
    return secrets.token_urlsafe(16)
