"""Turn what a model hub's library raised into an error that blames the network, the name or the file."""

from __future__ import annotations

from collections.abc import Iterator

from explorer.errors import ModelError

# By name, because the libraries that define them are optional and differ between versions.
_UNREACHABLE = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ReadTimeout",
    "TimeoutError",
    "URLError",
    "gaierror",
}
_REFUSED = {"GatedRepoError", "HTTPError", "HTTPStatusError", "RepositoryNotFoundError", "RevisionNotFoundError"}
_NOT_ASKED = "LocalEntryNotFoundError"
"""What the hub's library raises where it got no answer of the hub: one of a proxy on the way is none."""


def hub_error(asked: str, error: BaseException, cache_variable: str) -> ModelError:
    """The ``ModelError`` for ``error``; ``cache_variable`` is the environment variable that moves the hub's cache."""
    names = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    reason = " ".join(str(error).split())[:400].rstrip(".")
    if names & _REFUSED and _NOT_ASKED not in names:
        return ModelError(
            asked,
            f"the hub does not give it out ({reason})",
            "check the name, the revision and, for a private or gated model, that you are logged in",
        )
    if names & _UNREACHABLE:
        return ModelError(
            asked,
            "the hub cannot be reached (no network, or offline mode is on) and there is no cached copy",
            f"connect once, point the environment variable {cache_variable} at a cache that holds it, "
            "or give the path of a local folder or weights file",
        )
    if "trust_remote_code" in str(error):
        return ModelError(
            asked,
            "the model comes with code of its own, which is never run",
            "a model whose architecture is built into the library",
        )
    return ModelError(
        asked,
        f"{type(error).__name__}: {reason}",
        "a model of an architecture built into the library, stored as safetensors",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """``error`` and all it was raised from or during."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
