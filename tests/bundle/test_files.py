"""Files that are no bundles: each is refused with what was asked, what was found and what would work."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import explorer as px
from explorer.bundle import archive
from explorer.errors import BundleError


class Fires:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("fired"),)


def change(saved: Path, to: Path, **parts: bytes) -> Path:
    """A copy of a bundle with other parts; dots of names are written as two underscores."""
    content = archive.read_parts(saved) | {name.replace("__", "."): each for name, each in parts.items()}
    return archive.write_parts(to, content)


def manifest(saved: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(archive.read_parts(saved)[archive.MANIFEST])
    return facts


def with_facts(**other: Any) -> Callable[[Path, Path], Path]:
    return lambda saved, to: change(saved, to, exploration__json=json.dumps(manifest(saved) | other).encode())


def pickled(saved: Path, to: Path) -> Path:
    file = io.BytesIO()
    np.savez(file, facts=np.array([Fires()], dtype=object))
    return change(saved, to, ranges__npz=file.getvalue())


def cut(saved: Path, to: Path) -> Path:
    to.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    return to


def deep(saved: Path, to: Path) -> Path:
    return change(saved, to, exploration__json=b"[" * 200_000)


BAD = [
    (cut, "no bundle"),
    (deep, "no bundle"),
    (pickled, "ranges.npz is damaged"),
    (with_facts(schema="precision-explorer/bundle/9"), "its schema is 'precision-explorer/bundle/9'"),
    (with_facts(recipes={}), "it is damaged"),
    (with_facts(plans={"x": 1}), "it is damaged"),
    (with_facts(history={"nodes": [], "at": 0}), "it is damaged"),
    (with_facts(measured={"x": {}}), "it is damaged"),
    (with_facts(saved=1e300), "it is damaged"),
    (lambda saved, to: change(saved, to, exploration__json=b"[1]"), "its schema is 'list'"),
    (lambda saved, to: change(saved, to, map__npz=b"no zip"), "map.npz is damaged"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[str(at) for at in range(len(BAD))])
def test_bad_files_are_refused_in_words(
    make: Callable[[Path, Path], Path], message: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=message) as refused:
        px.load(make(saved, tmp_path / "bad.pxb"))
    assert refused.value.try_
    assert not (tmp_path / "fired").exists()


def test_files_that_are_too_large_are_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_PART", 10_000)
    with pytest.raises(BundleError, match="unpacks to more than"):
        px.load(saved)
    monkeypatch.setattr(archive, "LARGEST_FILE", 1000)
    with pytest.raises(BundleError, match="a bundle of at most"):
        px.load(saved)


def test_a_bundle_replaces_another_only_once_it_is_whole(explored: Any, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.pxb"
    path.write_text("former")
    assert explored.save(path) == path
    assert px.load(path).recipe == explored.recipe
    assert [each.name for each in tmp_path.iterdir()] == ["x.pxb"]
