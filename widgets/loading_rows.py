"""What the load panel is told: what may be opened here, and how the last opening stands, as small capped JSON."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from explorer.limits import UPLOADS, Limits
from explorer.zoo.architectures import CONFIGURED, FAMILIES
from explorer.zoo.bundled import BUNDLED
from explorer.zoo.planted import PLANTED
from widgets.loading_choice import BATCH, MADE_SAMPLES, Choice
from widgets.loading_sources import STEPS
from widgets.loading_state import Loading
from widgets.plain import text

if TYPE_CHECKING:
    from widgets.state import PageState

HUBS = (
    ("hf", "transformers", "hf", "Hugging Face hub", "gpt2, google/vit-base-patch16-224"),
    ("timm", "timm", "vision", "timm", "resnet18.a1_in1k, vit_tiny_patch16_224"),
    ("torchvision", "torchvision", "vision", "torchvision", "resnet18, mobilenet_v2"),
)
"""Each hub's key, the package that fetches from it, its extra, its name, and names that exist there."""
RANGES = "first ranges"
LABELS = {
    "classification": "Labels are class numbers: the score is accuracy.",
    "causal-lm": "Labels are next tokens, -100 where none is asked: the score is exact match.",
    "regression": "Labels are values to come near: the score is minus the squared error.",
    "agreement": (
        "Without labels nothing says what is right, so there is no accuracy: the page shows how far the outputs move "
        "from FP32's (KL divergence, agreement)."
    ),
}
NO_FILES = "This is a shared server: a page reads no files of the machine. Upload the file instead."
NO_HUB = "This is a shared server: it fetches no models. Upload weights, or open it in a notebook of your own."


def offer(models: tuple[str, ...], limits: Limits) -> dict[str, Any]:
    """What stays the same while the page lives: sources with why one is closed, models, architectures, limits."""
    no_local = NO_FILES if limits.served else ""
    no_hub = NO_HUB if limits.served and not limits.models_from_outside else ""
    return {
        "closed": {"local": no_local, "hub": no_hub},
        "models": [_model(name) for name in models],
        "hubs": [_hub(*each) for each in HUBS],
        "architectures": [
            *([name, f"{name}: {BUNDLED[name].title}", True] for name in BUNDLED),
            [CONFIGURED, "a transformers model, by its config.json", False],
            *([f"{key}:", f"a model of {label}, by its name", False] for key, _, _, label, _ in HUBS[1:]),
        ],
        "families": list(FAMILIES),
        "upload_bytes": int(limits.upload_bytes),
        "config_bytes": int(min(limits.recipe_bytes, limits.upload_bytes)),
        "samples": int(limits.samples),
        "endings": list(UPLOADS),
        "made": MADE_SAMPLES,
        "batch": BATCH,
        "labels": LABELS,
    }


def _model(name: str) -> dict[str, str]:
    if name in BUNDLED:
        model = BUNDLED[name]
        return {"name": name, "title": model.title, "data": f"its {model.noun}, with labels"}
    if name in PLANTED:
        return {
            "name": name,
            "title": f"{PLANTED[name].title}. {PLANTED[name].wrong}",
            "data": "its samples, with labels",
        }
    return {"name": text(name, 80), "title": "", "data": "its own data"}


def _hub(key: str, package: str, extra: str, label: str, examples: str) -> dict[str, Any]:
    installed = importlib.util.find_spec(package) is not None
    return {
        "key": key,
        "label": label,
        "examples": examples,
        "package": package,
        "missing": "" if installed else f"pip install 'precision-explorer[{extra}]'",
    }


def standing(state: PageState) -> dict[str, Any]:
    """How the panel's last opening stands: idle, opening, failed, stopped or opened, and what to say of it."""
    loading = state.loading
    found: dict[str, Any] = {
        "state": _state(state, loading),
        "model": text(state.session.name, 120) if state.session is not None else "",
        "files": {
            role: {"name": text(file.name, 80), "size": file.size, "whole": file.whole}
            for role, file in loading.uploads.files.items()
        },
        "note": text(loading.note, 300),
        "offered": loading.offered.as_facts() if loading.offered else None,
    }
    if loading.failed:
        asked, why, instead = (text(part, 600) for part in loading.failed)
        found["failed"] = {"asked": asked, "found": why, "instead": instead}
    if loading.opened:
        found["opened"] = _account(state, loading)
    return found


def _state(state: PageState, loading: Loading) -> str:
    if state.opening:
        return "opening" if loading.asked is not None and not loading.opened else "other"
    if loading.failed:
        return "failed"
    return "opened" if loading.opened else "stopped" if loading.asked is not None else "idle"


def progress(state: PageState) -> dict[str, Any]:
    """The steps of an opening, and which of them runs; after the last come the first ranges."""
    job = state.job
    busy = bool(state.opening)
    done = job.done if busy else len(STEPS)
    ranges = not busy and state.range_set is None and not state.range_error
    return {
        "steps": [*STEPS, RANGES],
        "at": min(int(done), len(STEPS)),
        "text": text(job.text, 160) if busy else "",
        "ranges": ranges and job.state == "running",
        "cancelling": job.state == "cancelling",
    }


def _account(state: PageState, loading: Loading) -> dict[str, Any]:
    """What was opened, on which data, what its labels mean, what is odd about it, and whether a link reproduces it."""
    session = state.session
    task = getattr(getattr(session, "task", None), "name", "")
    recorded = text(getattr(session, "marked", ""), 200)
    data = "" if recorded else text(session.samples_label, 120)
    return {
        "name": text(session.name, 120),
        "data": recorded or f"{data}, batches of {session.batch_size}",
        "labels": "" if recorded else LABELS.get(task, ""),
        "warnings": [text(words, 300) for words in getattr(session, "warnings", ())][:5],
        "link": _link_words(loading.origin_of(session)),
    }


def _link_words(origin: Any) -> str:
    if origin is None:
        return ""
    choice: Choice = origin.choice
    if choice.source == "recorded":
        return "This page's address does not hold it: share the .pxb file."
    if choice.source == "upload" or choice.data == "npz":
        return (
            "A link to this page cannot reproduce it, for it was uploaded: the file is not kept. "
            "Its trials are, and come back with the same file."
        )
    if choice.source == "local":
        return "A link to this page reproduces it on this machine only, from this page's own address."
    return "A link to this page reproduces it." + (
        " A hub's model is fetched at a click." if choice.source == "hub" else ""
    )
