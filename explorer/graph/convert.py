"""An exported program as a :class:`ModelGraph`: its ops with their layers, kinds, roles and lines of source."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.fx
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from explorer.errors import CaptureError
from explorer.graph.ir import ModelGraph, Op, Ref, TensorType
from explorer.graph.roles import classify


def convert(program: ExportedProgram, name: str, asked: str) -> ModelGraph:
    """Return ``program`` as a graph. Raises :class:`CaptureError` for a fixed batch size or a state that changes."""
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
    return ModelGraph(
        name=name,
        ops=ops,
        constants=constants,
        parameters=parameters,
        inputs=inputs,
        output=Ref(output),
        fingerprint=_fingerprint(ops, constants),
        input_types=tuple(t for t in types if t is not None),
    )


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
    digest = hashlib.sha256()
    for op in ops:
        digest.update(f"{op.id}|{op.target}|{op.args}|{dict(op.kwargs)}".encode())
    seen: dict[tuple[int, int], str] = {}
    for name, value in sorted(constants.items()):
        twin = seen.setdefault((value.data_ptr(), value.nbytes), name)
        digest.update(f"{name}|{twin}|{tuple(value.shape)}|{value.dtype}".encode())
        if twin == name or not value.nbytes:  # tied weights are read once
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
