"""Operations that go index by index along the axis, or change nothing but its layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax._streams._lookup import Lookup
from shiftjax._streams._read import Read
from shiftjax._streams._rule import RULES, Ends, Rule, bound, index_by_index, place, refuse, rule, sizes
from shiftjax.certifier import Array, Constant, Operation


def rule_of(op: Operation, result: Array, k: int) -> Rule:
    """The rule of an operation."""
    if op.pointwise:
        return _pointwise(op, result, k)
    if op.name not in RULES:
        refuse(op, "the streams have no rule for this operation")
    return RULES[op.name](op, result, k)


def _pointwise(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    if along.before * along.after != 1 and any(
        isinstance(c, Constant) and c.shape and c.shape[along.axis] != 1 for c in op.operands
    ):
        refuse(op, "a constant lies along flattened image axes")

    def run(values: Sequence[Any], _: Sequence[Ends], count: int) -> Any:
        return bound(op)(*values)

    return index_by_index(op, run, along.axis)


@rule(
    "transpose squeeze rev tile stack unstack top_k approx_top_k fft sort argmax argmin "
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor reduce "
    "cumsum cumprod cummax cummin cumlogsumexp bitcast_convert_type"
)
def _across(op: Operation, result: Array, k: int) -> Rule:
    """What happens along other axes, so that no parameter knows the size of the streamed one."""
    _no_constant(op)
    if op.name == "rev" and place(op, op.operands[0], k).axis in op.params["dimensions"]:  # type: ignore[arg-type]
        refuse(op, "it runs backwards along the axis")
    return index_by_index(op, lambda values, _, __: bound(op)(*values))


def _no_constant(op: Operation) -> None:
    """Refuses constants, but for numbers such as what a reduction starts from."""
    if any(isinstance(c, Constant) and c.shape for c in op.operands):
        refuse(op, "a constant meets the image in a way that is not streamed")


@rule("broadcast_in_dim")
def _broadcast(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    return index_by_index(op, lambda values, _, n: bound(op, shape=sizes(result, along, n))(values[0]))


@rule("reshape")
def _reshape(op: Operation, result: Array, k: int) -> Rule:
    """Along the axis: as it was, (n, f) -> n f, or n -> (n / f, f)."""
    (image,) = op.operands
    assert isinstance(image, Array)
    if op.params["dimensions"] is not None:
        refuse(op, "a reshape transposes")
    before, after = place(op, image, k), place(op, result, k)
    ratio = before.stride / after.stride
    if ratio >= 1 and ratio.denominator == 1:
        read = Read(size=int(ratio), base=int(ratio), left=int(ratio) - 1)  # output j reads element j // ratio
    elif ratio.numerator == 1:
        read = Read(size=ratio.denominator, stride=ratio.denominator)
    else:
        refuse(op, "a reshape cuts the axis unevenly")
    return Rule((read,), lambda values, _, n: jnp.reshape(values[0], sizes(result, after, n)), (None,))


@rule("concatenate")
def _concatenate(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    if along.axis == op.params["dimension"]:
        refuse(op, "arrays of different maps are put end to end along the axis")
    if along.before * along.after != 1 and any(isinstance(c, Constant) for c in op.operands):
        refuse(op, "a constant lies along flattened image axes")
    return index_by_index(op, lambda values, _, n: bound(op)(*values), along.axis)


@rule("dot_general")
def _contraction(op: Operation, result: Array, k: int) -> Rule:
    (summed, shared) = op.params["dimension_numbers"]
    constant = any(isinstance(c, Constant) for c in op.operands)
    for side, operand in enumerate(op.operands):
        if isinstance(operand, Array):
            axis = place(op, operand, k).axis
            if axis in summed[side]:
                refuse(op, "a product sums along the axis")
            if constant and axis in shared[side]:
                refuse(op, "a constant meets the image in a way that is not streamed")
    return index_by_index(op, lambda values, _, n: bound(op)(*values))


@rule("dynamic_update_slice")
def _update(op: Operation, result: Array, k: int) -> Rule:
    """A part is overwritten that is as long as the array along the streamed axis."""
    along = place(op, result, k)
    operand, update, *starts = op.operands
    if operand.shape[along.axis] != update.shape[along.axis] or along.before * along.after != 1:
        refuse(op, "a part of the axis is overwritten")
    made = index_by_index(op, lambda values, _, n: bound(op)(*values), along.axis)
    return Rule(made.reads, made.run, (*made.aligned[:2], *(None for _ in starts)))


@rule("gather")
def _gather(op: Operation, result: Array, k: int) -> Rule:
    """Looked up along other axes."""
    image, indices = op.operands
    if not isinstance(image, Array) or isinstance(indices, Array):
        refuse(op, "the image is an index into a table, or decides what is looked up")
    along = place(op, image, k)
    lengths = list(op.params["slice_sizes"])
    numbers = op.params["dimension_numbers"]
    if lengths[along.axis] != image.shape[along.axis] or along.axis in numbers.operand_batching_dims:
        return _looked_up(op, result, along.axis, k)

    def run(values: Sequence[Any], _: Sequence[Ends], count: int) -> Any:
        lengths[along.axis] = along.before * count * along.after
        return bound(op, slice_sizes=tuple(lengths))(*values)

    return index_by_index(op, run)


def _looked_up(op: Operation, result: Array, axis: int, k: int) -> Rule:
    """Looked up along the axis, at regular indices that are known."""
    numbers, image = op.params["dimension_numbers"], op.operands[0]
    whole = all(n == m for j, (n, m) in enumerate(zip(op.params["slice_sizes"], image.shape, strict=True)) if j != axis)
    if op.lookup is None or tuple(numbers.collapsed_slice_dims) != (axis,) or not whole or op.lookup[1] < 1:
        refuse(op, "the image is looked up along the axis")
    read, target = Lookup(*op.lookup), place(op, result, k).axis

    def run(values: Sequence[Any], ends: Sequence[Ends], count: int) -> Any:
        local = np.array(read.local(ends[0][0], count))
        return jnp.moveaxis(jnp.take(values[0], local, axis=axis), axis, target)

    return Rule((read, None), run, (None, None))
