"""A graph evaluated in JAX.

What depends on neither image nor parameters (grids of positions, masks) PyTorch computes itself, so that the certifier
knows it by value. The shape of every result is compared with the one that PyTorch found for it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import told
from shiftjax.translation._error import TranslationError
from shiftjax.translation._torch import source
from shiftjax.translation._torch._operations import Unsupported
from shiftjax.translation._torch._operations.norms import Normed
from shiftjax.translation._torch._operations.pooling import Places
from shiftjax.translation._torch.exported import Graph, function_of, packet_of
from shiftjax.translation._torch.tensors import dtype_of, narrowed, to_numpy, torch

COUNTS = ("argmax", "argmin")  # whose 64-bit results are numbers of entries along an axis
WITH_PLACES = (  # whose second results are places of maxima, which are refused where somebody uses them
    *("max", "min", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("max_pool2d_with_indices", "max_pool3d_with_indices"),
)
BY_PIXELS = ("_local_scalar_dense", "item", "nonzero", "masked_select")
BY_SHAPES = "Compute with tensors all the way."
Apply = Callable[[Any, Mapping[str, Any]], Any]  # a node and the values by name, to the node's value
OTHERWISE = "Leave it out, compute it in JAX after the network, or open an issue that names it."


Noted = dict[str, Any]  # by the name of a node: its result, or the `Moments` of a norm


def evaluate(graph: Graph, state: Mapping[str, Any], image: Any, noted: Noted | None = None) -> list[Any]:
    """The outputs of a graph, in PyTorch's layout.

    Args:
        graph: of the module, for the shape and type of this image.
        state: parameters and buffers by name: arrays, or tensors where their values are known.
        image: `(batch, channel, *space)`.
        noted: where what is computed on the way is to be noted.

    Raises:
        TranslationError: an operation has no translation.
    """
    values: dict[str, Any] = {graph.image: image, **graph.constants}
    values.update({node: state[name] for node, name in graph.state.items()})
    apply = partial(_apply, noted={} if noted is None else noted)
    outputs = run(graph.nodes, values, graph.outputs, apply)
    return [_returned(value, node) for value, node in zip(outputs, graph.outputs, strict=True)]


def _returned(value: Any, node: Any) -> Any:
    if isinstance(value, Places):
        _refuse(node, "the module returns the places of maxima")
    try:
        return _arrays(value) if _is_tensor(value) else value
    except Unsupported as reason:
        _refuse(node, str(reason))


def run(nodes: Sequence[Any], values: dict[str, Any], outputs: Any, apply: Apply) -> list[Any]:
    """Evaluates nodes in order, and forgets each value after its last use."""
    last: dict[str, Any] = {}
    for node in nodes:
        for used in node.all_input_nodes:
            last[used.name] = node
    for node in nodes:
        if node.op == "call_function":
            values[node.name] = apply(node, values)
        elif node.op not in ("placeholder", "output"):
            _refuse(node, "it is no operation on tensors")
        if node.op != "output":
            for used in node.all_input_nodes:
                if last[used.name] is node and used is not node:
                    values.pop(used.name, None)
    return [resolved(output, values) for output in outputs]


def resolved(value: Any, values: Mapping[str, Any]) -> Any:
    """An argument of a node with the values of the nodes in it."""
    if isinstance(value, list | tuple):
        return [resolved(v, values) for v in value]
    if isinstance(value, slice):
        return slice(*(resolved(v, values) for v in (value.start, value.stop, value.step)))
    return values[value.name] if hasattr(value, "op") and hasattr(value, "meta") else value


def _apply(node: Any, values: Mapping[str, Any], noted: Noted) -> Any:
    args = resolved(node.args, values)
    options = {name: resolved(value, values) for name, value in node.kwargs.items()}
    target = node.target
    if target is operator.getitem:
        return args[0][args[1]]
    if not hasattr(target, "_schema"):
        if any(map(_is_array, jax.tree.leaves([args, options]))):
            _refuse(node, "it is no operation of ATen")
        return target(*args, **options)  # Python's own operations on sizes
    schema = target._schema
    if schema.is_mutable:
        _refuse(node, "it changes a tensor in place, after all such changes were to be gone")
    if _random(target):
        _refuse(node, "it draws random numbers")
    given = jax.tree.leaves([args, options], is_leaf=_is_array)
    if any(isinstance(value, Places) for value in given):
        _refuse(node, "it uses the places of maxima, not their values")
    if not any(map(_is_array, given)):
        try:
            return _by_torch(target, args, options)
        except Exception as error:  # whatever PyTorch raises
            _refuse(node, f"PyTorch does not compute it on the host ({told(error)})")
    if packet_of(target) in BY_PIXELS:
        _refuse(node, "the values of pixels become a number, or decide a shape", BY_SHAPES)
    function = function_of(target)
    if function is None:
        _refuse(node, "there is no translation of this operation")
    _check_types(node)
    call = source.calling_from(found) if (found := source.source_of(node)) else _plainly
    module = source.module_of(node)
    with jax.named_scope(module) if module else nullcontext():
        try:
            result = call(function, *map(_arrays, args), **{name: _arrays(v) for name, v in options.items()})
        except Unsupported as reason:
            _refuse(node, str(reason))
        except Exception as error:  # whatever JAX makes of options that are not foreseen
            _refuse(node, f"it has options that are not translated ({told(error)})")
        result = call(_checked, node, _without_moments(node, result, noted))
        noted.setdefault(node.name, result)
        return result


def _plainly(function: Any, *args: Any, **options: Any) -> Any:
    return function(*args, **options)


def _without_moments(node: Any, result: Any, noted: Noted) -> Any:
    """What an operation gives; of norms, their moments are noted."""
    first = result[0] if isinstance(result, tuple) else result
    if not isinstance(first, Normed):
        return result
    noted[node.name] = first.moments
    return (first.result, *result[1:]) if isinstance(result, tuple) else first.result


def _checked(node: Any, result: Any) -> Any:
    """A result in the type that PyTorch gives it; its shape must be PyTorch's too."""
    expected = node.meta.get("val")
    if expected is None:
        return None
    if isinstance(expected, list | tuple):
        pairs = zip(result, expected, strict=False)
        return [r if r is None or isinstance(r, Places) else _one(node, r, e) for r, e in pairs]
    return _one(node, result, expected)


