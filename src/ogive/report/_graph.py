"""The graph of a network, read off its true data flow."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

Graph = dict[str, Any]

_INPUT = "input"
_OUTPUT = "output"

_SHAPE_ONLY = frozenset(
    "_to_copy _unsafe_view alias clone contiguous detach dropout expand flatten permute reshape"
    " squeeze sym_size t to transpose unsqueeze view".split()
)
"""Operators that only move or rename values: the graph passes through them."""


def network_graph(module: nn.Module, example: Tensor) -> Graph:
    """Returns the layers of a network and how data flows between them.

    The network is exported in evaluation mode; the operators of one module without children make
    one node, an operator between modules (an addition, a product) makes its own.

    Args:
        module: The network; its mode is put back afterwards.
        example: A batch of inputs, ``(batch, ...)``, on the network's device.

    Returns:
        ``{"nodes": [{"id", "name", "type", "detail", "shape", "params"}], "edges": [[from, to]],
        "params": total}``, plain JSON, nodes before those that they feed. ``shape`` is the shape
        of a node's output without the batch.

    Raises:
        Exception: What :func:`torch.export.export` raises for a network that it cannot follow.
    """
    with _evaluating(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's of its own recurrent layers
        program = torch.export.export(module, (example,), strict=False)
    modules = dict(module.named_modules(remove_duplicate=False))
    inputs = set(program.graph_signature.user_inputs)

    nodes: dict[str, dict[str, Any]] = {}
    edges: dict[tuple[str, str], None] = {}  # a set that keeps its order
    made_by: dict[fx.Node, tuple[str, ...]] = {}  # the nodes whose output an operator's value is
    for operator in program.graph.nodes:
        sources = _unique(made_by.get(source, ()) for source in operator.all_input_nodes)
        found = _node_of(operator, modules, inputs)
        if found is None:
            made_by[operator] = sources
            continue
        node_id = found["id"]
        shown = nodes.setdefault(node_id, found)
        shown["shape"] = found["shape"] or shown["shape"]
        edges.update(((source, node_id), None) for source in sources if source != node_id)
        made_by[operator] = (node_id,)
    return {
        "nodes": list(nodes.values()),
        "edges": [list(edge) for edge in edges],
        "params": sum(parameter.numel() for parameter in module.parameters()),
    }


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def _unique(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in groups for name in group))


def _node_of(
    operator: fx.Node, modules: dict[str, nn.Module], inputs: set[str]
) -> dict[str, Any] | None:
    """The node that an operator belongs to, or None where it only passes values on."""
    shape = _shape(operator)
    if operator.op == "placeholder":
        if operator.name not in inputs:
            return None
        return _node(_INPUT if len(inputs) == 1 else operator.name, "input", shape)
    if operator.op == "output":
        return _node(_OUTPUT, "output", [])
    stack = list((operator.meta.get("nn_module_stack") or {}).items())
    key, (path, _) = stack[-1] if stack else ("", ("", ""))
    path = path.split("@")[0]  # a module called again has the path "name@1"
    layer = modules[path]
    name = _operator_name(operator)
    if isinstance(layer, nn.Dropout | nn.Flatten):
        return None
    if path and next(layer.children(), None) is None:
        own = sum(parameter.numel() for parameter in layer.parameters())
        return _node(key, type(layer).__name__, shape, path, _detail(layer), own)
    if name in _SHAPE_ONLY or not shape or not operator.all_input_nodes:
        return None
    return _node(f"{key}/{operator.name}", name, shape, path)


def _node(
    node_id: str, kind: str, shape: list[int], name: str = "", detail: str = "", params: int = 0
) -> dict[str, Any]:
    return {
        "id": node_id,
        "name": name,
        "type": kind,
        "detail": detail,
        "shape": shape,
        "params": params,
    }


def _shape(operator: fx.Node) -> list[int]:
    value = operator.meta.get("val")
    return [int(size) for size in value.shape[1:]] if isinstance(value, Tensor) else []


def _operator_name(operator: fx.Node) -> str:
    """``add`` for ``aten.add.Tensor`` and for ``aten.add_.Tensor``."""
    name = getattr(operator.target, "__name__", str(operator.target)).split(".")[0]
    return name.rstrip("_")


def _detail(layer: nn.Module) -> str:
    """What distinguishes a layer from others of its type, in a few characters."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        kernel = "×".join(str(size) for size in layer.kernel_size)
        parts = [kernel, f"{layer.in_channels} → {layer.out_channels}"]
        if math.prod(layer.stride) > 1:
            parts.append(f"stride {layer.stride[0]}")
        if layer.groups > 1:
            depthwise = layer.groups == layer.in_channels
            parts.append("depthwise" if depthwise else f"{layer.groups} groups")
        return ", ".join(parts)
    if isinstance(layer, nn.Linear):
        return f"{layer.in_features} → {layer.out_features}"
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        size = layer.kernel_size
        kernel = "×".join(str(s) for s in size) if isinstance(size, tuple) else f"{size}×{size}"
        return f"{kernel}, stride {layer.stride}"
    if isinstance(
        layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm | nn.GroupNorm
    ):
        return ""
    return layer.extra_repr() if next(layer.parameters(), None) is not None else ""
