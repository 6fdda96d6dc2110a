"""What the load panel shows beside its forms, as a part of the page's state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from explorer import limits
from explorer.limits import Limits
from widgets.loading_choice import Choice
from widgets.loading_uploads import Uploads


@dataclass(frozen=True)
class Origin:
    """Where the session called ``name`` came from: the choice, and the names of the files that it took."""

    name: str
    choice: Choice
    files: tuple[str, ...] = ()


@dataclass
class Loading:
    """What the load panel shows beside its forms.

    failed: what was asked, found, and would work, of an opening that failed. opened: whether the last one succeeded and
    its account is still on show. offered: what an address asks for, which is opened only at a person's word.
    """

    limits: Limits = field(default_factory=limits.of_this_kernel)
    failed: tuple[str, str, str] | None = None
    opened: bool = False
    asked: Choice | None = None
    origin: Origin | None = None
    offered: Choice | None = None
    note: str = ""
    uploads: Uploads = field(init=False)

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.limits)

    def origin_of(self, session: Any) -> Origin | None:
        """Where the session came from, if this panel opened it."""
        return self.origin if session is not None and self.origin and self.origin.name == session.name else None

    @property
    def source(self) -> dict[str, Any]:
        """What opens the model again, as plain JSON; {} for one that this panel did not open."""
        return {} if self.origin is None else {**self.origin.choice.as_facts(), "files": list(self.origin.files)}
