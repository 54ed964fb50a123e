"""Which format a source is of; each says what it holds in the same words."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from shiftjax._checks import fail, shown
from shiftjax._extras import require
from shiftjax.volume._sources import hdf5, tensors, tiff, zarrs
from shiftjax.volume._sources.axes import letters
from shiftjax.volume._sources.stored import Stored
from shiftjax.volume._storage.casting import of_numbers
from shiftjax.volume._storage.uri import begins_with, is_local

READ_YOURSELF = "open it with a library that reads it and give the array, or convert it to OME-Zarr"
OTHERS = {  # what people try, and what to do instead
    ".npy": "open it with `numpy.load(path, mmap_mode='r')` and give the array",
    ".npz": "open it with `numpy.load(path)` and give one of its arrays",
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".czi", ".nd2", ".lif", ".mrc", ".nii", ".gz", ".nrrd"), READ_YOURSELF),
    ".mat": READ_YOURSELF,
}


def find(source: Any, level: int, storage_options: dict[str, Any] | None) -> Stored:
    """What a source is: an address that `check_uri` has seen, or an object.

    Raises:
        ValueError: nothing there, or nothing that can be read.
        ImportError: the package that reads it is missing.
    """
    if isinstance(source, str):
        return _at(source, level, storage_options)
    if type(source) is np.ndarray:  # no package is needed
        _no_levels(level)
        return Stored(source, None)
    zarr = require("zarr", "volume")
    if isinstance(source, zarr.Group | zarr.Array | require("zarr.abc.store", "volume").Store):
        return zarrs.open_zarr(source, f"the {type(source).__name__} given", level, storage_options)
    _no_levels(level)
    if tensors.is_tensorstore(source):
        return tensors.from_tensorstore(source)
    if not all(hasattr(source, name) for name in ("shape", "dtype", "__getitem__")):
        mend = "put the files into a folder and name it, or give one array" if isinstance(source, list | tuple) else ""
        fail("source", zarrs.EXPECTED, type(source).__name__, mend)
    if isinstance(getattr(source, "_meta", source), np.ma.MaskedArray):  # of dask: what its parts are
        fail("source", "an array without a mask, which would be dropped", "a masked one", "fill it: `.filled(0)`")
    if hasattr(source, "is_virtual"):  # of h5py
        hdf5.check_parts(source)
    names = getattr(source, "dims", None)  # of xarray; of h5py, where it is no tuple, by the dataset's labels
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return Stored(source, None)
    return Stored(source, letters(names), said=repr(list(names)))


def _at(uri: str, level: int, storage_options: dict[str, Any] | None) -> Stored:
    if is_local(uri) and any(letter in uri for letter in "*?") and not os.path.exists(uri):
        fail("source", zarrs.EXPECTED, f"none at {uri!r}", "patterns are not expanded: name the folder of the files")
    first = begins_with(uri)
    file = not (is_local(uri) and os.path.isdir(uri))
    if (file and tiff.is_tiff(uri)) or first[:4] in tiff.MAGIC:
        return tiff.open_level(uri, level, storage_options)
    if (file and hdf5.is_hdf5(uri)) or first == hdf5.MAGIC:
        _no_levels(level)
        return hdf5.open_dataset(uri, storage_options)
    if not file and not zarrs.is_folder(uri):
        if tensors.is_n5(uri):
            _no_levels(level)
            return tensors.open_n5(uri)
        if tiff.files_in(uri):
            _no_levels(level)
            return tiff.open_folder(uri)
    ending = os.path.splitext(uri)[1].lower()
    if ending in OTHERS:
        fail("source", zarrs.EXPECTED, f"a {ending} file at {uri!r}", OTHERS[ending])
    return zarrs.open_zarr(uri, uri, level, storage_options)


def _no_levels(level: int) -> None:
    if level:
        fail("level", "0 for an array without levels", level)


def check_pixels(stored: Stored, name: str) -> None:
    """Refuses arrays of anything but numbers, and those without pixels."""
    try:
        known = of_numbers(np.dtype(stored.array.dtype))
    except TypeError:  # a type that NumPy does not have
        known = False
    if not known:
        fail("source", "an array of numbers", f"type {stored.array.dtype} in {name}")
    shape = stored.array.shape  # of HDF5 None, and of dask NaN, where there is none yet
    if not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        fail("source", "at least one pixel and one axis, of a known length", f"shape {shown(shape)} in {name}")
