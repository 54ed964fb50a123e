"""HDF5: `data.h5/volumes/raw` is the dataset `volumes/raw` of a file; axes by dimension labels or axis tags."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import numpy as np

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._sources.axes import letters, spatial
from shiftjax.volume._sources.ome_zarr import Geometry
from shiftjax.volume._sources.stored import Stored
from shiftjax.volume._storage.errors import reason
from shiftjax.volume._storage.uri import is_local, open_binary

MAGIC = b"\x89HDF\r\n\x1a\n"
ADDRESS = re.compile(r"(.*?\.(?:h5|hdf5|hdf|he5))(?:/+(.*))?", re.IGNORECASE | re.DOTALL)


def is_hdf5(name: str) -> bool:
    """Whether a path is that of an HDF5 file, or of a dataset in one."""
    return ADDRESS.fullmatch(name) is not None


def open_dataset(address: str, storage_options: dict[str, Any] | None = None) -> Stored:
    """The dataset at `file.h5/name`, or the only one of `file.h5`.

    Raises:
        ValueError: no such file or dataset.
        ImportError: h5py is missing.
    """
    h5py = require("h5py", "formats")
    match = ADDRESS.fullmatch(address)
    path, name = (match[1], match[2]) if match else (address, None)
    try:
        file = h5py.File(path if is_local(path) else open_binary(path, storage_options), "r")
        found = file[name] if name else None
    except Exception as error:  # a damaged file fails in many ways
        fail("source", "an HDF5 dataset", f"none at {address!r} ({reason(error)})")
    if not isinstance(found, h5py.Dataset):
        datasets = _datasets(file if found is None else found, h5py)
        if len(datasets) != 1:
            listed = f"datasets {', '.join(datasets[:20])}" if datasets else "no datasets of two axes or more"
            fail("source", "an HDF5 dataset", f"{listed} in {address}", f"name one: {path}/NAME")
        found = file[datasets[0]]
    check_parts(found)
    names, said = _names(found)
    return Stored(found, names, _geometry(found, names), said)


def check_parts(dataset: Any) -> None:
    """Refuses a dataset that is put together from others where a file of those is gone: HDF5 would give zeros for it.

    Raises:
        ValueError: names the file.
    """
    whole = str(dataset.file.filename)
    if not dataset.is_virtual or not os.path.isfile(whole):  # one in memory, or in another file system
        return
    for part in {source.file_name for source in dataset.virtual_sources()}:
        names = (part, os.path.basename(part))  # HDF5 looks beside the file too, and where the process is
        places = [os.path.join(folder, name) for folder in (os.path.dirname(whole), "") for name in names]
        if part != "." and "%" not in part and not any(map(os.path.isfile, places)):
            fail("source", "all files of the virtual HDF5 dataset", f"no {places[0]}", "bring it back")


def _datasets(group: Any, h5py: Any) -> list[str]:
    found = []

    def note(_: str, member: Any) -> None:
        if isinstance(member, h5py.Dataset) and len(member.shape or ()) >= 2:
            found.append(member.name.lstrip("/"))

    group.visititems(note)
    return found


def _names(dataset: Any) -> tuple[str | None, str]:
    """Letters of the axes, as HDF5's dimension labels or as axis tags name them, and what was said."""
    labels = [str(dimension.label) for dimension in dataset.dims]
    try:
        tags = [str(axis["key"]) for axis in json.loads(dataset.attrs["axistags"])["axes"]]
    except (KeyError, TypeError, ValueError):
        tags = []
    said = labels if all(labels) else tags
    return (letters(said), repr(said)) if len(said) == dataset.ndim and said else (None, "")


def _geometry(dataset: Any, names: str | None) -> Geometry:
    """Pixel sizes in micrometers, where they are stored as many programs do it: z, y, x as `element_size_um`."""
    space = spatial(names or "zyx")
    try:
        sizes = [float(size) for size in np.ravel(dataset.attrs["element_size_um"])]
    except (KeyError, TypeError, ValueError):
        return Geometry()
    if len(sizes) != len(space) or not all(0 < size < np.inf for size in sizes):
        return Geometry()
    return Geometry(dict(zip(space, sizes, strict=True)), {}, dict.fromkeys(space, "micrometer"))
