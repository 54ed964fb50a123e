"""Axes and pixels moved about, repeated, joined and cut; nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from shiftjax._arithmetic import ceil_div
from shiftjax.translation._torch._operations.table import Unsupported, operation

Shape = Sequence[int]


@operation("view", "reshape", "_unsafe_view", "_reshape_copy", "view_copy")
def reshape(x: Any, shape: Shape) -> Any:
    """The same numbers in another shape."""
    return x.reshape(tuple(shape))


@operation("permute", "permute_copy")
def permute(x: Any, dims: Shape) -> Any:
    """Axes in another order."""
    return jnp.transpose(x, [k % x.ndim for k in dims])


@operation("transpose.int", "transpose_copy.int", "swapaxes")
def transpose(x: Any, first: int, second: int) -> Any:
    """Two axes exchanged."""
    return jnp.swapaxes(x, first, second) if x.ndim else x


operation("t", "t_copy", "numpy_T")(lambda x: x.T)


@operation("movedim.int")
def movedim(x: Any, source: int, destination: int) -> Any:
    """An axis moved elsewhere."""
    return jnp.moveaxis(x, source, destination)


@operation("flatten.using_ints")
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Axes joined to one."""
    if x.ndim == 0:
        return x.reshape(1)
    first, last = start_dim % x.ndim, end_dim % x.ndim
    return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])


@operation("unflatten.int")
def unflatten(x: Any, dim: int, sizes: Shape) -> Any:
    """An axis cut into several."""
    at = dim % x.ndim
    return x.reshape(*x.shape[:at], *sizes, *x.shape[at + 1 :])


@operation("squeeze.default", "squeeze_copy.default")
def squeeze_all(x: Any) -> Any:
    """Without the axes of size 1."""
    return jnp.squeeze(x)


@operation("squeeze.dim", "squeeze.dims", "squeeze_copy.dim", "squeeze_copy.dims")
def squeeze(x: Any, dim: int | Shape) -> Any:
    """Without those of these axes that have size 1."""
    dims = [dim] if isinstance(dim, int) else dim
    return jnp.squeeze(x, tuple(k % x.ndim for k in dims if x.ndim and x.shape[k] == 1))


@operation("unsqueeze", "unsqueeze_copy")
def unsqueeze(x: Any, dim: int) -> Any:
    """With one more axis of size 1."""
    return jnp.expand_dims(x, dim)


@operation("expand", "expand_copy")
def expand(x: Any, size: Shape, *, implicit: bool = False) -> Any:
    """Repeated along axes of size 1; -1 leaves an axis as it is."""
    more = len(size) - x.ndim
    shape = [x.shape[k - more] if n == -1 else n for k, n in enumerate(size)]
    return jnp.broadcast_to(x, shape)


operation("expand_as")(lambda x, other: jnp.broadcast_to(x, other.shape))
operation("view_as", "reshape_as")(lambda x, other: x.reshape(other.shape))


@operation("repeat", "tile")
def repeat(x: Any, repeats: Shape) -> Any:
    """Copies side by side."""
    return jnp.tile(x, tuple(repeats))


@operation("repeat_interleave.self_int")
def repeat_interleave(x: Any, repeats: int, dim: int | None = None, *, output_size: int | None = None) -> Any:
    """Each entry so many times."""
    return jnp.repeat(x, repeats, dim)


@operation("cat", "concat", "concatenate")
def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Joined along an axis; PyTorch leaves out empty vectors."""
    parts = [t for t in tensors if t.shape != (0,)]
    return jnp.concatenate(parts, dim) if parts else tensors[0]


@operation("stack")
def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Joined along a new axis."""
    return jnp.stack(tensors, dim)


@operation("split.Tensor")
def split(x: Any, split_size: int, dim: int = 0) -> Any:
    """Cut into parts of one size, the last of which may be smaller."""
    starts = range(0, max(x.shape[dim], 1), split_size)
    return [lax.slice_in_dim(x, a, min(a + split_size, x.shape[dim]), axis=dim) for a in starts]


@operation("split_with_sizes", "split.sizes")
def split_with_sizes(x: Any, split_sizes: Shape, dim: int = 0) -> Any:
    """Cut into parts of these sizes."""
    ends = [sum(split_sizes[: k + 1]) for k in range(len(split_sizes))]
    return [lax.slice_in_dim(x, end - size, end, axis=dim) for size, end in zip(split_sizes, ends, strict=True)]


