"""TIFF: the first image of a file, or a folder of files; axes, and pixel sizes as ImageJ and OME write them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._sources.axes import letters
from shiftjax.volume._sources.ome_zarr import UNITS, Geometry
from shiftjax.volume._sources.stored import Stored
from shiftjax.volume._sources.tiff_whole import check_whole, other_files
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.uri import is_local, open_binary

ENDINGS = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".svs", ".ndpi", ".qptiff", ".stk")
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two of files beyond 4 GiB


def is_tiff(name: str) -> bool:
    """Whether a path is that of a TIFF file."""
    return name.partition("::")[0].lower().endswith(ENDINGS)  # of a chain of file systems the first is the file


def open_level(path: str, level: int, storage_options: dict[str, Any] | None = None) -> Stored:
    """The first image of a TIFF file, by path or URI.

    Args:
        path: of the file.
        level: of a pyramid; 0 is the finest.
        storage_options: for the file system.

    Raises:
        ValueError: no TIFF file, or no such level.
    """
    zarr = require("zarr", "volume")
    with _opened(path, storage_options) as file:
        check_whole(file, path)
        try:
            series, images = file.series[0], len(file.series)
            levels = len(series.levels)
            if level < levels:
                array = zarr.open(series.aszarr(level=level, read_only=True), mode="r")
            geometry = _geometry(file) if not level else Geometry()  # TIFF does not tell that of other levels
        except Exception as error:  # a damaged file fails in many ways
            fail("source", "a TIFF file", f"none at {path!r} ({reason(error)})")
    if level >= levels:
        fail("level", f"0 to {levels - 1}", level)
    more = f"the first of the file's {images} images" if images > 1 else ""
    samples = tuple(k for k, name in enumerate(series.axes) if name == "S")
    return Stored(array, _letters(series.axes), geometry, _said(series.axes), samples, remark=more)


def _opened(path: str, storage_options: dict[str, Any] | None = None) -> Any:
    """A file of tifffile, which closes it as a context manager."""
    tifffile = require("tifffile", "volume")
    try:
        return tifffile.TiffFile(path if is_local(path) else open_binary(path, storage_options))
    except Exception as error:  # a damaged file fails in many ways
        fail("source", "a TIFF file", f"none at {path!r} ({reason(error)})")


def _letters(axes: str) -> str:
    """TIFF's letters as ours: samples of a pixel are channels; Q, I and others name nothing."""
    return letters(axes.replace("S", "C"))


def _said(axes: str) -> str:
    words = {"Q": "an axis without a meaning", "I": "a sequence of images", "S": "samples of a pixel"}
    meanings = ", ".join(f"{name} is {words[name]}" for name in axes if name in words)
    return f"{axes!r}" + (f" ({meanings})" if meanings else "")


@dataclass(frozen=True)
class Stack:
    """The images of TIFF files of one shape, one after the other along a first axis.

    Attributes:
        files: paths, in order.
        shape: files, then the axes of one.
        dtype: of all.
    """

    files: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """What is read at a time: a file."""
        return (1, *self.shape[1:])

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        return np.stack([self._read(path)[index[1:]] for path in self.files[index[0]]])

    def _read(self, path: str) -> np.ndarray:
        with require("tifffile", "volume").TiffFile(path) as file:  # not `imread`, to which names may be patterns
            image = file.series[0].asarray()
        if image.shape != self.shape[1:] or image.dtype != self.dtype:
            expected = f"{self.dtype} of shape {self.shape[1:]} as in the first file of the folder"
            raise VolumeError(f"{path} holds {image.dtype} of shape {image.shape}, not {expected}")
        return image


def files_in(folder: str) -> tuple[str, ...]:
    """The TIFF files in a folder of this machine, sorted as people count: 2 before 10."""
    names = [name for name in os.listdir(folder) if is_tiff(name) and not name.startswith(".")]
    return tuple(os.path.join(folder, name) for name in require("tifffile", "volume").natural_sorted(names))