def _one(node: Any, result: Any, expected: Any) -> Any:
    if not all(isinstance(n, int) for n in expected.shape):  # symbols
        _refuse(node, "the values of pixels, or of the module's constants, decide the shape of its result", BY_SHAPES)
    if tuple(result.shape) != tuple(expected.shape):
        _refuse(node, f"its translation has shape {tuple(result.shape)}, not {tuple(expected.shape)}")
    dtype = dtype_of(expected.dtype)
    assert dtype is not None  # `_check_types` has seen it
    return result.astype(jax.dtypes.canonicalize_dtype(dtype))


def _check_types(node: Any) -> None:
    """Refuses results in types that JAX does not have, or has with fewer bits."""
    expected = node.meta.get("val")
    several = isinstance(expected, list | tuple)
    for k, one in enumerate(expected if several else (expected,)):
        if one is None or not hasattr(one, "dtype") or (k == 1 and packet_of(node.target) in WITH_PLACES):
            continue
        dtype = dtype_of(one.dtype)
        if dtype is None:
            _refuse(node, f"its result is of {one.dtype}, a type that is not translated")
        elif narrowed(dtype) and packet_of(node.target) not in COUNTS:
            _refuse(node, f"its result is of {one.dtype}, of which JAX would keep 32 bits", _wider(dtype))


def _wider(dtype: np.dtype) -> str:
    narrow = "float32" if dtype.kind == "f" else "int32"
    return f"Compute in {narrow}, or set `jax.config.update('jax_enable_x64', True)`."


def _by_torch(target: Any, args: list[Any], options: dict[str, Any]) -> Any:
    """A constant, computed by PyTorch on the host."""
    if "device" in options:
        options = {**options, "device": torch().device("cpu")}
    with torch().no_grad():
        return target(*args, **options)


def _random(target: Any) -> bool:
    """Whether an operation draws numbers; dropout, which may be switched off, is in the table."""
    return torch().Tag.nondeterministic_seeded in target.tags and function_of(target) is None


def _is_array(value: Any) -> bool:
    """Whether a value depends on the image or on parameters."""
    return isinstance(value, jax.Array | np.ndarray | Places)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch().Tensor)


def _arrays(value: Any) -> Any:
    """An argument as the table's functions take it: known tensors as arrays, PyTorch's types as NumPy's."""
    if isinstance(value, list | tuple):
        return [_arrays(v) for v in value]
    if isinstance(value, torch().dtype):
        return dtype_of(value)
    if not _is_tensor(value):
        return value
    array = to_numpy(value)
    kept = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
    if array.dtype.kind in "iu" and not np.array_equal(kept, array):
        raise Unsupported("an integer of the module needs 64 bits")
    return jnp.asarray(kept)


def _refuse(node: Any, reason: str, advice: str = OTHERWISE) -> NoReturn:
    raise TranslationError(str(node.target), source.shown(source.source_of(node)), reason, advice)