@operation("chunk")
def chunk(x: Any, chunks: int, dim: int = 0) -> Any:
    """Cut into at most so many parts."""
    return split(x, max(ceil_div(x.shape[dim], chunks), 1), dim)


@operation("unbind.int")
def unbind(x: Any, dim: int = 0) -> Any:
    """The parts along an axis, without it."""
    return [lax.index_in_dim(x, k, dim, keepdims=False) for k in range(x.shape[dim])]


def _bounds(n: int, start: int | None, end: int | None, step: int) -> tuple[int, int, int]:
    return slice(start, end, step).indices(n)


@operation("slice.Tensor", "slice_copy.Tensor")
def slice_along(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    """Part of an axis."""
    first, last, step = _bounds(x.shape[dim], start, end, step)
    return lax.slice_in_dim(x, first, max(first, last), step, dim)


@operation("slice_scatter")
def slice_scatter(
    x: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """x with part of an axis replaced: what writing into a slice becomes."""
    n = x.shape[dim]
    first, last, step = _bounds(n, start, end, step)
    src = src.astype(x.dtype)
    if (first, last, step) == (0, n, 1):
        return src
    if step == 1:
        before, after = lax.slice_in_dim(x, 0, first, axis=dim), lax.slice_in_dim(x, max(first, last), n, axis=dim)
        return jnp.concatenate([before, src, after], dim)
    return x.at[(*(slice(None),) * (dim % x.ndim), slice(first, last, step))].set(src)


@operation("select.int", "select_copy.int")
def select(x: Any, dim: int, index: int) -> Any:
    """One entry of an axis, without it."""
    return lax.index_in_dim(x, index, dim, keepdims=False)


@operation("select_scatter")
def select_scatter(x: Any, src: Any, dim: int, index: int) -> Any:
    """x with one entry of an axis replaced."""
    at = index % x.shape[dim]
    return slice_scatter(x, jnp.expand_dims(src, dim), dim, at, at + 1)


@operation("narrow")
def narrow(x: Any, dim: int, start: int, length: int) -> Any:
    """Part of an axis."""
    return slice_along(x, dim, start, start + length if start >= 0 else start % x.shape[dim] + length)


@operation("flip")
def flip(x: Any, dims: Shape) -> Any:
    """Mirrored along axes."""
    return jnp.flip(x, tuple(dims))


@operation("roll")
def roll(x: Any, shifts: Shape, dims: Shape = ()) -> Any:
    """Moved round in a circle."""
    if not dims:
        return jnp.roll(x, shifts[0])
    return jnp.roll(x, tuple(shifts), tuple(dims))


def _widths(x: Any, pad: Shape) -> list[tuple[int, int]]:
    """PyTorch's pairs begin with the last axis."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    return [(0, 0)] * (x.ndim - len(pairs)) + pairs


def _cut(x: Any, widths: list[tuple[int, int]]) -> Any:
    """Negative widths take pixels off."""
    return x[tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, widths, strict=True))]


def _padded(x: Any, pad: Shape, mode: str, value: float | None = None) -> Any:
    widths = _widths(x, pad)
    more = [(max(0, a), max(0, b)) for a, b in widths]
    if mode == "reflect":  # which mirrors pixels that are taken off, too
        return _cut(jnp.pad(x, more, mode=mode), widths)
    kept = _cut(x, widths)
    return jnp.pad(kept, more, constant_values=value or 0) if mode == "constant" else jnp.pad(kept, more, mode=mode)


@operation("constant_pad_nd")
def constant_pad(x: Any, pad: Shape, value: float = 0) -> Any:
    """With a value beyond the border."""
    return _padded(x, pad, "constant", value)


MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@operation("pad")
def pad_by_mode(x: Any, pad: Shape, mode: str = "constant", value: float | None = None) -> Any:
    """With what the mode says beyond the border."""
    if mode not in MODES:
        raise Unsupported(f"padding of mode {mode!r}")
    return _padded(x, pad, MODES[mode], value)


operation("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")(lambda x, padding: _padded(x, padding, "reflect"))
operation("replication_pad1d", "replication_pad2d", "replication_pad3d")(lambda x, padding: _padded(x, padding, "edge"))


@operation("clone", "contiguous", "lift_fresh_copy", "lift_fresh", "alias", "alias_copy", "detach", "detach_copy")
def same(x: Any, *, memory_format: Any = None) -> Any:
    """Nothing: where numbers lie in memory is no business of a function."""
    return x
