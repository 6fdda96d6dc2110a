"""Capture a PyTorch module as a :class:`ModelGraph`. The only user of ``torch.export``."""

from __future__ import annotations

import copy
import hashlib
import inspect
import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from explorer.errors import CaptureError, DataError
from explorer.graph.ir import ModelGraph, Op, Ref, TensorType, map_refs
from explorer.graph.rewrite import group_folds, remove_noops
from explorer.graph.roles import classify

LIBRARY_FOLDERS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def capture(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, name: str = "model"
) -> ModelGraph:
    """Return the graph of ``module`` as it runs on ``args`` and ``kwargs``, checked to give the same output.

    The first dimension of every input is dynamic (the batch); so is the second of integer inputs of two dimensions
    (the sequence). ``module`` is not changed; weights that are not FP32 are read from an FP32 copy.

    Raises :class:`CaptureError` when the module is in training mode, cannot be exported (naming the line of its
    code), needs a fixed batch size, or gives another output than the graph.
    """
    asked = f"capture {name!r}"
    if module.training:
        raise CaptureError(asked, "the model is in training mode", "model.eval() first")
    module = _as_fp32(module)
    kwargs = dict(kwargs or {})
    _run(module, args, kwargs, asked)
    program = _export(module, *_two_samples(args, kwargs), asked)
    graph = _convert(program, name, asked)
    _check(graph, module, args, kwargs, asked)
    return graph


@torch.no_grad()
def interpret(graph: ModelGraph, inputs: tuple[Any, ...], observe: Callable[[Op, Any], None] | None = None) -> Any:
    """Run ``graph`` as captured, op by op, and return its output; ``observe(op, output)`` is called after each."""
    values: dict[str, Any] = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}
    for index, op in enumerate(graph.ops):
        args, kwargs = map_refs((op.args, op.kwargs), lambda ref: values[ref.name])
        values[op.name] = op.target(*args, **kwargs)
        if observe is not None:
            observe(op, values[op.name])
        for ref in op.refs:
            if graph.last_use[ref] == index and ref not in graph.constants:
                del values[ref]
    return values[graph.output.name]


def flatten_inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """Return the tensors of ``args`` and ``kwargs`` in the order of ``ModelGraph.inputs``."""
    return tuple(leaf for leaf in pytree.tree_leaves((args, dict(kwargs or {}))) if leaf is not None)


