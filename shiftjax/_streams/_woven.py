"""Borders that are made of the image: mirrored, or its last pixel repeated, as `jnp.pad` does with "reflect", "edge".

They are written as slices, turned around or repeated, that are put before and behind an array. What index of that array
each index of the result repeats is found by doing the same to a list of indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from shiftjax._streams._pieces import only_operand
from shiftjax._streams._read import Read
from shiftjax._streams._rule import Rule
from shiftjax.certifier import Array, CertificationError, Dataflow, Operation


@dataclass(frozen=True)
class Woven:
    """An array each of whose indices repeats one of another array.

    Attributes:
        base: the other array.
        axis: of both.
        by: index i is that of index `i + by`, but for the ends;
        left: there it is further along by so much, for the first indices;
        right: and for the last ones.
    """

    base: Array
    axis: int
    by: int
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, int]:
        """How many indices before and behind its own an index may repeat."""
        further = [0, *self.left, *self.right]
        return -min(further), max(further)

    def rule(self, size: int) -> Rule:
        """How it is streamed.

        Args:
            size: indices of the array where it was traced.
        """
        before, behind = self.reach
        read = Read(size=before + behind + 1, left=before - self.by)
        left, right = (part or (0,) for part in (self.left, self.right))

        def run(values: Sequence[Any], count: int, first: Any, longer: int) -> Any:
            """`count` indices from `first` on, of an array that is longer than it was; None: at neither end."""
            (window,) = values
            if first is None:
                return lax.slice_in_dim(window, before, before + count, axis=self.axis)
            at = first + np.arange(count)
            last = size + longer - len(self.right)  # index where the right end begins

            def woven(window: Any) -> Any:
                at_left = jnp.where(at < len(self.left), jnp.array(left)[jnp.clip(at, 0, len(left) - 1)], 0)
                further = jnp.where(at >= last, jnp.array(right)[jnp.clip(at - last, 0, len(right) - 1)], at_left)
                return jnp.take(window, np.arange(count) + before + further, axis=self.axis, mode="clip")

            def plain(window: Any) -> Any:
                return lax.slice_in_dim(window, before, before + count, axis=self.axis)

            near = (first < len(self.left)) | (first + count > last)
            return lax.cond(near, woven, plain, window)

        return Rule((read,), lambda *_: None, (None,), located=run, ends=(self.by, self.left, self.right))


def woven(flow: Dataflow, op: Operation, result: Array, k: int) -> Woven | None:
    """How a concatenation repeats one array, if it does and more than once."""
    along = result.along(k)
    if op.name != "concatenate" or along is None or op.params["dimension"] != along.axis:
        return None
    if along.before * along.after != 1:
        return None
    axis, base = along.axis, _base(flow, result, along.axis)
    index = None if base is None else _indices(flow, result, base, axis)
    if base is None or index is None:
        return None
    by = int(index[len(index) // 2]) - len(index) // 2
    further = index - np.arange(len(index)) - by
    ends = np.flatnonzero(further)
    left = int(ends[ends < len(index) // 2].max(initial=-1)) + 1
    right = len(index) - int(ends[ends > len(index) // 2].min(initial=len(index)))
    if left + right >= len(index):
        return None
    return Woven(base, axis, by, tuple(map(int, further[:left])), tuple(map(int, further[len(index) - right :])))


def _operation(flow: Dataflow, array: Array) -> Operation | None:
    try:
        return None if array is flow.image else flow.operation(array)
    except CertificationError:
        return None


def _base(flow: Dataflow, array: Array, axis: int) -> Array | None:
    """The array that the longest parts are of."""
    while True:
        op = _operation(flow, array)
        if op is None or op.name not in ("concatenate", "slice") or (op.name == "slice" and not _plain(op, axis)):
            return array
        if (only := only_operand(op, array)) is not None:
            array = only
        elif op.name == "slice" or op.params["dimension"] == axis:
            longest = max(op.operands, key=lambda operand: operand.shape[axis])
            if not isinstance(longest, Array):
                return None
            array = longest
        else:
            return array


def _plain(op: Operation, axis: int) -> bool:
    """Whether a slice cuts this axis only, and leaves out nothing between."""
    shape, p = op.operands[0].shape, op.params
    others = [j for j in range(len(shape)) if j != axis]
    return set(p["strides"] or [1]) == {1} and all(
        (p["start_indices"][j], p["limit_indices"][j]) == (0, shape[j]) for j in others
    )


def _indices(flow: Dataflow, array: Array, base: Array, axis: int) -> np.ndarray | None:
    """Which index of the base each index of an array repeats along an axis; None where it is not a repetition."""
    if array is base:
        return np.arange(base.shape[axis])
    op = _operation(flow, array)
    if op is None:
        return None
    if (only := only_operand(op, array)) is not None:
        return _indices(flow, only, base, axis)
    operands = [operand for operand in op.operands if prod(operand.shape)]  # an end that is not padded is empty
    if not all(isinstance(operand, Array) for operand in operands):
        return None
    parts = [_indices(flow, operand, base, axis) for operand in operands if isinstance(operand, Array)]
    if not parts or any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    if op.name == "concatenate" and op.params["dimension"] == axis:
        return np.concatenate(known)
    if op.name == "slice" and _plain(op, axis):
        return known[0][op.params["start_indices"][axis] : op.params["limit_indices"][axis]]
    if op.name == "rev" and tuple(op.params["dimensions"]) == (axis,):
        return known[0][::-1]
    if op.name in ("broadcast_in_dim", "reshape") and len(set(known[0])) == 1 and _repeats(op, array, axis):
        return np.repeat(known[0][:1], array.shape[axis])
    return None


def _repeats(op: Operation, result: Array, axis: int) -> bool:
    """Whether all other axes stay as they are, in the steps by which `jnp.repeat` repeats a single index.

    (.., 1, ..) is made (.., 1, n, ..), and that (.., n, ..).
    """
    shape = op.operands[0].shape
    before, behind = list(shape[:axis]), list(shape[axis + 1 :])
    if op.name == "broadcast_in_dim":
        if len(result.shape) == len(shape):
            kept = tuple(op.params["broadcast_dimensions"]) == tuple(range(len(shape)))
            return kept and list(result.shape) == [*before, result.shape[axis], *behind]
        moved = tuple(j + (j > axis) for j in range(len(shape)))
        return (
            shape[axis] == 1
            and tuple(op.params["broadcast_dimensions"]) == moved
            and list(result.shape) == [*before, 1, result.shape[axis + 1], *behind]
        )
    # Behind a broadcast to (.., 1, n, ..): the two axes become one.
    return (
        len(shape) == len(result.shape) + 1
        and shape[axis] == 1
        and list(result.shape) == [*before, shape[axis + 1], *shape[axis + 2 :]]
    )
