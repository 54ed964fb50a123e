"""One call of the function on a batch of tiles: the only thing that tiling compiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding

from shiftjax._checks import fail
from shiftjax._parameters import put_together, take_apart
from shiftjax._typing import Array
from shiftjax.tiling._xla_cpu_memory import copied_windows

Fn = Callable[[Any], Any]
Crop = tuple[tuple[int, int], ...]  # (start, stop) of an output's pixels, per spatial axis


class MemoryEstimate(NamedTuple):
    """Bytes of one call."""

    parameters: int
    tiles: int
    outputs: int
    temporary: int


@dataclass(frozen=True)
class CompiledFunction:
    """A function that is compiled once for each shape of the tiles, whatever the values of its parameters.

    Attributes:
        arrays: its parameters, which are arguments of the compiled program.
        program: all else of the function, which is part of the compiled program.
    """

    arrays: tuple[Any, ...]
    program: tuple[Any, ...]

    @classmethod
    def of(cls, fn: Fn, version: str = "") -> CompiledFunction:
        """Takes a function apart.

        Args:
            fn: the function.
            version: what the function computes, of its certificate: where it closes over values, JAX cannot see that
                they have changed, and traces it anew only if this differs.
        """
        parts = take_apart(fn)
        return cls(parts.arrays, (tuple(map(_Leaf, parts.leaves)), parts.tree, version))

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters."""
        return sum(math.prod(array.shape) * array.dtype.itemsize for array in self.arrays)

    def __call__(
        self,
        tiles: Any,
        crops: tuple[Crop, ...],
        places: tuple[int, ...],
        sharding: NamedSharding | None = None,
        starts: Any = None,
    ) -> Any:
        """The cropped outputs of the tiles `(tile * batch, *size, channel)`, on the device where the parameters are.

        Args:
            tiles: the tiles.
            crops: what is kept of each output.
            places: where these outputs are among the leaves of what the function returns; None stands for the others.
            sharding: how tiles are spread over devices.
            starts: `(tile, output, axis)` first pixel of the crop of each tile, in place of those of `crops`; the size
                is the same.
        """
        return _cropped(self.arrays, tiles, starts, self.program, crops, places, sharding)

    def to(self, device: Any) -> CompiledFunction:
        """The same function with its parameters on a device, or spread by a sharding."""
        return replace(self, arrays=jax.device_put(self.arrays, device))

    def outputs(self, tiles: jax.ShapeDtypeStruct) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of the outputs for tiles of this shape, traced anew."""
        return jax.tree.leaves(self.returned(tiles))

    def returned(self, tiles: jax.ShapeDtypeStruct) -> Any:
        """Likewise, in the pytree that the function returns."""
        # A function made here: JAX would not trace one that it knows again, even where it has changed since.
        fresh = lambda arrays, x: _rebuilt(arrays, self.program)(x)  # noqa: E731
        return jax.eval_shape(fresh, self._avals, tiles)

    def memory_estimate(self, tiles: jax.ShapeDtypeStruct) -> MemoryEstimate:
        """Memory of one call without its crop, as XLA estimates it; on a CPU, with what XLA is known to leave out."""
        traced = self.traced(tiles)
        analysis = traced.lower().compile().memory_analysis()
        if analysis is None:
            fail("memory_bytes", "a backend that estimates memory", jax.default_backend(), "give `tile` instead")
        left_out = copied_windows(traced.jaxpr) if jax.default_backend() == "cpu" else 0
        tile_bytes = math.prod(tiles.shape) * tiles.dtype.itemsize
        return MemoryEstimate(
            parameters=int(analysis.argument_size_in_bytes) - tile_bytes,
            tiles=tile_bytes,
            outputs=int(analysis.output_size_in_bytes),
            temporary=int(analysis.temp_size_in_bytes) + left_out,
        )

    def traced(self, tiles: jax.ShapeDtypeStruct) -> Any:
        """One call without its crop, traced."""
        return _whole.trace(self._avals, tiles, self.program)

    @property
    def _avals(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        return tuple(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in self.arrays)


class _Leaf:
    """A leaf of a function, as part of a program: equal only to itself, since it may be unhashable or an array."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Leaf) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


@partial(jax.jit, static_argnames=("program", "crops", "places", "sharding"))
def _cropped(
    arrays: Any,
    tiles: Array,
    starts: Array | None,
    program: Any,
    crops: tuple[Crop, ...],
    places: tuple[int, ...],
    sharding: NamedSharding | None,
) -> Any:
    if sharding is not None:
        tiles = jax.lax.with_sharding_constraint(tiles, sharding)
    outputs, tree = jax.tree_util.tree_flatten(_whole(arrays, tiles, program))
    if starts is None:
        indices = [(slice(None), *(slice(start, stop) for start, stop in crop)) for crop in crops]
        kept = {k: outputs[k][index] for k, index in zip(places, indices, strict=True)}
    else:
        sizes = [tuple(stop - start for start, stop in crop) for crop in crops]
        kept = {k: _moving_crop(outputs[k], starts[:, j], sizes[j]) for j, k in enumerate(places)}
    return jax.tree_util.tree_unflatten(tree, [kept.get(k) for k in range(len(outputs))])


def _moving_crop(outputs: Array, starts: Array, size: tuple[int, ...]) -> Array:
    """So many pixels of each tile's output, from its own start on."""
    tiles = outputs.reshape(len(starts), -1, *outputs.shape[1:])

    def cut(tile: tuple[Array, Array]) -> Array:
        y, start = tile
        return jax.lax.dynamic_slice(y, (0, *start, 0), (y.shape[0], *size, y.shape[-1]))

    # One after the other: several starts at once would make a gather, which XLA's CPU backend does element by element.
    return jax.lax.map(cut, (tiles, starts)).reshape(-1, *size, outputs.shape[-1])


@partial(jax.jit, static_argnames=("program",))
def _whole(arrays: Any, tiles: Array, program: Any) -> Any:
    return _rebuilt(arrays, program)(tiles)


def _rebuilt(arrays: Any, program: Any) -> Fn:
    leaves, tree, _ = program
    return put_together(arrays, [leaf.value for leaf in leaves], tree)
