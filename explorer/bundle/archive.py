"""A bundle as a file: named parts in one zip, within stated limits, nothing in it ever run. (Effect: disk.)"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from explorer.errors import BundleError

MANIFEST, RANGES, MAP, SAMPLES = "exploration.json", "ranges.npz", "map.npz", "samples.npz"
PARTS = (MANIFEST, RANGES, MAP, SAMPLES)
LARGEST_FILE = 256 << 20
"""Bytes of a file that is opened at all."""
LARGEST_PART = 512 << 20
"""Bytes that a part may unpack to: the ranges of 2,000 ops are some 30 MB."""
ORIGIN = "a file that session.save() wrote"
Arrays = Mapping[str, Any]


def write_parts(path: Path, parts: Mapping[str, bytes]) -> Path:
    """Write the parts to ``path``, replacing it only once the new file is whole; return the path."""
    if path.is_dir() or not path.parent.is_dir():
        found = "it is a folder" if path.is_dir() else f"there is no folder {str(path.parent)!r}"
        raise BundleError(f"save to {str(path)!r}", found, "a file name in a folder that exists")
    partly = path.with_name(path.name + ".part")
    with zipfile.ZipFile(partly, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    partly.replace(path)
    return path


def read_parts(path: str | Path) -> dict[str, bytes]:
    """Return the parts of the bundle at ``path`` by their names; raise :class:`BundleError` where it is none."""
    asked = f"open {str(path)!r}"
    try:
        size = Path(path).stat().st_size
        if size > LARGEST_FILE:
            raise BundleError(asked, f"it has {size / 2**20:,.0f} MiB", f"a bundle of at most {LARGEST_FILE >> 20} MiB")
        with zipfile.ZipFile(path) as archive:
            return {name: _read(archive, name, asked) for name in PARTS if name in archive.namelist()}
    except FileNotFoundError as error:
        raise BundleError(asked, "there is no such file", "the path that session.save() returned") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise BundleError(asked, f"it is no bundle ({error})", ORIGIN) from error


def _read(archive: zipfile.ZipFile, name: str, asked: str) -> bytes:
    """A part, as far as the limit: what an archive says of its own sizes is not believed."""
    with archive.open(name) as file:
        content = file.read(LARGEST_PART + 1)
    if len(content) > LARGEST_PART:
        raise BundleError(asked, f"its {name} unpacks to more than {LARGEST_PART >> 20} MiB", ORIGIN)
    return content


def pack_json(data: Any) -> bytes:
    """Plain values as JSON; NaN and infinities are written as Python reads them."""
    return json.dumps(data, separators=(",", ":")).encode()


def pack_arrays(arrays: Arrays) -> bytes:
    """Arrays of numbers as one compressed .npz."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def check_arrays(content: bytes, name: str, asked: str) -> io.BytesIO:
    """The content of a .npz, to be read without pickle, once what it unpacks to is known to be within the limit."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(_count(archive, each) for each in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleError(asked, f"its {name} is damaged ({error})", ORIGIN) from error
    if unpacked > LARGEST_PART:
        raise BundleError(asked, f"its {name} unpacks to more than {LARGEST_PART >> 20} MiB", ORIGIN)
    return io.BytesIO(content)


def _count(archive: zipfile.ZipFile, name: str) -> int:
    return archive.getinfo(name).file_size


def read_arrays(content: bytes, name: str, asked: str) -> dict[str, Any]:
    """The arrays of a .npz; raise :class:`BundleError` where it is damaged or holds anything but numbers."""
    try:
        with np.load(check_arrays(content, name, asked), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile) as error:
        raise BundleError(asked, f"its {name} is damaged ({error})", ORIGIN) from error
