"""The image that statistics are taken of, wherever it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import array, concrete, fail, images, shown
from shiftjax.tiling import TilePlan, read_window
from shiftjax.volume import Source, open_source

Slices = tuple[slice, ...]
BLOCKS, BLOCK = 16, 16  # sampled blocks, and pixels per axis of each: as few as are read quickly after every pass


@dataclass(frozen=True)
class Picture:
    """An image `(batch, *space, channel)` that is read in windows.

    Attributes:
        shape: of the image.
        dtype: in which it is read.
        identity: what tells it from other images.
        read: gives the pixels of slices within it, one per spatial axis.
    """

    shape: tuple[int, ...]
    dtype: Any
    identity: str
    read: Callable[[Slices], np.ndarray]

    @property
    def space(self) -> tuple[int, ...]:
        return self.shape[1:-1]

    def part(self, region: Sequence[slice]) -> Picture:
        """A part of it as an image of its own."""
        read = _OfPart(self.read, tuple(r.start for r in region))
        space = [r.stop - r.start for r in region]
        identity = f"{self.identity}, pixels {[(r.start, r.stop) for r in region]}"
        return Picture((self.shape[0], *space, self.shape[-1]), self.dtype, identity, read)

    def padded(self, width: Sequence[tuple[int, int]], pad: str) -> Picture:
        """The image continued beyond its border, as `jnp.pad` does."""
        read = _OfPadded(self.read, self.space, tuple(a for a, _ in width[1:-1]), pad)
        identity = f"{self.identity}, padded by {pad} {[tuple(w) for w in width]}"
        space = [n + a + b for n, (a, b) in zip(self.space, width[1:-1], strict=True)]
        return Picture((self.shape[0], *space, self.shape[-1]), self.dtype, identity, read)

    def sample(self) -> str:
        """Digest of blocks drawn over the image, always the same ones, by which pixels are seen to have changed."""
        draw, digest = np.random.default_rng(0), hashlib.blake2b(digest_size=12)
        for _ in range(BLOCKS):
            starts = [int(draw.integers(max(1, n - BLOCK + 1))) for n in self.space]
            block = self.read(tuple(slice(a, min(a + BLOCK, n)) for a, n in zip(starts, self.space, strict=True)))
            digest.update(np.ascontiguousarray(block).view(np.uint8).data)
        return digest.hexdigest()

    def tile(self, plan: TilePlan, tile: tuple[int, ...]) -> np.ndarray:
        """The input of a tile.

        Raises:
            ValueError: NaN or infinity in it, and where.
        """
        start = plan.input_start(tile)
        slices = tuple(slice(a, a + n) for a, n in zip(start, plan.tile_input, strict=True))
        pixels = self.read(slices)
        if jnp.issubdtype(pixels.dtype, jnp.inexact) and not np.isfinite(pixels).all():
            block = ", ".join(f"{s.start}:{s.stop}" for s in slices)
            bad = int(pixels.size - np.isfinite(pixels).sum())
            fail(
                "image", "finite values", f"{bad} that are NaN or infinite in pixels [{block}]", "clean the image first"
            )
        return pixels


def picture(image: Any, dtype: Any | None, axes: str | None, channel: int | None) -> Picture:
    """The image that is given, or that lies at an address.

    Args:
        image: an array `(batch, *space, channel)`, or what `shiftjax.volume.open_source` takes.
        dtype: in which a volume is read; None for its own, which an array keeps anyway.
        axes: of a volume.
        channel: of a volume.
    """
    if isinstance(image, np.ndarray | jax.Array | list | tuple | np.generic | int | float | jax.ShapeDtypeStruct):
        for name, value in (("axes", axes), ("channel", channel)):
            if value is not None:
                fail(name, "nothing beside an array (batch, *space, channel)", shown(value))
        found = array("image", image)
        images("image", found)
        _check_real(found.dtype)
        known = concrete(found)
        if known is None:
            mend = "call this outside of `jax.jit`; the function that it returns may be called inside"
            fail("image", "an array with values", "one that JAX is tracing", mend)
        host = in_type(known, jax.dtypes.canonicalize_dtype(known.dtype))
        identity = hashlib.blake2b(np.ascontiguousarray(host).view(np.uint8).data, digest_size=12).hexdigest()
        return Picture(host.shape, host.dtype, identity, _OfArray(host))
    if not isinstance(image, str | Path | Source) and not hasattr(image, "shape"):
        fail("image", "an array, or the path or URI of a volume", shown(image))
    return _volume(open_source(image, axes=axes, channel=channel), dtype)


def _volume(source: Source, wanted: Any | None) -> Picture:
    dtype = np.dtype(source.dtype if wanted is None else wanted)
    if source.times != 1:
        found = f"{source.times} time points or planes of {source.name}"
        fail("image", "one image", found, "open them as arrays and freeze the statistics of each")
    _check_real(source.dtype)
    own = jax.dtypes.canonicalize_dtype(source.dtype)  # whether that holds the values is seen as they are read
    if not (jnp.issubdtype(dtype, jnp.floating) or np.can_cast(own, dtype, "safe")):
        fail("image", f"values that {dtype} holds", source.dtype, f"make the plan with dtype={str(own)!r}")
    shape = (1, *source.space, source.channels)
    return Picture(shape, np.dtype(dtype), source.stamp, _OfVolume(source, np.dtype(dtype)))


def in_type(pixels: np.ndarray, dtype: Any) -> np.ndarray:
    """The same pixels in another type; floats may be rounded.

    Raises:
        ValueError: integers that it does not hold.
    """
    found = pixels.astype(dtype, copy=False)
    if found is not pixels and not jnp.issubdtype(found.dtype, jnp.floating) and not np.array_equal(found, pixels):
        fail("image", f"values that {found.dtype} holds", pixels.dtype, "scale them, or store them as floats")
    return found


def _check_real(dtype: Any) -> None:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        fail("image", "real numbers", dtype, "give real and imaginary parts as channels")


# How each kind of image is read, in any process that it is sent to.


@dataclass(frozen=True)
class _OfArray:
    pixels: np.ndarray

    def __call__(self, slices: Slices) -> np.ndarray:
        found: np.ndarray = self.pixels[(slice(None), *slices)]
        return found


@dataclass(frozen=True)
class _OfVolume:
    source: Source
    dtype: np.dtype

    def __call__(self, slices: Slices) -> np.ndarray:
        return in_type(self.source.at()(slices), self.dtype)


@dataclass(frozen=True)
class _OfPart:
    read: Callable[[Slices], np.ndarray]
    starts: tuple[int, ...]

    def __call__(self, slices: Slices) -> np.ndarray:
        return self.read(tuple(slice(a + s.start, a + s.stop) for a, s in zip(self.starts, slices, strict=True)))


@dataclass(frozen=True)
class _OfPadded:
    read: Callable[[Slices], np.ndarray]
    space: tuple[int, ...]
    before: tuple[int, ...]
    pad: str

    def __call__(self, slices: Slices) -> np.ndarray:
        start = [s.start - a for a, s in zip(self.before, slices, strict=True)]
        return read_window(self.read, self.space, start, [s.stop - s.start for s in slices], self.pad)
