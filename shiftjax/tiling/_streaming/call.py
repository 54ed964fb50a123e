"""One step of a stream, compiled once. The state stays on the device, and the next step reuses its memory."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import jax

from shiftjax._parameters import put_together
from shiftjax._streams import Stream
from shiftjax._typing import Array
from shiftjax.tiling._compiled import CompiledFunction, Crop, MemoryEstimate
from shiftjax.tiling._xla_cpu_memory import copied_windows

Described = tuple[tuple[int, ...], str]  # shape and type


def derived(function: CompiledFunction, x: Any, axis: int, places: tuple[int, ...], whole: int | None) -> Stream:
    """The stream of a function for an image of this shape, which is derived only once.

    Args:
        function: the function.
        x: shape and type of an image.
        axis: spatial, from 0.
        places: which outputs are needed, as numbers of leaves of what the function returns.
        whole: pixels of the image along the axis, where its ends matter; None where they do not.

    Raises:
        NotStreamable: the function cannot be computed step by step.
    """
    parameters = tuple((tuple(array.shape), str(array.dtype)) for array in function.arrays)
    return _derived(function.program, parameters, tuple(x.shape), str(x.dtype), axis, places, whole)


@lru_cache(maxsize=16)
def _derived(
    program: Any,
    parameters: tuple[Described, ...],
    shape: tuple[int, ...],
    dtype: str,
    axis: int,
    places: Any,
    whole: int | None,
) -> Stream:
    leaves, tree, _ = program
    arrays = [jax.ShapeDtypeStruct(*described) for described in parameters]
    fn = put_together(arrays, [leaf.value for leaf in leaves], tree)
    return Stream(fn, jax.ShapeDtypeStruct(shape, dtype), axis, places, whole)


@partial(jax.jit, static_argnames=("stream",))
def constants(parameters: Any, stream: Stream) -> Any:
    """All that the steps need and that does not depend on the image."""
    return stream.constants(parameters)


@partial(jax.jit, static_argnames=("stream",))
def initial(stream: Stream) -> Any:
    """The state before the first step of a strip."""
    return stream.initial()


@partial(jax.jit, static_argnames=("stream", "crops"), donate_argnums=(1,))
def step(
    constants: Any,
    state: Any,
    pixels: Array,
    at: Array | None,
    starts: Array | None,
    stream: Stream,
    crops: tuple[Crop, ...],
) -> tuple[Any, list[Any]]:
    """The state after a step, and what is kept of its outputs.

    Args:
        constants: from `constants`.
        state: before the step; its memory is used again.
        pixels: the image's next pixels, `(batch, *space, channel)`.
        at: the number of the step, where the image's ends matter; else None.
        starts: `(output, axis)` first pixel of the crop of each output, in place of those of `crops`; the size is the
            same.
        stream: what is computed.
        crops: what is kept of each output, (start, stop) in output pixels per spatial axis.
    """
    state, outputs = stream.advance(constants, state, pixels, at)
    kept = []
    for k, (output, crop) in enumerate(zip(outputs, crops, strict=True)):
        size = [stop - start for start, stop in crop]
        begin = [start for start, _ in crop] if starts is None else list(starts[k])
        kept.append(jax.lax.dynamic_slice(output, (0, *begin, 0), (output.shape[0], *size, output.shape[-1])))
    return state, kept


def traced(function: CompiledFunction, stream: Stream, pixels: jax.ShapeDtypeStruct) -> Any:
    """One step without its crop, traced."""
    parameters = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in function.arrays]
    fixed, held = jax.eval_shape(stream.constants, parameters), jax.eval_shape(stream.initial)
    at = jax.ShapeDtypeStruct((), "int32") if stream.has_ends else None
    return jax.jit(stream.advance, donate_argnums=(1,)).trace(fixed, held, pixels, at)


def memory_estimate(
    function: CompiledFunction, stream: Stream, pixels: jax.ShapeDtypeStruct
) -> tuple[MemoryEstimate, list[int]]:
    """Memory of one step without its crop, as XLA estimates it; the state counts among the temporaries.

    Returns:
        That, and the bytes of each output.
    """
    one = traced(function, stream, pixels)
    analysis = one.lower().compile().memory_analysis()
    fixed, outputs = one.args_info[0][0], one.out_info[1]
    left_out = copied_windows(one.jaxpr) if jax.default_backend() == "cpu" else 0
    total = analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
    total += left_out - analysis.alias_size_in_bytes
    known, image, given = _nbytes(fixed), _nbytes(pixels), list(map(_nbytes, outputs))
    return MemoryEstimate(known, image, sum(given), int(total) - known - image - sum(given)), given


def _nbytes(arrays: Any) -> int:
    return sum(math.prod(array.shape) * array.dtype.itemsize for array in jax.tree.leaves(arrays))
