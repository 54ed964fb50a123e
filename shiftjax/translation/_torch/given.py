"""A module whose statistics of the whole image are given, computed by PyTorch.

The operations are those of the exported graph, run by PyTorch with the module's weights, where they are and in their
types. What statistics decide is not computed but put in: the mean and the variance of a norm, or the value of a mean
and what follows from it. A module's own state is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.tree_util import Partial

from shiftjax._checks import fail
from shiftjax.certifier import Cut, Noted
from shiftjax.translation._torch._operations.norms import Moments
from shiftjax.translation._torch.exported import Graph
from shiftjax.translation._torch.interpret import resolved, run
from shiftjax.translation._torch.tensors import to_torch, torch

if TYPE_CHECKING:
    from shiftjax.translation._torch.program import TorchProgram

MEND = 'translate the module with run="jax"'


def notes_of(program: TorchProgram, cut: Cut) -> Noted:
    """What of a module's graph follows from statistics alone, by the names of its nodes."""

    def noting(arrays: Sequence[Any], image: Any) -> Any:
        noted: dict[str, Any] = {}
        outputs = program.evaluate(arrays, image, noted)
        return outputs, jax.tree.map(lambda value: value if isinstance(value, jax.Array) else None, noted)

    return Noted(cut, Partial(noting, program.arrays))


class GivenModule:
    """The module as a function of a tensor `(batch, channel, *space)`, given its statistics.

    Args:
        program: of the module.
        given: what the statistics decide, by the names of the nodes.
        measured: shape and type of the image that they are of, in PyTorch's layout.
    """

    def __init__(self, program: TorchProgram, given: Mapping[str, Any], measured: tuple[Any, Any]) -> None:
        self._program, self._given = program, given
        own = program.graph(*measured)
        self._form, self._own = _form(own), {node.name: node for node in own.nodes}
        self._known: dict[Any, tuple[list[Any], dict[str, Any]]] = {}

    def __call__(self, image: Any) -> Any:
        """What the module returns.

        Raises:
            ValueError: for this size it is another program.
        """
        graph = self._program.graph(tuple(image.shape), np.dtype(str(image.dtype).removeprefix("torch.")))
        nodes, fixed = self._fixed(graph, image)
        outputs = run(nodes, {**fixed, graph.image: image}, graph.outputs, self._apply)
        return torch().utils._pytree.tree_unflatten(outputs, graph.tree)

    def _fixed(self, graph: Graph, image: Any) -> tuple[list[Any], dict[str, Any]]:
        """The nodes to be computed, and what is known before, for images of a shape."""
        key = tuple(image.shape), image.dtype
        if key not in self._known:
            if _form(graph) != self._form:
                fail("fn", "a module of the same operations at every size", f"others at {key[0]}", MEND)
            known: dict[str, Any] = {name: t.to(image.device) for name, t in graph.constants.items()}
            weights = self._program.state()
            known.update({node: weights[name] for node, name in graph.state.items()})
            for node in graph.nodes:
                value = self._given.get(node.name)
                if value is not None and not isinstance(value, Moments):
                    known[node.name] = _alike(node, node.meta["val"], value)
            self._known[key] = _needed(graph, known), known
        return self._known[key]

    def _apply(self, node: Any, values: Mapping[str, Any]) -> Any:
        moments = self._given.get(node.name)
        if moments is None or not hasattr(node.target, "_schema"):
            options = {name: resolved(value, values) for name, value in node.kwargs.items()}
            return node.target(*resolved(node.args, values), **options)
        # What is added to the variance may depend on the image's size, and is that of the image that was measured.
        arguments = {**_arguments(node), "eps": _arguments(self._own[node.name])["eps"]}
        normed = _normed({name: resolved(value, values) for name, value in arguments.items()}, moments)
        return (normed, None, None) if isinstance(node.meta["val"], list | tuple) else normed


def _arguments(node: Any) -> dict[str, Any]:
    """The arguments of a node by name, with the operation's own defaults."""
    schema = node.target._schema.arguments
    defaults = {a.name: a.default_value for a in schema if a.has_default_value()}
    return {**defaults, **dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}


def _form(graph: Graph) -> list[tuple[str, str]]:
    """The operations of a graph, in order, by which nodes of two sizes are told to be the same."""
    return [(node.name, str(node.target)) for node in graph.nodes]


def _needed(graph: Graph, known: Mapping[str, Any]) -> list[Any]:
    """The operations that the outputs take beside what is known, in order."""
    todo = [node for node in graph.nodes if node.op == "output"]
    seen: set[str] = set()
    while todo:
        node = todo.pop()
        if node.name not in seen and node.name not in known:
            seen.add(node.name)
            todo += node.all_input_nodes
    return [node for node in graph.nodes if node.name in seen and node.op == "call_function"]


def _alike(node: Any, expected: Any, value: Any) -> Any:
    """A given value as PyTorch has the result of a node: of the same one for each image of a batch."""
    if isinstance(expected, list | tuple):
        return [None if v is None else _alike(node, e, v) for e, v in zip(expected, value, strict=False)]
    array, shape = np.array(value), tuple(expected.shape)
    if array.shape != shape and (not shape or array.shape != (1, *shape[1:])):
        found = f"`{node.target}` with {shape} values, not {array.shape}"
        fail("fn", "a module that takes the same statistics at every size", found, MEND)
    return to_torch(array).to(expected.device, expected.dtype).expand(shape)


def _normed(options: Mapping[str, Any], moments: Moments) -> Any:
    """A norm by a given mean and variance."""
    x: Any = options["input"]
    weight, bias = options.get("weight"), options.get("bias")
    wide = x.float() if x.dtype in (torch().float16, torch().bfloat16) else x
    mean, variance = (to_torch(np.array(m)).to(wide.device, wide.dtype) for m in moments)
    if "normalized_shape" in options:  # its weights are those of places, too
        y = (wide - mean) * torch().rsqrt(variance + options["eps"])
        y = y if weight is None else y * weight
        y = y if bias is None else y + bias
        return y.to(x.dtype)
    images, channels = len(mean), wide.shape[1]
    mean, variance = (m.reshape(images, -1) for m in (mean, variance))
    mean, variance = (m.repeat_interleave(channels // m.shape[1], 1).reshape(-1) for m in (mean, variance))
    weight, bias = (None if v is None else v.to(wide.dtype).repeat(images) for v in (weight, bias))
    # Images with moments of their own are channels of one image.
    folded = wide if images == 1 else wide.reshape(1, images * channels, *wide.shape[2:])
    y = torch().nn.functional.batch_norm(folded, mean, variance, weight, bias, False, 0.0, options["eps"])
    return y.reshape(wide.shape).to(x.dtype)
