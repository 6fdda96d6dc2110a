"""Who may enter, and what a visitor may use: refused in words, before anything listens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from explorer import cli, limits, serving
from explorer.errors import DataError, ExplorerError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ip", "0.0.0.0"], "--token, which asks visitors for a secret, or --open-to-all"),
        (["--ip", "::"], "--open-to-all"),
        (["--ip", "example"], "it is no IP address"),
        (["--token", "short"], "16 letters and digits or more"),
        (["--base-url", "px"], "begins and ends with a slash"),
        (["--idle", "0"], "an idle time of a second or more"),
        (["--memory", "-1"], "a number from 0 on"),
    ],
)
def test_a_wrong_site_is_refused_in_words(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(serving.TOKEN_VARIABLE, raising=False)
    assert cli.main(["serve", *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("how", [{"token": "x" * 16}, {"open_to_all": True}])
def test_a_public_address_needs_a_token_or_a_word(how: dict[str, object]) -> None:
    assert serving.Site(port=1, model="digits-vit", ip="0.0.0.0", **how).ip == "0.0.0.0"  # type: ignore[arg-type]


def test_the_token_is_in_no_process_list(tmp_path: Path) -> None:
    site = serving.Site(port=1, model="digits-vit", token="x" * 16)
    server = serving.site_server(serving.find_assets(), site, tmp_path)
    assert "x" * 16 not in " ".join(server.command) and "x" * 16 not in repr(site)


def test_limits_survive_the_environment() -> None:
    stated = limits.of_this_kernel({limits.VARIABLE: limits.VISITOR.as_text()})
    assert stated == limits.VISITOR and stated.served
    assert limits.of_this_kernel({}) == limits.Limits()
    for broken in ("{", "[]", '{"memory": 1}', '{"memory_bytes": "1"}', '{"served": 1}', '{"memory_bytes": -1}'):
        with pytest.raises(ExplorerError):
            limits.of_this_kernel({limits.VARIABLE: broken})


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("model.pt", 10, "of no kind that is taken"),
        ("model.safetensors.pkl", 10, "of no kind that is taken"),
        ("data.npz", limits.VISITOR.upload_bytes + 1, "50 MiB are the most"),
        ("recipe.json", limits.VISITOR.recipe_bytes + 1, "2 MiB are the most"),
    ],
)
def test_other_uploads_are_refused(name: str, size: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        limits.check_upload(name, size, limits.VISITOR)


def test_uploads_that_are_taken() -> None:
    most = limits.VISITOR.upload_bytes
    assert limits.check_upload("../Weights.SafeTensors", most, limits.VISITOR) == ".safetensors"
    assert limits.check_upload("x.npz", most, limits.VISITOR) == ".npz"


GAPS = """
import psutil, torch
from explorer import limits

me, large = psutil.Process(), 25_000
kept, gone = [], []
for _ in range(500):  # small ones between large ones: a heap with gaps, as a map leaves it
    gone.append(torch.ones(large))
    kept.append(torch.ones(200))
del gone
before = me.memory_info().rss
limits.give_back_memory()
assert before - me.memory_info().rss > 500 * 4 * large / 2, "half of the gaps at least"
assert all(bool((each == 1).all()) for each in kept)
"""


def test_what_the_allocator_holds_and_nothing_uses_goes_back_to_the_machine() -> None:
    """In a process of its own: what other tests left in the heap decides where the tensors lie."""
    subprocess.run([sys.executable, "-c", GAPS], check=True)


def test_what_is_held_is_left_out_of_searches_for_garbage() -> None:
    """In a process of its own, for it is a setting of the whole interpreter; garbage of before is found at rest."""
    words = """
import gc, weakref
from explorer import limits

class Held: pass

one = Held()
one.me, seen = one, weakref.ref(one)
limits.spare_collector()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
del one
gc.collect()
assert seen() is not None, "left out"
limits.give_back_memory(collect=True)
assert seen() is None, "found at rest"
assert gc.get_freeze_count() > 10_000
"""
    subprocess.run([sys.executable, "-c", words], check=True)
