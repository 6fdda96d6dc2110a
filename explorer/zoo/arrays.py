"""Data in a .npz: ``x``, and labels ``y`` where there are any; its headers are checked before anything is read.

(Effect: reads one file. Never a pickle: arrays of numbers only.)
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from explorer.errors import DataError
from explorer.zoo.fitting import some
from explorer.zoo.loaded import Loaded
from explorer.zoo.made import vocabulary_of, with_data, words

NAMES = ("x", "y")
KINDS = "fiub"
MOST_DIMENSIONS = 6
TASKS = {"classes": "classification", "tokens": "causal-lm", "values": "regression"}
"""What labels can mean: the class of each sample, the next token of each position, values to come near."""
INSTEAD = "numpy.savez('data.npz', x=..., y=...): x [n, ...] of numbers, y one label each (or no y)"


def with_arrays(loaded: Loaded, path: Path, labels: str, asked: str, most: tuple[int, int]) -> Loaded:
    """``loaded`` on the data in the file, as many samples as it holds.

    labels: a key of :data:`TASKS`, or ``""`` for what the model's own task makes of them. most: samples, and bytes once
    unpacked. Raises ``DataError`` where the arrays are not such, or do not fit the model's first input.
    """
    arrays = read_arrays(path, asked, *most)
    if len(loaded.inputs) + len(loaded.kwargs) != 1:
        found = f"the model takes {len(loaded.inputs) + len(loaded.kwargs)} inputs and the file gives one"
        raise DataError(asked, found, "made-up inputs, or the model opened in a notebook")
    (example,) = (*loaded.inputs, *loaded.kwargs.values())
    x = _as_input(arrays["x"], example, vocabulary_of(loaded.module), asked)
    task = TASKS.get(labels, loaded.task)
    y = _as_labels(arrays.get("y"), task, asked)
    return with_data(replace(loaded, task=task), [x], y, "samples of your file")


def read_arrays(path: Path, asked: str, samples: int, most_bytes: int) -> dict[str, Any]:
    """The arrays ``x`` and, where there is one, ``y``, which have as many samples; raises ``DataError``."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if "x" not in held or not held.keys() <= set(NAMES):
                raise DataError(asked, f"it holds {some(held) or 'nothing'}", INSTEAD)
            shapes = {name: _checked(archive, inner, name, asked) for name, inner in held.items()}
            _check_sizes(shapes, asked, samples, most_bytes)
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in held}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(asked, f"it is no .npz of numbers ({error})", INSTEAD) from error


def _checked(archive: zipfile.ZipFile, inner: str, name: str, asked: str) -> tuple[tuple[int, ...], int]:
    """Shape and bytes of one array, from its header, which must agree with its length in the archive."""
    with archive.open(inner) as file:
        shape, dtype, length = _header(file)
    if dtype.hasobject or dtype.kind not in KINDS or dtype.itemsize > 8:
        raise DataError(
            asked, f"{name} holds {dtype}", "numbers: floats, whole numbers or booleans, of 64 bits or fewer"
        )
    size = math.prod(shape) * dtype.itemsize
    if size + length != archive.getinfo(inner).file_size:
        raise DataError(asked, f"{name} is not as long as its header says", INSTEAD)
    if not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise DataError(asked, f"{name} has {len(shape)} dimensions", "samples first: shape [n, ...]")
    return shape, size


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"a header of version {version}")
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()


def _check_sizes(shapes: Mapping[str, tuple[tuple[int, ...], int]], asked: str, samples: int, most_bytes: int) -> None:
    n = shapes["x"][0][0]
    if not 1 <= n <= samples:
        raise DataError(asked, f"x holds {n:,} samples", f"from 1 to {samples:,} of them")
    total = sum(size for _, size in shapes.values())
    if total > most_bytes:
        found = f"its arrays unpack to {total / 2**20:.0f} MiB, and {most_bytes / 2**20:.0f} are the most"
        raise DataError(asked, found, "fewer samples")
    if "y" in shapes and shapes["y"][0][0] != n:
        raise DataError(asked, f"x holds {n} samples and y {shapes['y'][0][0]} labels", "one label for each sample")


def _as_input(x: Any, example: Tensor, vocabulary: int, asked: str) -> Tensor:
    """``x`` in the example's dtype; its samples are shaped like the example's, but for the length of a sequence."""
    given, wanted = np.asarray(x), "whole numbers (token ids)"
    floating = example.is_floating_point()
    if floating != (given.dtype.kind == "f"):
        wanted = "floats, scaled and normalised as in training" if floating else wanted
        raise DataError(asked, f"x holds {given.dtype}, and the model takes {example.dtype}", f"{wanted}")
    tensor = torch.from_numpy(np.ascontiguousarray(given)).to(example.dtype)
    free = 1 if floating or example.dim() != 2 else 2
    if tensor.dim() != example.dim() or tensor.shape[free:] != example.shape[free:]:
        found = f"a sample of x is {words(tensor.shape[1:])}, and the model takes {words(example.shape[1:])}"
        raise DataError(asked, found, f"x of shape [n, {', '.join(map(str, example.shape[1:]))}]")
    if not floating and vocabulary and not 0 <= int(tensor.min()) <= int(tensor.max()) < vocabulary:
        found = f"token ids go from {int(tensor.min())} to {int(tensor.max())}, and the model knows {vocabulary}"
        raise DataError(asked, found, f"ids from 0 to {vocabulary - 1}")
    return tensor


def _as_labels(y: Any, task: str, asked: str) -> Tensor | None:
    if y is None:
        return None
    labels = torch.from_numpy(np.ascontiguousarray(y))
    whole = not labels.is_floating_point()
    if task in ("classification", "causal-lm") and not whole:
        found = f"y holds {labels.dtype}, and labels of this model are whole numbers"
        raise DataError(asked, found, "class numbers from 0 on; or say that y holds values to come near")
    dimensions = {"classification": 1, "causal-lm": 2}.get(task, labels.dim())
    if labels.dim() != dimensions:
        said = {1: "one class number for each sample: y [n]", 2: "one next token for each position: y [n, tokens]"}
        raise DataError(asked, f"y has shape {list(labels.shape)}", said[dimensions])
    return labels.long() if task != "regression" else labels.float()
