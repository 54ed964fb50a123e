"""How an array is stored: its axes, shape and type, and chunks of which no two tiles share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shiftjax._checks import fail, type_of_numbers
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._sources.ome_zarr import Geometry
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage import bfloat16

CHUNK_BYTES = 2**22  # uncompressed; larger tiles are stored as several chunks, for readers that want a small part


@dataclass(frozen=True)
class Layout:
    """An array to be written.

    Attributes:
        axes: letters in the order t, c, z, y, x.
        shape: one length for each axis.
        chunks: likewise.
        dtype: name of its type.
        geometry: of its pixels.
        zarr_format: 2 (OME-Zarr 0.4) or 3 (OME-Zarr 0.5).
        assumed: the axes of the source, where nobody has named them; None where somebody has.
    """

    axes: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    geometry: Geometry = field(default_factory=Geometry)
    zarr_format: int = 3
    assumed: str | None = None


@dataclass(frozen=True)
class Pixels:
    """Pixels that need not be those of the source, per spatial axis.

    Attributes:
        size: their number.
        stride: pixels of the source per pixel.
        place: where the middle of pixel 0 lies, in pixels of the source from the middle of its pixel 0.
    """

    size: tuple[int, ...]
    stride: tuple[float, ...]
    place: tuple[float, ...]


def layout(
    source: Source,
    tile: Sequence[int],
    channels: int | None,
    dtype: str,
    zarr_format: int | None = None,
    pixels: Pixels | None = None,
) -> Layout:
    """The layout of an array on the pixels of `source`, or on others that lie over it.

    Args:
        source: whose time points, space and pixel sizes it takes over.
        tile: pixels that a tile writes, per spatial axis. Chunks divide it, so that no two tiles share one: tiles may
            then be written in any order, by several processes, and a kill spoils no other tile's pixels.
        channels: length of c; None for no such axis (labels).
        dtype: such as "float32", "bfloat16" or "uint64".
        zarr_format: 2 or 3; by default the source's, else 3.
        pixels: of the array, if not those of the source.

    Raises:
        ValueError: no such type, or bfloat16 in Zarr v2.
    """
    native = native_dtype(dtype)
    chosen_format = zarr_format or source.zarr_format or 3
    if chosen_format == 2 and native.name == bfloat16.NAME:
        fail("dtype", "a type that Zarr v2 has", bfloat16.NAME, "write Zarr v3 with `zarr_format=3`")
    width = 1 if channels is None else channels
    lengths = {**dict(zip(source.axes, source.array.shape, strict=True)), "c": width}
    geometry = source.geometry
    if pixels is not None:
        lengths |= dict(zip(source.space_axes, pixels.size, strict=True))
        geometry = _over(source, pixels)
    # Images of one frame: a plane of its own, or a time point, is never in a chunk with another.
    chunks = {"z": 1, "c": width, "t": 1}
    chunks |= dict(zip(source.space_axes, _chunk(tile, width * native.itemsize), strict=True))
    present = {*source.axes.replace("c", ""), *("" if channels is None else "c")}  # but not those that are left out
    axes = "".join(name for name in axis_names.ORDER if name in present)
    shape, chunk = (tuple(int(sizes[name]) for name in axes) for sizes in (lengths, chunks))
    assumed = source.axes.replace(axis_names.LEFT_OUT, "") if source.assumed else None
    return Layout(axes, shape, chunk, native.name, geometry, chosen_format, assumed)


def _over(source: Source, pixels: Pixels) -> Geometry:
    """Where pixels lie in the world that need not be those of the source."""
    own = source.geometry
    scale, translation = dict(own.scale), dict(own.translation)
    for name, stride, place in zip(source.space_axes, pixels.stride, pixels.place, strict=True):
        width = own.scale.get(name, 1.0)
        if stride != 1:
            scale[name] = width * stride
        if place:
            translation[name] = own.translation.get(name, 0.0) + width * place
    return Geometry(scale, translation, own.units)


def native_dtype(name: str) -> np.dtype:
    """NumPy's type of this name, bfloat16 included.

    Raises:
        ValueError: there is none.
    """
    bfloat16.register()  # so that NumPy knows the name
    return type_of_numbers("dtype", name)


def _chunk(tile: Sequence[int], width: int) -> tuple[int, ...]:
    """A tile halved (or cut by its smallest factor) along its longest axis until a chunk of it is small.

    Args:
        tile: pixels per axis.
        width: bytes per pixel.
    """
    chunk = list(tile)
    while np.prod(chunk, dtype=np.int64) * width > CHUNK_BYTES:
        axis = int(np.argmax(chunk))
        factor = next((f for f in (2, 3, 5, 7) if chunk[axis] % f == 0), None)
        if factor is None:
            break
        chunk[axis] //= factor
    return tuple(chunk)