def open_folder(folder: str) -> Stored:
    """The TIFF files in a folder as one stack; nobody but the user knows whether it counts planes or time points.

    Raises:
        ValueError: the first file is no TIFF file.
    """
    files = files_in(folder)
    _check_apart(files)
    first = open_level(files[0], 0)
    page = tuple(first.array.shape)
    stack = Stack(files, (len(files), *page), np.dtype(first.array.dtype))
    first.array.store.close()
    said = f"a folder of {len(files)} TIFF files, each of axes {first.said}"
    binding = tuple(k + 1 for k in first.binding)
    return Stored(stack, "?" + (first.names or ""), first.geometry, said, binding, remark=_gap(files))


def _check_apart(files: Sequence[str]) -> None:
    """Refuses files each of which is read as the whole image that they hold together."""
    with _opened(files[0]) as file:
        others = other_files(file, files[0])
    if others:
        found = f"{files[0]!r}, which is one image together with {min(others)}"
        fail("source", "a folder of TIFF files that are images of their own", found, "name one of the files instead")


def _gap(files: Sequence[str]) -> str:
    """What to say where a file may be missing: where the one number that differs in their names counts unevenly."""
    names = [os.path.basename(path) for path in files]
    parts = [re.split(r"(\d+)", name) for name in names]
    columns = list(zip(*parts, strict=False)) if len({len(part) for part in parts}) == 1 else []
    differing = [column for column in columns if len(set(column)) > 1]
    if len(differing) != 1 or not all(part.isdecimal() for part in differing[0]):
        return ""
    steps = [int(after) - int(before) for before, after in pairwise(differing[0])]
    if len(set(steps)) < 2:
        return ""
    k = next(k for k, step in enumerate(steps) if step > min(steps))
    return f"its files do not count evenly: between {names[k]} and {names[k + 1]} one may be missing"


def _geometry(file: Any) -> Geometry:
    """Pixel sizes of the finest level, as OME or ImageJ wrote them."""
    if file.is_ome:
        return _of_ome(file.ome_metadata)
    if file.is_imagej:
        return _of_imagej(file.imagej_metadata, file.pages[0].tags)
    return Geometry()


def _of_ome(xml: str) -> Geometry:
    try:
        pixels = next((each for each in ElementTree.fromstring(xml).iter() if each.tag.endswith("}Pixels")), None)
    except ElementTree.ParseError:
        return Geometry()
    attributes = {} if pixels is None else pixels.attrib
    keys = {axis: f"PhysicalSize{axis.upper()}" for axis in "zyx"} | {"t": "TimeIncrement"}
    scale = {axis: _positive(attributes.get(key)) for axis, key in keys.items()}
    units = {axis: attributes.get(f"{key}Unit", "s" if axis == "t" else "µm") for axis, key in keys.items()}
    return _known(scale, units)


def _of_imagej(metadata: Mapping[str, Any], tags: Any) -> Geometry:
    scale = {"z": _positive(metadata.get("spacing")), "t": _positive(metadata.get("finterval"))}
    for axis, key in (("y", "YResolution"), ("x", "XResolution")):  # pixels per unit, as a fraction
        numerator, denominator = tags[key].value if key in tags else (0, 0)
        scale[axis] = _positive(denominator / numerator if numerator else None)
    return _known(scale, dict.fromkeys("zyx", str(metadata.get("unit", ""))) | {"t": "s"})


def _positive(text: Any) -> float | None:
    """A size; None where it is missing or means nothing."""
    try:
        size = float(text)
    except (TypeError, ValueError):
        return None
    return size if math.isfinite(size) and size > 0 else None


def _known(scale: Mapping[str, float | None], units: Mapping[str, str]) -> Geometry:
    """The geometry of the axes whose pixel size is known."""
    sizes = {axis: size for axis, size in scale.items() if size is not None}
    return Geometry(sizes, {}, {axis: UNITS[units[axis]] for axis in sizes if units[axis] in UNITS})
