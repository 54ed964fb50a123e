"""One call of the function on a batch of tiles: the only thing that tiling compiles."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding

from shiftjax._checks import fail
from shiftjax._typing import Array
from shiftjax.tiling._xla_cpu_memory import windows_copied

Fn = Callable[[Any], Any]
Crop = tuple[tuple[int, int], ...]  # (start, stop) of an output's pixels per spatial axis; none for all of them


class Callee:
    """A function taken apart: its array leaves, which are arguments, and the rest, which is part of the program.

    Args:
        fn: the function.
        version: what the function computes, as a certificate's fingerprint tells. A function that closes over other
            values than last time is traced anew only if this differs.
    """

    def __init__(self, fn: Fn, version: str = "") -> None:
        leaves, tree = jax.tree_util.tree_flatten(fn)
        if jax.tree_util.treedef_is_leaf(tree):
            leaves, tree = jax.tree_util.tree_flatten(jax.tree_util.Partial(fn))
        self.arrays = [leaf for leaf in leaves if _is_array(leaf)]
        self.program = (tree, tuple(None if _is_array(leaf) else Fixed(leaf) for leaf in leaves), version)

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters."""
        return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in self.arrays)

    def __call__(self, tiles: Any, crops: tuple[Crop, ...], sharding: NamedSharding | None = None) -> Any:
        """Outputs of the tiles `(tile * batch, *size, channel)`, cropped, on the device where the parameters are."""
        return _call(self.arrays, tiles, self.program, crops, sharding)

    def to(self, place: Any) -> Callee:
        """The same function with its parameters on a device, or placed by a sharding."""
        moved = object.__new__(Callee)
        moved.arrays, moved.program = jax.device_put(self.arrays, place), self.program
        return moved

    def outputs(self, tiles: jax.ShapeDtypeStruct) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of the outputs for tiles of this shape, traced anew."""
        fn = lambda arrays, x: _rebuilt(arrays, self.program)(x)  # noqa: E731 - JAX remembers functions that it knows
        return jax.tree.leaves(jax.eval_shape(fn, self._avals, tiles))

    def account(self, tiles: jax.ShapeDtypeStruct) -> Account:
        """What one uncropped call takes, by XLA's account.

        On a CPU what its convolutions take beside that account is added.
        """
        traced = _whole.trace(self._avals, tiles, self.program)
        found = traced.lower().compile().memory_analysis()
        if found is None:
            fail("memory_bytes", "a backend that gives an account of memory", jax.default_backend(), "give `tile`")
        beside = windows_copied(traced.jaxpr) if jax.default_backend() == "cpu" else 0
        images = int(np.prod(tiles.shape)) * tiles.dtype.itemsize
        return Account(
            int(found.argument_size_in_bytes) - images,
            images,
            int(found.output_size_in_bytes),
            int(found.temp_size_in_bytes) + beside,
        )

    @property
    def _avals(self) -> list[jax.ShapeDtypeStruct]:
        return [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in self.arrays]


class Account(NamedTuple):
    """Bytes of one call."""

    parameters: int
    tiles: int
    outputs: int
    temporary: int


class Fixed:
    """A leaf that is part of the program: equal to itself, whether or not it can be hashed."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct | jax.Array | np.ndarray | np.generic)


@partial(jax.jit, static_argnames=("program", "crops", "sharding"))
def _call(arrays: list[Array], tiles: Array, program: Any, crops: Any, sharding: NamedSharding | None) -> Any:
    if sharding is not None:
        tiles = jax.lax.with_sharding_constraint(tiles, sharding)
    outputs, form = jax.tree_util.tree_flatten(_whole(arrays, tiles, program))
    kept = [(slice(None), *(slice(a, b) for a, b in crop)) for crop in crops]
    return jax.tree_util.tree_unflatten(form, [y[index] for y, index in zip(outputs, kept, strict=True)])


@partial(jax.jit, static_argnames=("program",))
def _whole(arrays: list[Array], tiles: Array, program: Any) -> Any:
    return _rebuilt(arrays, program)(tiles)


def _rebuilt(arrays: list[Any], program: Any) -> Fn:
    tree, rest, _ = program
    left = iter(arrays)
    return jax.tree_util.tree_unflatten(tree, [next(left) if leaf is None else leaf.value for leaf in rest])
