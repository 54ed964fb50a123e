"""Which arrays are another one read from a further index on: nothing is computed for them.

Slices and padding move an array along the axis; arrays that are put together of parts of one map, by a concatenation or
by a loop that fills them, are that map. The certifier tells which part it is that goes on; here it is only looked up
where that part was copied to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from shiftjax.certifier import Array, Constant, Operation


def continued(op: Operation, result: Array, k: int) -> tuple[Array, int] | None:
    """The operand that the result is, along the axis but for its ends, and which of its indices is the result's 0."""
    return next((one for one in _copies(op, result, k) if result.continues(one[0], k, one[1])), None)


def _copies(op: Operation, result: Array, k: int) -> Iterator[tuple[Array, int]]:
    """Operands that are copied into the result, the longest first, and what of them lies at the result's index 0."""
    along, first, p = result.along(k), op.operands[0], op.params
    if along is None or along.before * along.after != 1:
        return
    axis = along.axis
    if op.name == "concatenate" and p["dimension"] == axis:
        ends = accumulate(operand.shape[axis] for operand in op.operands)
        pairs = [(operand, end - operand.shape[axis]) for operand, end in zip(op.operands, ends, strict=True)]
        for operand, left in sorted(pairs, key=lambda pair: -pair[0].shape[axis]):
            if isinstance(operand, Array):
                yield operand, -left
    elif op.name == "dynamic_update_slice":
        update, start = op.operands[1], op.operands[2 + axis]
        if not differ_along(first.shape, update.shape, axis):
            return
        if isinstance(first, Array):
            yield first, 0
        if isinstance(update, Array) and isinstance(start, Constant) and start.value is not None:
            yield update, -min(max(int(start.value), 0), result.shape[axis] - update.shape[axis])
    elif not isinstance(first, Array) or len(first.shape) != len(result.shape):
        return
    elif op.name == "scatter":
        if written(op) == {axis}:
            yield first, 0
    elif not differ_along(first.shape, result.shape, axis):
        return
    elif op.name == "slice" and set(p["strides"] or [1]) == {1}:
        yield first, p["start_indices"][axis]
    elif op.name == "dynamic_slice":
        start = op.operands[1 + axis]
        if isinstance(start, Constant) and start.value is not None:
            yield first, min(max(int(start.value), 0), first.shape[axis] - result.shape[axis])
    elif op.name == "pad" and p["padding_config"][axis][2] == 0:
        yield first, -p["padding_config"][axis][0]
    elif op.name == "split" and p["axis"] == axis:
        yield first, sum(p["sizes"][: op.result])


def differ_along(one: Sequence[int], other: Sequence[int], axis: int) -> bool:
    """Whether two shapes differ along this axis and along no other."""
    return {j for j, (n, m) in enumerate(zip(one, other, strict=True)) if n != m} == {axis}


def written(op: Operation) -> set[int]:
    """The axes of which a scatter writes a part only."""
    numbers, shape, update = op.params["dimension_numbers"], op.operands[0].shape, op.operands[2].shape
    windows = [j for j in range(len(shape)) if j not in numbers.inserted_window_dims]
    pairs = zip(windows, numbers.update_window_dims, strict=False)
    return set(numbers.inserted_window_dims) | {j for j, at in pairs if update[at] != shape[j]}
