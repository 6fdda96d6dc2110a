"""Opening a model: a name, a module or a file becomes a session."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.utils._pytree as pytree
from torch import Tensor, nn

from explorer.errors import DataError, ModelError
from explorer.graph import as_fp32, capture, flatten_inputs, fold_batch_norms
from explorer.kernels import warm_up
from explorer.measure import Device, find_device, find_task
from explorer.measure.quality import Score
from explorer.progress import Progress, terminal_progress
from explorer.samples import Inputs, gather_samples, split_inputs
from explorer.session import Session
from explorer.trials import TrialStore, default_path
from explorer.zoo.bundled import BUNDLED, load_bundled
from explorer.zoo.loaded import Loaded
from explorer.zoo.planted import PLANTED, load_planted
from explorer.zoo.sources import load_source

STEPS = ("loading the model", "capturing its graph", "preparing the kernels", "running it once in FP32")


def open(  # noqa: A001  explorer.open is the name users read best
    model: str | Path | nn.Module | Loaded,
    inputs: Inputs | None = None,
    data: Any = None,
    task: str | Score | None = None,
    device: str = "auto",
    name: str | None = None,
    batch_size: int = 32,
    *,
    builder: Callable[[], nn.Module] | None = None,
    store: str | Path | TrialStore | None = None,
    progress: Progress | None = None,
) -> Session:
    """Open a model and return its :class:`Session`.

    model: the name of a bundled model (``"digits-vit"``, ``"digits-cnn"``, ``"adder-gpt"``), of one with a planted
        fault (``"planted/fp16-overflow"``, ...), ``"hf:<name>"``, ``"timm:<name>"``, ``"torchvision:<name>"``, a local
        folder or ``.safetensors``/state dict (with ``builder``, a function that returns the module to fill), an
        ``nn.Module`` in eval mode, or what a loader of ``explorer.zoo`` returned. A module is not changed.
    inputs: example inputs of ``forward``: a tensor, a tuple, or a mapping by argument name; needed for a module.
    data: ``(x, y)``, a DataLoader of such batches, or None: then the inputs serve as data, without labels.
    task: ``"classification"``, ``"causal-lm"`` (labels [n, seq], -100 where not asked, aligned with the logits),
        ``"regression"``, ``"agreement"`` (with FP32; the default without labels), or a callable
        ``(output, target) -> one score per sample``, higher is better.
    device: ``"auto"``, ``"cpu"`` or ``"cuda"``. store: the file of the trial store (default: the user's data folder).
    progress: called with (steps done, steps in all, what comes next) before each of :data:`STEPS`; what it raises ends
        the opening.

    Raises an :class:`ExplorerError` that says what was asked, found, and what would work.
    """
    with terminal_progress(progress) as report:
        _tell(report, 0)
        loaded = _load(model, inputs, data, task, name, builder)
        where = find_device(device)
        module = _place(loaded.module, where)
        example = pytree.tree_map(
            lambda x: x.to(where.type) if isinstance(x, Tensor) else x, (tuple(loaded.inputs), dict(loaded.kwargs))
        )
        chosen_task = find_task(task or ("agreement" if loaded.data is None else loaded.task))
        _tell(report, 1)
        graph = fold_batch_norms(capture(module, example[0], example[1], name or loaded.name))
        samples = gather_samples(loaded.data, flatten_inputs(*example), batch_size).to(where.type)
        _tell(report, 2)
        warm_up(where)
        trials = store if isinstance(store, TrialStore) else TrialStore(store or default_path())
        _tell(report, 3)
        return Session(
            graph, module, example, samples, chosen_task, where, trials, loaded.title, loaded.noun, loaded.warnings
        )


def _tell(report: Progress | None, done: int) -> None:
    if report is not None:
        report(done, len(STEPS), STEPS[done])


def _load(
    model: str | Path | nn.Module | Loaded,
    inputs: Inputs | None,
    data: Any,
    task: str | Score | None,
    name: str | None,
    builder: Callable[[], nn.Module] | None,
) -> Loaded:
    if isinstance(model, nn.Module):
        return _from_module(model, inputs, data, task, name)
    if not isinstance(model, (str, Path, Loaded)):
        raise ModelError("open a model", f"it is {type(model).__name__}", "an nn.Module, a name or a path")
    if isinstance(model, Loaded):
        if inputs is not None or builder is not None:
            raise ModelError(
                f"open {model.name!r}", "it was loaded with its own inputs", "px.open(loaded) without them"
            )
        loaded = model
    elif str(model) in BUNDLED or str(model) in PLANTED:
        if inputs is not None or builder is not None:
            raise ModelError(f"open {model!r}", "a bundled model has its own inputs", "px.open(name) without them")
        loaded = load_bundled(str(model)) if str(model) in BUNDLED else load_planted(str(model))
    else:
        args = None if inputs is None else split_inputs(inputs)[0] or tuple(split_inputs(inputs)[1].values())
        loaded = load_source(model, inputs=args, builder=builder)
    return loaded if data is None else replace(loaded, data=data, noun="samples")


def _from_module(
    module: nn.Module, inputs: Inputs | None, data: Any, task: str | Score | None, name: str | None
) -> Loaded:
    if inputs is None and isinstance(data, (tuple, list)) and len(data) == 2 and isinstance(data[0], Tensor):
        inputs = data[0][:2]
    if inputs is None:
        raise DataError("open a module", "there are no example inputs", "inputs=... or data=(x, y)")
    args, kwargs = split_inputs(inputs)
    return Loaded(
        name=name or type(module).__name__,
        title=type(module).__name__,
        module=module,
        inputs=args,
        kwargs=kwargs,
        data=data,
        task=task if isinstance(task, str) else "agreement",
    )


def _place(module: nn.Module, device: Device) -> nn.Module:
    """Return ``module`` on ``device``; a copy where that takes a move, so that the caller's stays where it is."""
    tensors = (*module.parameters(), *module.buffers())
    at_home = all(tensor.device.type == device.type for tensor in tensors)
    return as_fp32(module if at_home else copy.deepcopy(module).to(device.type))
