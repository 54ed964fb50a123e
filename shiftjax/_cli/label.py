"""`python -m shiftjax label MODEL IMAGE LABELS`: TIFF to TIFF, a folder of TIFF files to another, Zarr to Zarr."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._cli import network
from shiftjax._cli import options as shared
from shiftjax._extras import require
from shiftjax._patience import silence
from shiftjax.fitting import Model
from shiftjax.volume import open_source

TIFF = (".tif", ".tiff")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("model", help="folder that `train` or `Model.save` wrote, or the name of a model: nuclei")
    text = "a TIFF file, a folder of TIFF files, or a volume: Zarr, OME-Zarr, HDF5 (FILE.h5/DATASET) or N5"
    parser.add_argument("image", help=text)
    text = "to be written: a .tif file, for a folder a folder of them, or an OME-Zarr group"
    parser.add_argument("target", metavar="labels", help=text)
    parser.add_argument("--axes", help=f"of the image: {shared.AXES}")
    parser.add_argument("--channel", type=int, help="the only one of the image to be used, from 0 (default: all)")
    parser.add_argument("--tile", type=network.shape, help=f"{shared.TILE}; labels do not depend on it")
    parser.add_argument("--memory", type=shared.memory, help=shared.MEMORY)
    parser.add_argument("--overwrite", action="store_true", help="replace TIFF files that exist")
    parser.add_argument("--quiet", action="store_true", help="show no bar")


def run(options: argparse.Namespace) -> int:
    """Labels and returns 0; returns 1 where storage fails."""
    return shared.exit_code(_label, options)


def _label(options: argparse.Namespace) -> None:
    with shared.usage_errors():
        model = shared.model(options.model)
        files = list(_files(options.image, options.target))
        if files:
            with silence(options.quiet):
                objects = sum(_label_file(model, image, target, options) for image, target in files)
        else:
            objects = model.segment_volume(
                options.image,
                options.target,
                axes=options.axes,
                channel=options.channel,
                tile=_tile(options),
                memory_bytes=options.memory,
                progress=not options.quiet,
            ).objects
    shared.tell(f"{options.target}: {objects} objects")


def _tile(options: argparse.Namespace) -> Any:
    return options.tile[0] if options.tile and len(options.tile) == 1 else options.tile


def _files(image: str, target: str) -> Iterator[tuple[str, Path]]:
    """The images that fit into memory and become TIFF files, and where their labels go; none for volumes.

    Raises:
        ValueError: a folder whose labels would go into a file.
    """
    to_file = target.lower().endswith(TIFF)
    folder = os.path.isdir(image) and any(name.lower().endswith(TIFF) for name in os.listdir(image))
    if folder and to_file:
        raise ValueError(f"`labels`: expected a folder, since {image} is one, found {target!r}.")
    if folder:
        names = [name for name in os.listdir(image) if name.lower().endswith(TIFF) and not name.startswith(".")]
        yield from ((os.path.join(image, name), Path(target, name)) for name in sorted(names))
    elif to_file:
        yield image, Path(target)


def _label_file(model: Model, image: str, target: Path, options: argparse.Namespace) -> int:
    """Labels each image of a file, and says how many objects there are."""
    if target.exists() and not options.overwrite:
        raise ValueError(f"`labels`: expected a new file, found {target}; choose another, or add `--overwrite`.")
    source = open_source(image, axes=options.axes, channel=options.channel).for_network(model.ndim)
    everything = tuple(slice(0, n) for n in source.space)
    images = [source.at(k)(everything)[0] for k in range(source.times)]
    if hasattr(source.array, "store"):
        source.array.store.close()
    labels = [model.segment(each, tile=_tile(options), memory_bytes=options.memory) for each in images]
    stack = np.stack(labels) if len(labels) > 1 else labels[0]
    most = max(int(each.max()) for each in labels)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.tmp")
    dtype = np.uint16 if most < 2**16 else np.uint32
    require("tifffile", "volume").imwrite(draft, stack.astype(dtype), photometric="minisblack", compression="zlib")
    os.replace(draft, target)
    return sum(int(each.max()) for each in labels)
