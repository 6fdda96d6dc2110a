"""Work as it travels: a model and its samples in bytes, sent once to each worker. (Effect: keeps the last one open.)

A graph is pickled without its tensors, over the executor's own channel: nothing pickled ever lies on a disk. Tensors
travel as safetensors, which hold numbers only.
"""

from __future__ import annotations

import copyreg
import hashlib
import pickle
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, load_file, save
from torch import Tensor
from torch._ops import OpOverload

from explorer.errors import DataError
from explorer.graph import ModelGraph
from explorer.kernels import StaticScale, warm_up
from explorer.measure import find_device
from explorer.precision import find_precision
from explorer.recipe import Recipe
from explorer.run import KernelCache, Planner
from explorer.samples import Samples
from explorer.subject import Subject
from explorer.sweep.bench import Bench, Task
from explorer.sweep.record import Outcome

CONSTANT, INPUT = "constant ", "input "


def _find_operator(name: str) -> Any:
    """Return the ATen (or other) operator called so: ``"aten::add.Tensor"``."""
    space, _, rest = name.partition("::")
    packet, _, overload = rest.partition(".")
    return getattr(reduce(getattr, (space, packet), torch.ops), overload or "default")


def _name_operator(operator: Any) -> tuple[Any, ...]:
    return _find_operator, (operator.name(),)


copyreg.pickle(OpOverload, _name_operator)  # torch cannot pickle its operators


@dataclass(frozen=True, eq=False)
class Work:
    """All that a worker needs to measure changes of a model; kernels it makes itself, for its own device.

    ``scales``: of static precisions, empty where none is swept. ``threads``: what torch uses for one op: another number
    might add up in another order. ``packed_bytes``: how much of packed weights a worker keeps.
    """

    graph: ModelGraph
    samples: Samples
    shapes: Mapping[str, tuple[int, ...]]
    scales: Mapping[str, StaticScale]
    logits: bool
    device: str
    threads: int
    packed_bytes: float

    @staticmethod
    def of(subject: Subject, tasks: list[Task]) -> Work:
        """Return what the tasks need of ``subject``: whole batches, as their filling counts in scales of a batch."""
        samples, n = subject.samples, max(task.n for task in tasks)
        kept = -(-n // samples.batch_size) * samples.batch_size
        names = {precision for task in tasks for change in task.changes for _, precision in change}
        static = any(find_precision(name).is_static for name in names)
        return Work(
            subject.graph,
            Samples(tuple(x[:kept] for x in samples.inputs), None, samples.batch_size),
            subject.planner.shapes,
            subject.calibration().scales if static else {},
            subject.task.logits,
            subject.baseline.device.type,
            torch.get_num_threads(),
            subject.kernels.budget_bytes,
        )

    def open(self) -> Bench:
        """Return the bench of this work on this process's device."""
        device = find_device(self.device)
        warm_up(device)
        planner = Planner(self.graph, device, self.shapes, lambda: self.scales)
        recipe = Recipe.baseline(self.graph.name, self.graph.fingerprint, (op.id for op in self.graph.rows))
        return Bench(self.samples, self.logits, planner, planner.plan(recipe), KernelCache(self.packed_bytes))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of constants and samples by unique names."""
        constants = {f"{CONSTANT}{name}": tensor for name, tensor in self.graph.constants.items()}
        return constants | {f"{INPUT}{index}": x for index, x in enumerate(self.samples.inputs)}

    def hollow(self) -> Work:
        """Return this work without its tensors."""
        return replace(
            self, graph=replace(self.graph, constants={}), samples=Samples((), None, self.samples.batch_size)
        )

    def filled(self, tensors: Mapping[str, Tensor]) -> Work:
        """Return this hollow work with the tensors that :attr:`tensors` had, on its device."""
        here = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        constants = {name.removeprefix(CONSTANT): x for name, x in here.items() if name.startswith(CONSTANT)}
        inputs = tuple(here[f"{INPUT}{index}"] for index in range(len(here) - len(constants)))
        samples = Samples(inputs, None, self.samples.batch_size)
        return replace(self, graph=replace(self.graph, constants=constants), samples=samples)


@dataclass(frozen=True)
class Parcel:
    """A work in bytes: what is pickled, and its tensors as safetensors, here or in the file at ``path``.

    ``key`` names the contents.
    """

    key: str
    hollow: bytes
    tensors: bytes
    path: str = ""

    @staticmethod
    def of(work: Work) -> Parcel:
        hollow = pickle.dumps(work.hollow())
        tensors = save(_apart(work.tensors))
        digest = hashlib.blake2b(hollow, digest_size=16)
        digest.update(tensors)
        return Parcel(digest.hexdigest(), hollow, tensors)

    def in_file(self, folder: Path) -> Parcel:
        """Return this parcel with its tensors in a file, which processes of one machine then share in memory."""
        path = folder / f"{self.key}.safetensors"
        path.write_bytes(self.tensors)
        return replace(self, tensors=b"", path=str(path))

    def unpack(self) -> Work:
        """Return the work. Raises :class:`DataError` where its file is not on this machine."""
        if self.path and not Path(self.path).exists():
            found = f"this worker cannot read {self.path}, where the model lies"
            raise DataError("open the work of a sweep", found, "workers on one machine, or a Dask cluster")
        work: Work = pickle.loads(self.hollow)  # noqa: S301  from the process that gave this one its tasks
        return work.filled(load_file(self.path) if self.path else load(self.tensors))


def measure(parcel: Parcel, task: Task) -> list[Outcome]:
    """Return the outcomes of a task, on a worker: the parcel is opened once, and its bench kept until another comes."""
    bench, count = bench_of(parcel)
    with threads(count):
        return bench.measure(task)


_open: dict[str, tuple[Bench, int]] = {}
_lock = threading.Lock()


def bench_of(parcel: Parcel) -> tuple[Bench, int]:
    """Return the bench of a parcel, and how many threads it is used with.

    It is opened with as many: the fastest of rival kernels is known for a number of threads, and workers are often
    started with one.
    """
    with _lock:
        if parcel.key not in _open:
            work = parcel.unpack()
            _open.clear()
            with threads(work.threads):
                _open[parcel.key] = work.open(), work.threads
        return _open[parcel.key]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads for one op: sums that are split otherwise may be rounded otherwise."""
    before = torch.get_num_threads()
    if before != count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if before != count:
            torch.set_num_threads(before)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, contiguous on the CPU, none sharing memory: safetensors refuses these."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        found[name] = own.clone() if place in seen or own.untyped_storage().nbytes() != own.nbytes else own
        seen.add(place)
    return found
