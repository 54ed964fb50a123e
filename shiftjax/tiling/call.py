"""One call of the function on a batch of tiles: the only thing that tiling compiles."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from shiftjax._checks import fail
from shiftjax._typing import Array
from shiftjax.tiling.scratch import windows_copied

Fn = Callable[[Any], Any]
Crop = tuple[tuple[int, int], ...]  # (start, stop) of an output's pixels per spatial axis; none for all of them


class Callee:
    """A function taken apart: its array leaves, which are arguments, and the rest, which is part of the program."""

    def __init__(self, fn: Fn) -> None:
        leaves, tree = jax.tree_util.tree_flatten(fn)
        if jax.tree_util.treedef_is_leaf(tree):
            leaves, tree = jax.tree_util.tree_flatten(jax.tree_util.Partial(fn))
        self.arrays = [leaf for leaf in leaves if _is_array(leaf)]
        self.program = (tree, tuple(None if _is_array(leaf) else leaf for leaf in leaves))

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

    def account(self, tiles: jax.ShapeDtypeStruct) -> int:
        """Bytes of one uncropped call: arguments, parameters included, outputs and temporaries by XLA's account.

        On a CPU what its convolutions take beside that account is added.
        """
        arrays = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in self.arrays]
        traced = _whole.trace(arrays, tiles, self.program)
        found = traced.lower().compile().memory_analysis()
        if found is None:
            fail("memory_bytes", "a backend that gives an account of memory", jax.default_backend(), "give `tile`")
        beside = windows_copied(traced.jaxpr) if jax.default_backend() == "cpu" else 0
        return int(found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes) + beside


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
    tree, rest = program
    left = iter(arrays)
    return jax.tree_util.tree_unflatten(tree, [next(left) if leaf is None else leaf for leaf in rest])(tiles)
