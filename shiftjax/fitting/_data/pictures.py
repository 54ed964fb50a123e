"""Images and labels as users have them: arrays, lists of arrays, TIFF files and folders, volumes of any format."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shiftjax._checks import array, fail, shown
from shiftjax._numbering import consecutive
from shiftjax.volume import Source, open_source

TIFF = (".tif", ".tiff")
AXES = {1: "x", 2: "yx", 3: "zyx"}
STORES = {"zarr.json", ".zarray", ".zgroup", ".zattrs", "attributes.json"}  # files by which a folder is a volume
IN_MEMORY = 2**30  # bytes: smaller images are read once and kept, windows of larger ones are read when they are drawn
LONGEST = 300  # characters of a path in an error

Read = Callable[[tuple[slice, ...]], np.ndarray]


@dataclass(frozen=True)
class Picture:
    """One image, or its labels, of which any block of pixels can be read.

    Attributes:
        name: for messages.
        space: pixels per spatial axis.
        channels: how many.
        dtype: of the pixels.
        read: slices of the spatial axes -> `(1, *space, channel)`.
        source: that it comes from, to measure its intensities.
    """

    name: str
    space: tuple[int, ...]
    channels: int
    dtype: np.dtype
    read: Read
    source: Source

    @property
    def everything(self) -> tuple[slice, ...]:
        """The slices of the whole."""
        return tuple(slice(0, n) for n in self.space)

    @property
    def nbytes(self) -> int:
        """Bytes of all its pixels."""
        return int(np.prod(self.space, dtype=np.int64)) * self.channels * self.dtype.itemsize

    def part(self, slices: tuple[slice, ...]) -> Picture:
        """A part as a picture of its own; beyond its border nothing is read."""
        space = tuple(at.stop - at.start for at in slices)

        def read(inner: tuple[slice, ...]) -> np.ndarray:
            moved = (slice(at.start + a.start, at.start + a.stop) for at, a in zip(slices, inner, strict=True))
            return self.read(tuple(moved))

        return replace(self, space=space, read=read)

    def kept(self) -> Picture:
        """The same, read into memory if it is small."""
        if self.nbytes > IN_MEMORY:
            return self
        pixels = self.read(self.everything)
        return self.holding(pixels)

    def numbered(self) -> Picture:
        """Labels as 0, 1, 2... in int32, read into memory if they are small; 0 stays 0."""
        if self.nbytes > IN_MEMORY:
            return self
        labels = self.read(self.everything)
        return self.holding(consecutive(labels) if labels.min(initial=0) >= 0 else labels)

    def holding(self, pixels: np.ndarray) -> Picture:
        """The same with these pixels `(1, *space, channel)`."""
        return replace(self, dtype=pixels.dtype, read=lambda slices: pixels[(slice(None), *slices)])


def pictures_of(
    name: str, value: Any, *, axes: str | None = None, channel: int | None = None, of_arrays: str | None = None
) -> list[Picture]:
    """What a user gives as `images` or `labels`.

    Args:
        name: of the argument.
        value: an array, a path, a `Source`, or a list of these.
        axes: as letters, as `open_source` takes them.
        channel: the only one that is seen.
        of_arrays: what is taken for the axes of arrays, where `axes` is None.

    Raises:
        ValueError: nothing there, or nothing that is an image.
    """
    seen: dict[str, Any] = {"axes": axes, "channel": channel}
    if isinstance(value, list | tuple):
        if not value:
            fail(name, "at least one image", "an empty list")
        items = [pictures_of(f"{name}[{k}]", item, **seen, of_arrays=of_arrays) for k, item in enumerate(value)]
        return [picture for pictures in items for picture in pictures]
    if isinstance(value, str | Path):
        paths = tiff_folder(value) or [_checked(name, os.fspath(value))]
        return [picture for path in paths for picture in _stored(name, path, seen)]
    if not hasattr(value, "shape") and hasattr(value, "__array_interface__"):  # an image of Pillow
        value = np.asarray(value)
    if isinstance(value, Source):
        return _frames(name, open_source(value, **seen), value.name)
    if isinstance(value, np.ndarray | jax.Array):
        checked = np.asarray(array(name, value))
        if (axes is None and checked.ndim not in (1, 2, 3, 4)) or 0 in checked.shape:
            fail(name, "an image of one to three axes, and one more for channels", f"shape {checked.shape}")
        letters = axes if axes is not None else of_arrays or AXES.get(checked.ndim)
        return _frames(name, open_source(checked, axes=letters, channel=channel), name)
    if not all(hasattr(value, attribute) for attribute in ("shape", "dtype", "__getitem__")):
        fail(name, "an array, a path, or a list of them", shown(value))
    return _frames(name, open_source(value, **seen), name)


def ndim_of(value: Any) -> int | None:
    """Axes of an array, or of the first of a list; None for what is read from elsewhere."""
    if isinstance(value, list | tuple) and value:
        return ndim_of(value[0])
    return np.ndim(value) if isinstance(value, np.ndarray | jax.Array) else None


def _frames(name: str, source: Source, title: str) -> list[Picture]:
    """Each image of a source: time points, and planes where each is an image of its own."""
    if np.issubdtype(source.dtype, np.complexfloating):
        fail(name, "real numbers", f"{source.dtype} in {title}")
    return [
        Picture(title + source.describe(k), source.space, source.channels, source.dtype, source.at(k), source)
        for k in range(source.times)
    ]


def _stored(name: str, path: str, seen: dict[str, Any]) -> list[Picture]:
    """The images at a path; small ones are read, and their file is closed: a folder may hold thousands."""
    title = os.path.basename(path) if path.lower().endswith(TIFF) else path
    try:
        source = open_source(path, **seen)
    except ValueError as error:  # some are of its axes, and do not name it
        if title in str(error):
            raise
        raise ValueError(f"{str(error).rstrip('.')} (in {title}).") from error
    pictures = [picture.kept() for picture in _frames(name, source, title)]
    if all(picture.nbytes <= IN_MEMORY for picture in pictures) and hasattr(source.array, "store"):
        source.array.store.close()
    return pictures


def _checked(name: str, path: str) -> str:
    """A path where something is that may be an image."""
    if "://" in path or "\0" in path or not path:
        return path  # `open_source` says more
    expected = "a folder of TIFF files (.tif, .tiff), a TIFF file or a Zarr volume"
    at = next((p for p in (Path(path), *Path(path).parents) if os.path.exists(p)), None)  # `p.exists()` may raise
    if at is None or (at.is_dir() and at != Path(path) and at == Path(path).parent):
        fail(name, expected, f"nothing at {path[:LONGEST]!r}")
    if os.path.isdir(path) and not STORES & set(os.listdir(path)):
        mend = "convert images of other formats first, or read them yourself and give a list of arrays"
        fail(name, expected, f"a folder without any of these, {path!r}", mend)
    return path


def tiff_folder(path: str | Path) -> list[str] | None:
    """The TIFF files of a folder, as people count: 2 before 10; None for what is no such folder."""
    folder = os.fspath(path)
    if not os.path.isdir(folder) or os.path.exists(os.path.join(folder, "zarr.json")):
        return None
    names = [n for n in os.listdir(folder) if n.lower().endswith(TIFF) and not n.startswith(".")]
    return [os.path.join(folder, n) for n in sorted(names, key=_counted)] or None


def _counted(name: str) -> list[Any]:
    return [int(word) if word.isdecimal() else word.lower() for word in re.split(r"(\d+)", name)]


def numbers_in(name: str) -> Sequence[str]:
    """The numbers in a file's name, by which images and labels are compared."""
    return [str(int(word)) for word in re.findall(r"\d+", Path(name).stem)]


def blocks(picture: Picture, *, size: int = 2**24) -> Iterator[tuple[slice, ...]]:
    """The pixels of a picture in slabs along its first axis, of about `size` pixels."""
    step = max(1, size // max(1, int(np.prod(picture.space[1:], dtype=np.int64))))
    rest = picture.everything[1:]
    for start in range(0, picture.space[0], step):
        yield (slice(start, min(start + step, picture.space[0])), *rest)
