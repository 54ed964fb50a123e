"""Operations with windows along the axis: slices, padding, convolutions, pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from shiftjax._streams._read import SAME, Read
from shiftjax._streams._rule import Ends, Rule, bound, index_by_index, place, refuse, rule
from shiftjax.certifier import Array, Constant, Operation


@rule("slice")
def _slice(op: Operation, result: Array, k: int) -> Rule:
    starts, stops = (list(op.params[name]) for name in ("start_indices", "limit_indices"))
    return _sliced(op, result, k, starts, stops, list(op.params["strides"] or [1] * len(starts)))


@rule("dynamic_slice")
def _dynamic_slice(op: Operation, result: Array, k: int) -> Rule:
    known = [s.value if isinstance(s, Constant) else None for s in op.operands[1:]]
    if any(value is None for value in known):
        refuse(op, "the start of a slice is not known")
    (image, *_), lengths = op.operands, op.params["slice_sizes"]
    starts = [
        min(max(int(s), 0), n - m)  # type: ignore[arg-type]
        for s, n, m in zip(known, image.shape, lengths, strict=True)
    ]
    made = _sliced(op, result, k, starts, [a + n for a, n in zip(starts, lengths, strict=True)], [1] * len(starts))
    rest = (None,) * len(known)
    return Rule((*made.reads, *rest), made.run, (None, *rest))


def _sliced(op: Operation, result: Array, k: int, starts: list[int], stops: list[int], steps: list[int]) -> Rule:
    image = op.operands[0]
    assert isinstance(image, Array)
    along = place(op, image, k)
    whole = (starts[along.axis], stops[along.axis], steps[along.axis]) == (0, image.shape[along.axis], 1)
    if along.before * along.after != 1 and not whole:
        refuse(op, "flattened image axes are sliced")
    read = Read(stride=steps[along.axis], left=-starts[along.axis])

    def run(values: Sequence[Any], _: Sequence[Ends], count: int) -> Any:
        first, last = list(starts), list(stops)
        first[along.axis], last[along.axis] = 0, values[0].shape[along.axis]
        return lax.slice(values[0], first, last, steps)

    return Rule((read,), run, (None,))


@rule("split")
def _split(op: Operation, result: Array, k: int) -> Rule:
    if place(op, result, k).axis == op.params["axis"]:
        start = sum(op.params["sizes"][: op.result])
        read = Read(left=-start)
        return Rule((read,), lambda values, _, n: [values[0]] * (op.result + 1), (None,))
    return index_by_index(op, lambda values, _, n: bound(op)(*values))


@rule("pad")
def _pad(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    config = list(op.params["padding_config"])
    left, right, interior = config[along.axis]
    if along.before * along.after != 1 and (left, right, interior) != (0, 0, 0):
        refuse(op, "flattened image axes are padded")

    def run(values: Sequence[Any], ends: Sequence[Ends], count: int) -> Any:
        config[along.axis] = (*ends[0], interior)
        return bound(op, padding_config=tuple(config))(*values)

    read = Read(base=interior + 1, left=left)
    return Rule((read, None), run, (None, None), outside=lambda values, _: values[1])


@rule("conv_general_dilated")
def _convolution(op: Operation, result: Array, k: int) -> Rule:
    p, kernel = op.params, op.operands[1]
    lhs, rhs, out = p["dimension_numbers"]
    image = op.operands[0]
    assert isinstance(image, Array)
    axis = place(op, image, k).axis
    if axis == lhs[0]:
        return index_by_index(op, lambda values, _, n: bound(op)(*values))
    d = lhs.index(axis) - 2
    read = Read(
        size=kernel.shape[rhs[2 + d]],
        stride=p["window_strides"][d],
        dilation=p["rhs_dilation"][d],
        base=p["lhs_dilation"][d],
        left=p["padding"][d][0],
    )
    # Padding along the streamed axis falls away; where it was the only one, another axis gets a row of it: XLA's CPU
    # backend computes 2-D convolutions without padding in a slower form (`nets/_forms.py`), and says so by it.
    others = [e for e in range(len(p["padding"])) if e != d]
    unpadded = any(p["padding"][d]) and not any(any(p["padding"][e]) for e in others)
    spare = others[0] if others and unpadded else None

    def run(values: Sequence[Any], ends: Sequence[Ends], count: int) -> Any:
        padding = list(p["padding"])
        padding[d] = ends[0]
        if spare is None:
            return bound(op, padding=tuple(padding))(*values)
        padding[spare] = (0, p["window_strides"][spare])
        target = out[2 + spare]
        return lax.slice_in_dim(bound(op, padding=tuple(padding))(*values), 0, result.shape[target], axis=target)

    return Rule((read, None), run, (None, None), outside=lambda values, _: 0)


@rule("reduce_window_max reduce_window_min reduce_window_sum reduce_window")
def _pooling(op: Operation, result: Array, k: int) -> Rule:
    p, along = op.params, place(op, result, k)
    axis = along.axis
    read = Read(
        size=p["window_dimensions"][axis],
        stride=p["window_strides"][axis],
        dilation=p["window_dilation"][axis],
        base=p["base_dilation"][axis],
        left=p["padding"][axis][0],
    )
    if along.before * along.after != 1 and read != SAME:
        refuse(op, "flattened image axes are pooled")
    images = [isinstance(operand, Array) for operand in op.operands]
    if not all(a or not c.shape for a, c in zip(images, op.operands, strict=True)):
        refuse(op, "a constant meets the image in a way that is not streamed")

    def run(values: Sequence[Any], ends: Sequence[Ends], count: int) -> Any:
        padding = list(p["padding"])
        padding[axis] = ends[0]
        return bound(op, padding=tuple(padding))(*values)

    def neutral(values: Sequence[Any], k: int) -> Any:
        return _neutral(op.name, values[k].dtype)

    # XLA may count what is padded as what the reduction starts from, or leave it out: the same only where that changes
    # nothing, which nobody knows of a function.
    outside = None if op.name == "reduce_window" else neutral
    return Rule(tuple(read if a else None for a in images), run, (None,) * len(images), outside)


def _neutral(name: str, dtype: Any) -> Any:
    """What changes no maximum, minimum or sum."""
    if name == "reduce_window_sum":
        return 0
    largest = name == "reduce_window_min"
    if dtype == jnp.bool_:
        return largest
    real = jnp.issubdtype(dtype, jnp.inexact)
    if real and np.isinf(np.array(np.inf, dtype)):
        return np.inf if largest else -np.inf
    limits = jnp.finfo(dtype) if real else jnp.iinfo(dtype)  # some numbers of 8 bits have no infinity
    return limits.max if largest else limits.min
