"""Keeping a page: what was chosen and opened is written to the trial store as it happens, and found again by a link.

(Effect: one thread that writes.)
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import explorer as px
from explorer.recipe import History, HistoryNode
from widgets.links import Link, new_page_name, read_link
from widgets.loading import link_of, offer_link, reopen
from widgets.measuring import measure, open_model
from widgets.state import PageState, describe

LOG = logging.getLogger("widgets")
VERSION = 1
KEPT = frozenset({"model", "recipe", "filter", "selection"})
Changed = Callable[[], None]
Kept = tuple[dict[str, Any], dict[str, str]]
"""A page's state, and the recipes that it names."""


class Writer:
    """A thread that writes what it is given, in order: a click does not wait for the disk."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, write: Callable[[], None]) -> None:
        """Writes soon; a failure is logged, for the page goes on without."""
        self._work.put(write)
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="widgets-keeper", daemon=True)
            self._thread.start()

    def flush(self, timeout: float = 10.0) -> bool:
        """Blocks until all is written; for scripts and tests."""
        done = threading.Event()
        self.put(done.set)
        return done.wait(timeout)

    def _loop(self) -> None:
        while True:
            try:
                self._work.get()()
            except Exception:
                LOG.exception("a page's state could not be kept")


class Keeper:
    """Keeps one page under its name, and takes it to where a link leads.

    ``sections``: the page's, whose open ones are kept. ``changed()`` is called when :attr:`query` may be another.
    """

    def __init__(self, state: PageState, sections: Sequence[Any], changed: Changed) -> None:
        self._state, self._sections, self._changed = state, sections, changed
        self._writer = Writer()
        self._wanted = self._tried = self._later = Link()
        self.name = ""
        for section in sections:
            section.head.observe(lambda _: self._keep(), "opened")

    @property
    def query(self) -> str:
        """What reproduces the view when it stands in the address; empty until the page has arrived and has a model."""
        state = self._state
        if not self.name or state.shown is None or state.opening:
            return ""
        # A recording is named by the address that serves it: the model of its name would be another session.
        model, inputs = ("", "") if getattr(state.session, "recorded", False) else link_of(state)
        return Link(model, state.shown.recipe.hash, self.name, inputs).query

    def flush(self) -> bool:
        """Blocks until all is written; for scripts and tests."""
        return self._writer.flush()

    def arrive(self, said: Mapping[str, object]) -> str:
        """Takes the page to where an address leads; a page that was kept is found again, any other gets a name.

        Returns what could not be done, in words.
        """
        link, wrong = read_link(said, self._state.models)
        self.name = link.page or self.name or new_page_name()
        self._wanted = link
        session = self._state.session
        if link.model and not link.asks_to_load and not (session is not None and session.name == link.model):
            open_model(self._state, link.model)
        elif session is not None:
            wrong = "; ".join(words for words in (wrong, self._follow()) if words)
        self._changed()
        return f"The address asks for what could not be shown: {wrong}." if wrong else ""

    def hear(self, topics: frozenset[str]) -> None:
        """Follows the link once its model is open; keeps what changed."""
        if "model" in topics and self._state.session is not None:
            later = self._kept(self._later.page)
            if later is not None and later[0]["model"] == self._state.session.recipe.fingerprint:
                self.name, self._wanted, self._later = self._later.page, self._later, Link()
            words = self._follow()
            if words:
                self._state.complain(f"The address asks for what could not be shown: {words}.")
        if topics & KEPT:
            waits = self._wanted != Link() and self._wanted == self._tried
            if waits and "recipe" in topics and "model" not in topics and not self._state.opening:
                self._give_up()  # somebody works with the model on show, and not with the one that was asked for
            self._keep()
            self._changed()

    # -- back to where one was ---------------------------------------------------------------------------------------

    def _follow(self) -> str:
        wanted, self._wanted = self._wanted, Link()
        try:
            kept = self._kept(wanted.page)
            if wanted.asks_to_load or (kept is not None and kept[0].get("source")):
                words, waits = self._load(wanted, kept)
                if waits:
                    return words
            restored = self._restore(kept)
            if wanted.recipe:
                self._show_recipe(wanted.recipe, restored)
        except (px.ExplorerError, KeyError, TypeError, ValueError, IndexError) as error:
            return describe(error)
        return ""

    def _kept(self, page: str) -> Kept | None:
        """What was kept under a page's name, by this version."""
        store = getattr(self._state.session, "store", None)
        kept: Kept | None = store.kept_page(page) if store is not None and page else None
        return kept if kept is not None and kept[0].get("version") == VERSION else None

    def _load(self, wanted: Link, kept: Kept | None) -> tuple[str, bool]:
        """Opens again what the load panel had opened, or offers what the address names; once for each address.

        Returns what could not be done, in words, and whether the page waits for another model than the one on show.
        """
        state, source = self._state, kept[0].get("source") if kept else None
        if (kept and kept[0]["model"] == state.session.recipe.fingerprint) or self._tried == wanted:
            return "", False
        if not source and (wanted.model, wanted.inputs) == link_of(state):
            return "", False
        self._tried = self._wanted = wanted
        words = reopen(state, source) if source else offer_link(state, wanted.model, wanted.inputs)
        if words and source:
            self._give_up()
        return words, True

    def _give_up(self) -> None:
        """The page goes on under another name, so that what was kept under its former one stays as it was left."""
        if self._wanted.page:
            self.name, self._later = new_page_name(), self._wanted
        self._wanted = Link()

    def _restore(self, kept: Kept | None) -> bool:
        """Whether the page was kept, for this model, and is as it was left."""
        state, session = self._state, self._state.session
        if kept is None or kept[0]["model"] != session.recipe.fingerprint:
            return False
        facts, recipes = kept
        nodes = tuple(
            HistoryNode(at, parent, px.Recipe.from_json(recipes[key]), words)
            for at, (parent, key, words) in enumerate(facts["nodes"])
        )
        session.take_history(History(nodes, tuple(facts["onward"]), int(facts["at"])))
        known = state.shown.place if state.shown is not None else ()
        state.filter = str(facts["filter"])
        state.selection = tuple(op for op in facts["selection"] if op in known)
        self._changed_recipe()
        state.changed("filter", "selection")
        for section in self._sections:
            if section.head.title in facts["open"] and not section.head.opened:
                section.head.answer({"id": 0, "type": "turn", "open": True})
        return True

    def _show_recipe(self, hash_: str, restored: bool) -> None:
        session = self._state.session
        if session.recipe.hash == hash_:
            return
        recipe = session.find_recipe(hash_)
        if recipe is None:
            where = "" if restored else ", and this page was not kept here"
            raise ValueError(f"nothing is known here of a recipe {hash_}{where}")
        session.apply(recipe, "from a link")
        self._changed_recipe()

    def _changed_recipe(self) -> None:
        self._state.recipe_changed()
        measure(self._state)

    # -- as it happens -----------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        state, session = self._state, self._state.session
        store = getattr(session, "store", None)
        if not self.name or store is None or state.shown is None or self._wanted != Link():
            return
        history, page, model = session.history, self.name, session.recipe.fingerprint
        facts = {
            "version": VERSION, "model": model, "source": self._source(),
            "at": session.node.id, "onward": list(session.onward),
            "filter": state.filter, "selection": list(state.selection),
            "open": [section.head.title for section in self._sections if section.head.opened],
        }  # fmt: skip

        def write() -> None:
            texts = [node.recipe.to_json() for node in history]
            keys = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]
            nodes = [[node.parent, key, node.words] for node, key in zip(history, keys, strict=True)]
            named = {key: (node.recipe.hash, text) for key, node, text in zip(keys, history, texts, strict=True)}
            store.keep_page(page, model, {**facts, "nodes": nodes}, named)

        self._writer.put(write)

    def _source(self) -> dict[str, Any]:
        """What opens the model on show again, where the load panel opened it; nothing secret is in it."""
        loading = self._state.loading
        return loading.source if loading.origin_of(self._state.session) is not None else {}
