"""Files that a browser sends in pieces: kept in a folder of this process until they are opened. (Effect: disk.)"""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.errors import DataError
from explorer.limits import Limits, check_upload
from widgets.bad_message import BadMessage

ROLES = {
    "weights": (".safetensors",),
    "config": (".json",),
    "data": (".npz",),
    "recorded": (".pxb",),
}
"""What an uploaded file is for, and the ending it has."""
CHUNK = 1 << 20
"""Bytes of one piece: far below any websocket's limit, and often enough for a bar that moves."""
UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")
MOST_NAME = 80


@dataclass
class Upload:
    """One file on its way: how many of its bytes are there."""

    role: str
    name: str
    path: Path
    size: int
    number: int
    have: int = 0

    @property
    def whole(self) -> bool:
        return self.have == self.size


@dataclass(eq=False)
class Uploads:
    """The files of one page, one for each role. ``limits`` say how large they may be."""

    limits: Limits
    files: dict[str, Upload] = field(default_factory=dict)
    _folder: Path | None = None
    _number: int = 0

    @property
    def chunk(self) -> int:
        return min(CHUNK, self.limits.upload_bytes)

    def begin(self, role: str, name: str, size: int) -> Upload:
        """Starts a file in the place of the role's former one; raises ``DataError`` for one that is not taken."""
        if role not in ROLES:
            raise BadMessage(f"unknown role {role[:40]!r}; known: {', '.join(ROLES)}")
        ending = check_upload(name, size, self.limits)
        if ending not in ROLES[role]:
            raise DataError(
                f"take {name[:80]!r} as {role}", f"it is a {ending} file", f"a {' or '.join(ROLES[role])} file"
            )
        if size < 1:
            raise DataError(f"take {name[:80]!r}", "it is empty", "the whole file")
        self.drop(role)
        self._number += 1
        folder = self._home() / role
        folder.mkdir(exist_ok=True)
        upload = Upload(role, name[-MOST_NAME:], folder / safe_name(name), size, self._number)
        upload.path.write_bytes(b"")
        self.files[role] = upload
        return upload

    def add(self, number: int, at: int, piece: Any) -> Upload:
        """Adds the next piece of the upload of that number; raises ``BadMessage`` for any other."""
        upload = next((each for each in self.files.values() if each.number == number), None)
        if upload is None:
            raise BadMessage("there is no such upload any more; choose the file again")
        content = memoryview(piece).cast("B")
        if at != upload.have or not 1 <= len(content) <= self.chunk or at + len(content) > upload.size:
            raise BadMessage(f"a piece of {len(content)} bytes at {at} does not follow {upload.have} of {upload.size}")
        with upload.path.open("ab") as file:
            file.write(content)
        upload.have += len(content)
        return upload

    def whole(self, role: str, asked: str) -> Upload:
        """The role's file, once all of it is there; raises ``DataError`` otherwise."""
        upload = self.files.get(role)
        endings = " or ".join(ROLES[role])
        if upload is None:
            raise DataError(asked, f"no {endings} file was chosen", f"choosing a {endings} file")
        if not upload.whole:
            raise DataError(asked, f"{upload.name} has not arrived yet", "a moment's patience, then Open")
        return upload

    def drop(self, role: str) -> None:
        """Forgets the role's file, if there is one, and frees its place."""
        upload = self.files.pop(role, None)
        if upload is not None:
            upload.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forgets all files."""
        for role in tuple(self.files):
            self.drop(role)

    def _home(self) -> Path:
        """A folder of our own, which goes with this object or with the process."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="explorer-upload-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder


def safe_name(name: str) -> str:
    """The name for our own folder: the last part of what was said, in plain signs, its ending in lower case."""
    last = UNSAFE.sub("_", re.split(r"[/\\]", name)[-1])[-MOST_NAME:].lstrip(". ")
    stem, dot, ending = last.rpartition(".")
    return f"{stem or 'file'}{dot}{ending.lower()}"
