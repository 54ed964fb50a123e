"""Which arrays are put together of parts of others along the axis, index by index: nothing is computed for them.

As `_continued`, but told from the operations themselves and not from the maps, so that it holds up to the image's ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from shiftjax._streams._continued import differ_along, written
from shiftjax.certifier import Array, Constant, Operation


@dataclass(frozen=True)
class Piece:
    """Indices `at .. at + count` of a result are those of an operand from `start` on."""

    operand: Array
    at: int
    start: int
    count: int


def only_operand(op: Operation, result: Array) -> Array | None:
    """The operand that a result is, where nothing is joined, cut off, padded or left of what is overwritten."""
    operands: Sequence[Array | Constant] = op.operands[:1]
    if op.name == "concatenate":
        operands = [operand for operand in op.operands if prod(operand.shape)]
    elif op.name == "dynamic_update_slice":
        operands = op.operands[1:2]
    elif op.name == "pad":
        operands = operands if not any(map(any, op.params["padding_config"])) else ()
    elif op.name not in ("slice", "dynamic_slice"):
        return None
    only = operands[0] if len(operands) == 1 else None
    return only if isinstance(only, Array) and only.shape == result.shape else None


def pieces(op: Operation, result: Array, k: int) -> list[Piece] | None:
    """What a result is put together of, later pieces over earlier ones; None where something is computed.

    Indices that no piece covers hold something else.
    """
    along = result.along(k)
    if along is None or along.before * along.after != 1:
        return None
    axis, first, p = along.axis, op.operands[0], op.params
    size = result.shape[axis]
    if op.name == "concatenate" and p["dimension"] == axis:
        ends = accumulate(operand.shape[axis] for operand in op.operands)
        parts = [(operand, end - operand.shape[axis]) for operand, end in zip(op.operands, ends, strict=True)]
        return [Piece(part, at, 0, part.shape[axis]) for part, at in parts if isinstance(part, Array)]
    if op.name == "dynamic_update_slice":
        update, start = op.operands[1], op.operands[2 + axis]
        if not isinstance(start, Constant) or start.value is None:
            return None
        # A constant that is written over the image is no piece of it, and yet what lies below is gone.
        if not isinstance(update, Array) or not differ_along(first.shape, update.shape, axis):
            return None
        at = _within(start, size - update.shape[axis])
        below = [Piece(first, 0, 0, size)] if isinstance(first, Array) else []
        return [*below, Piece(update, at, 0, update.shape[axis])]
    if not isinstance(first, Array) or len(first.shape) != len(result.shape):
        return None
    if op.name == "scatter" and written(op) == {axis}:
        return None
    if not differ_along(first.shape, result.shape, axis):
        return None
    if op.name == "slice" and set(p["strides"] or [1]) == {1}:
        return [Piece(first, 0, p["start_indices"][axis], size)]
    if op.name == "dynamic_slice":
        start = op.operands[1 + axis]
        if isinstance(start, Constant) and start.value is not None:
            return [Piece(first, 0, _within(start, first.shape[axis] - size), size)]
    elif op.name == "pad" and p["padding_config"][axis][2] == 0:
        left, right, _ = p["padding_config"][axis]
        return [Piece(first, max(0, left), max(0, -left), first.shape[axis] + min(0, left) + min(0, right))]
    elif op.name == "split" and p["axis"] == axis:
        return [Piece(first, 0, sum(p["sizes"][: op.result]), size)]
    return None


def _within(start: Constant, most: int) -> int:
    """Where a slice begins: JAX moves one that would reach beyond the end."""
    assert start.value is not None
    return min(max(int(start.value), 0), most)


@dataclass(frozen=True)
class Covered:
    """Indices `first .. stop` of an array are those of node `node`, from its index `by + first` on."""

    node: int
    by: int
    first: int
    stop: int


def joined(parts: Sequence[Covered]) -> Covered | None:
    """Pieces of one array, later ones over earlier ones; None where they are of different nodes, or apart."""
    whole = parts[0]
    for part in parts[1:]:
        touch = part.first <= whole.stop and whole.first <= part.stop
        if (part.node, part.by) == (whole.node, whole.by) and touch:
            whole = Covered(part.node, part.by, min(part.first, whole.first), max(part.stop, whole.stop))
        elif part.first <= whole.first and whole.stop <= part.stop:
            whole = part
        else:
            return None
    return whole
