"""The same networks in other runtimes: torch's own low precision, ONNX Runtime and OpenVINO, each on the same threads.

None is needed: a peer whose package is not installed is told as absent. (Effect: files in a temporary folder.)
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import Network

Call = Callable[[], Any]
PACKAGES = ("openvino", "nncf", "onnxruntime", "onnx", "torchao", "transformers")


def peers(network: Network) -> dict[str, tuple[tuple[str, ...], Callable[[], Call]]]:
    """Return for each peer of ``network`` the packages that it takes, and a function that makes it ready to run."""
    image = network.layers is nn.Conv2d
    onnx = ("onnxruntime", "onnx")
    found: dict[str, tuple[tuple[str, ...], Callable[[], Call]]] = {
        "torch BF16": ((), partial(torch_bf16, network)),
        "ONNX Runtime FP32": (onnx, partial(onnx_runtime, network, "fp32")),
        "OpenVINO FP32": (("openvino",), partial(openvino, network, "fp32", "f32")),
        "OpenVINO BF16": (("openvino",), partial(openvino, network, "fp32", "bf16")),
        "OpenVINO INT8 (NNCF)": (("openvino", "nncf"), partial(openvino, network, "int8", "f32")),
        "OpenVINO INT8 (NNCF) and BF16": (("openvino", "nncf"), partial(openvino, network, "int8", "bf16")),
    }
    if image:
        return found | {"ONNX Runtime INT8 static": (onnx, partial(onnx_runtime, network, "static"))}
    return found | {
        "torch quantize_dynamic": ((), partial(torch_dynamic, network)),
        "ONNX Runtime INT8 dynamic": (onnx, partial(onnx_runtime, network, "dynamic")),
    }


def missing(packages: tuple[str, ...]) -> str:
    """Return which of the packages are not installed here, or nothing."""
    return ", ".join(name for name in packages if importlib.util.find_spec(name) is None)


def versions() -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    return {name: version(name) for name in PACKAGES if importlib.util.find_spec(name) is not None}


def torch_bf16(network: Network) -> Call:
    """The module in BF16, convolutions in channels_last."""
    module, x = copy.deepcopy(network.plain).to(torch.bfloat16), network.batch
    if network.layers is nn.Conv2d:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=torch.channels_last)
    x = x.to(torch.bfloat16) if x.is_floating_point() else x
    return lambda: module(x)


def torch_dynamic(network: Network) -> Call:
    """torch's dynamic INT8 on every linear layer, with its default engine."""
    module = torch.ao.quantization.quantize_dynamic(network.plain, {nn.Linear}, dtype=torch.qint8)
    return lambda: module(network.batch)


def onnx_runtime(network: Network, how: str) -> Call:
    """ONNX Runtime's CPU provider: ``fp32``, ``dynamic`` INT8, or ``static`` INT8 in QDQ form, weights per channel."""
    import onnxruntime
    from onnxruntime import quantization

    with TemporaryDirectory() as folder:
        plain, path = Path(folder) / "plain.onnx", Path(folder) / "model.onnx"
        torch.onnx.export(network.plain, (network.batch,), plain, input_names=["x"], output_names=["y"], dynamo=False,
                          opset_version=17)  # fmt: skip
        if how == "fp32":
            path = plain
        elif how == "dynamic":
            quantization.quantize_dynamic(plain, path, per_channel=True)
        else:
            quantization.quantize_static(plain, path, _Reader(network), per_channel=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would otherwise go on spinning into the call that is timed next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fed = {"x": network.batch.numpy()}
    return lambda: session.run(None, fed)[0]


class _Reader:
    """Batches for the calibration of ONNX Runtime."""

    def __init__(self, network: Network) -> None:
        self._batches = iter(network.data.split(len(network.batch)))

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch.numpy()}


def openvino(network: Network, weights: str, hint: str) -> Call:
    """OpenVINO tuned for latency, of the FP32 model or of NNCF's INT8; floats run in the precision of ``hint``."""
    os.environ.setdefault("CI", "true")  # elsewhere both packages send statistics of their use to their makers
    import openvino as ov

    threads = torch.get_num_threads()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(_converted(network, weights), "CPU", settings)
    fed = network.batch.numpy()
    return lambda: compiled(fed)[0]


@cache
def _converted(network: Network, weights: str) -> Any:
    """The network as OpenVINO reads it; in INT8 after NNCF's quantisation for speed, as its manual has it."""
    import openvino as ov

    if weights == "fp32":
        model = ov.convert_model(network.plain, example_input=network.batch)
        model.reshape(list(network.batch.shape))
        return model
    import nncf

    nncf.set_log_level(logging.ERROR)
    batches = [batch.numpy() for batch in network.data.split(len(network.batch))]
    transformer = nncf.ModelType.TRANSFORMER if network.layers is nn.Linear else None
    return nncf.quantize(
        _converted(network, "fp32"), nncf.Dataset(batches), subset_size=len(batches),
        preset=nncf.QuantizationPreset.PERFORMANCE, model_type=transformer,
    )  # fmt: skip


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the warnings and logs of converters for a while."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)


def as_result(out: Any) -> Tensor:
    """Return what a call gave as an FP32 tensor: a tensor, an array or transformers' record of outputs."""
    for field in ("last_hidden_state", "logits"):
        out = getattr(out, field, out)
    return torch.as_tensor(out).float()