def unflatten_inputs(
    tensors: tuple[Any, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return ``tensors`` (in the order of ``ModelGraph.inputs``) as ``args`` and ``kwargs`` are built."""
    leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
    source = iter(tensors)
    filled = pytree.tree_unflatten([leaf if leaf is None else next(source) for leaf in leaves], spec)
    return filled[0], filled[1]


def _as_fp32(module: nn.Module) -> nn.Module:
    others = {p.dtype for p in module.parameters() if p.is_floating_point() and p.dtype != torch.float32}
    return copy.deepcopy(module).float() if others else module


def _two_samples(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Repeat a batch of one to two: export bakes sizes of 0 and 1 into the graph."""

    def repeat(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.dim() and leaf.shape[0] == 1:
            return torch.cat([leaf, leaf])
        return leaf

    return pytree.tree_map(repeat, tuple(args)), pytree.tree_map(repeat, dict(kwargs))


def _dynamic(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor) or not leaf.dim():
        return None
    sequence = leaf.dim() == 2 and not leaf.is_floating_point() and leaf.shape[1] > 1
    return {0: Dim.AUTO, 1: Dim.AUTO} if sequence else {0: Dim.AUTO}


def _export(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], asked: str) -> ExportedProgram:
    shapes = (pytree.tree_map(_dynamic, args), pytree.tree_map(_dynamic, kwargs))
    by_name = _shapes_by_name(module, *shapes)
    try:
        with warnings.catch_warnings(), torch.no_grad(), _quiet():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, args, kwargs, dynamic_shapes=by_name, strict=False)
            decomposed: ExportedProgram = program.run_decompositions({})
            return decomposed
    except Exception as error:
        where = _line_of_user_code(error)
        raise CaptureError(
            asked,
            f"it cannot be exported{where}: {_first_sentence(error)}",
            "example inputs of the right shape and type, or keep control flow that depends on data out of forward()",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own log out of the user's notebook: the error that follows says what matters."""
    loggers = [logging.getLogger(name) for name in ("torch.fx.experimental.symbolic_shapes", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _shapes_by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not kwargs:
        return args
    names = list(inspect.signature(module.forward).parameters)
    return dict(zip(names, args, strict=False)) | kwargs


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:240]}" if lines else type(error).__name__


def _line_of_user_code(error: BaseException) -> str:
    """Return `` at file.py:12 (`source line`)`` for the deepest frame outside torch and this package, or nothing."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(LIBRARY_FOLDERS) and "importlib" not in frame.filename
    ]
    inside_forward = [frame for frame in frames if frame.name != "open" and frame.filename.endswith(".py")]
    for frame in reversed(inside_forward):
        if "explorer/session" not in frame.filename and "_compile" not in frame.name:
            return f" at {Path(frame.filename).name}:{frame.lineno} (`{(frame.line or '').strip()}`)"
    return ""


def _tensor_type(value: Any, symbols: dict[str, str]) -> TensorType | None:
    if isinstance(value, (tuple, list)):
        value = next((item for item in value if isinstance(item, Tensor)), None)
    if not isinstance(value, Tensor):
        return None
    return TensorType(tuple(_dim(size, symbols) for size in value.shape), value.dtype)


def _dim(size: Any, symbols: dict[str, str]) -> int | str:
    if isinstance(size, int):
        return size
    text = str(size)
    for symbol, word in symbols.items():
        text = text.replace(symbol, word)
    return text


def _name_symbols(placeholders: list[Any]) -> dict[str, str]:
    """Map the exporter's symbols (``s72``) to words: batch for first dimensions, seq for the others."""
    symbols: dict[str, str] = {}
    for node in placeholders:
        value = node.meta.get("val")
        for index, size in enumerate(value.shape if isinstance(value, Tensor) else ()):
            if not isinstance(size, int):
                symbols.setdefault(str(size), "batch" if index == 0 else "seq")
    return symbols


def _convert(program: ExportedProgram, name: str, asked: str) -> ModelGraph:
    signature = program.graph_signature
    nodes = {node.name: node for node in program.graph.nodes}
    constants, parameters, inputs = _constants(program)
    symbols = _name_symbols([nodes[n] for n in inputs])
    _require_dynamic_batch([nodes[n] for n in inputs], asked)
    mutated = [spec.target for spec in signature.output_specs if spec.kind == OutputKind.BUFFER_MUTATION]
    if mutated:
        raise CaptureError(asked, f"it changes its own buffer {mutated[0]!r} while it runs", "a stateless forward()")
    ops = _ops(program, constants, symbols)
    outputs = [spec.arg.name for spec in signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    output = _choose_output(outputs, nodes, program)
    types = tuple(_tensor_type(nodes[n].meta["val"], symbols) for n in inputs)
    graph = ModelGraph(
        name=name,
        ops=ops,
        constants=constants,
        parameters=parameters,
        inputs=inputs,
        output=Ref(output),
        fingerprint=_fingerprint(ops, constants),
        input_types=tuple(t for t in types if t is not None),
    )
    return group_folds(remove_noops(graph))


def _constants(program: ExportedProgram) -> tuple[dict[str, Tensor], dict[str, str], tuple[str, ...]]:
    constants: dict[str, Tensor] = {}
    parameters: dict[str, str] = {}
    inputs: list[str] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            if hasattr(spec.arg, "name") and not hasattr(spec.arg, "value"):
                inputs.append(spec.arg.name)
            continue
        target = str(spec.target)
        value = program.state_dict.get(target, program.constants.get(target))
        if isinstance(value, Tensor):
            constants[spec.arg.name] = value.detach()
            parameters[spec.arg.name] = target
    return constants, parameters, tuple(inputs)


def _require_dynamic_batch(placeholders: list[Any], asked: str) -> None:
    for node in placeholders:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.dim() and isinstance(value.shape[0], int):
            raise CaptureError(
                asked,
                f"input {node.name!r} only works with a batch of {value.shape[0]}",
                "a forward() that takes any batch size (x.shape[0] or -1 instead of a number)",
            )


def _ops(program: ExportedProgram, constants: Mapping[str, Tensor], symbols: dict[str, str]) -> tuple[Op, ...]:
    ops: list[Op] = []
    seen: Counter[str] = Counter()

    def refer(tree: Any) -> Any:
        if isinstance(tree, torch.fx.Node):
            return Ref(tree.name)
        if isinstance(tree, (tuple, list)):
            return type(tree)(refer(item) for item in tree) if type(tree) in (tuple, list) else [*map(refer, tree)]
        return tree

    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        output = _tensor_type(node.meta.get("val"), symbols)
        types = (_tensor_type(n.meta.get("val"), symbols) for n in node.all_input_nodes)
        second = node.args[1] if len(node.args) > 1 and isinstance(node.args[1], torch.fx.Node) else None
        weight = _tensor_type(second.meta.get("val"), symbols) if second and second.name in constants else None
        kind, role = classify(node.target, output, tuple(t for t in types if t is not None), weight)
        layer, layer_type = _layer(node)
        base = f"{layer}/{kind}" if layer else kind
        seen[base] += 1
        source, line = _source(node)
        ops.append(
            Op(
                id=base if seen[base] == 1 else f"{base}_{seen[base] - 1}",
                name=node.name,
                target=node.target,
                args=refer(node.args),
                kwargs={key: refer(value) for key, value in node.kwargs.items()},
                layer=layer,
                kind=kind,
                role=role,
                output=output,
                source=source,
                source_line=line,
                layer_type=layer_type,
            )
        )
    return tuple(ops)


def _layer(node: Any) -> tuple[str, str]:
    """Return the module path and class name that the exporter noted, or two empty strings."""
    path, type_ = list((node.meta.get("nn_module_stack") or {"": ("", "")}).values())[-1]
    name = type_ if isinstance(type_, str) else type_.__name__
    return ("", "") if path.startswith("_empty") else (path, name.rpartition(".")[2])


def _source(node: Any) -> tuple[str, str]:
    """Return ``("file.py:12", "the line of source")`` of the deepest frame that the exporter noted."""
    lines = [line for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip()]
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].lstrip().startswith("File "):
            _, path, rest = lines[index].split('"')
            number = rest.split("line ")[1].split(",")[0]
            return f"{Path(path).name}:{number}", lines[index + 1].strip() if index + 1 < len(lines) else ""
    return "", ""


def _choose_output(outputs: list[str], nodes: Mapping[str, Any], program: ExportedProgram) -> str:
    """Choose the logits where the output names them, else the first floating tensor."""
    spec = program.call_spec.out_spec
    names = getattr(spec, "context", None) if spec is not None else None
    if isinstance(names, (list, tuple)) and "logits" in names and len(names) == len(outputs):
        return outputs[list(names).index("logits")]
    for name in outputs:
        value = nodes[name].meta.get("val")
        if isinstance(value, Tensor) and value.is_floating_point():
            return name
    raise AssertionError("the eager run found a floating output")


def _fingerprint(ops: tuple[Op, ...], constants: Mapping[str, Tensor]) -> str:
    """Return 16 hex digits that change when the graph or any weight changes."""
    digest = hashlib.blake2b(digest_size=8)
    for op in ops:
        digest.update(f"{op.id}|{op.target}|{op.args}|{dict(op.kwargs)}".encode())
    for name, value in sorted(constants.items()):
        digest.update(f"{name}|{tuple(value.shape)}|{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check(graph: ModelGraph, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], asked: str) -> None:
    """Raise unless graph and module agree on the example and on three copies of its first sample."""
    example = (tuple(args), dict(kwargs))
    for some_args, some_kwargs in (example, pytree.tree_map(_three, example)):
        wanted = _run(module, some_args, some_kwargs, asked)
        got = interpret(graph, flatten_inputs(some_args, some_kwargs))
        if got.shape != wanted.shape or not torch.allclose(got, wanted.float(), rtol=1e-4, atol=1e-5, equal_nan=True):
            raise CaptureError(
                asked,
                "the captured graph gives another output than the model",
                "a forward() without randomness or hidden state",
            )


def _run(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], asked: str) -> Tensor:
    try:
        with torch.no_grad():
            return _pick(module(*args, **kwargs), asked)
    except CaptureError:
        raise
    except Exception as error:
        raise DataError(
            asked,
            f"the model does not run on the inputs given: {_first_sentence(error)}",
            "inputs of the shape and dtype that its forward() takes",
        ) from error


def _three(leaf: Any) -> Any:
    return torch.cat([leaf[:1]] * 3) if isinstance(leaf, Tensor) and leaf.dim() else leaf


def _pick(output: Any, asked: str) -> Tensor:
    """Return the logits of a module's output where it names them, else its first floating tensor."""
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    for leaf in pytree.tree_leaves(output):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            return leaf
    raise CaptureError(asked, "it returns no floating-point tensor", "a model whose forward() returns its logits")
