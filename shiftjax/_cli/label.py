"""`python -m shiftjax label MODEL IMAGE LABELS`: TIFF to TIFF, a folder of TIFF files to another, Zarr to Zarr."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._cli import network
from shiftjax._cli import options as shared
from shiftjax._extras import require
from shiftjax._patience import say, silence
from shiftjax.fitting import Model
from shiftjax.volume import Source, open_source

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
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace TIFF files of labels that exist")
    text = "leave TIFF files of labels that exist as they are, and go on with the others, as after Ctrl-C"
    there.add_argument("--keep", action="store_true", help=text)
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
                objects = _label_files(model, files, options)
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
    if folder and (to_file or os.path.isfile(target)):
        raise ValueError(f"`labels`: expected a folder, since {image} is one, found {target!r}.")
    if folder:
        names = [name for name in os.listdir(image) if name.lower().endswith(TIFF) and not name.startswith(".")]
        yield from ((os.path.join(image, name), Path(target, name)) for name in sorted(names))
    elif to_file:
        yield image, Path(target)


def _label_files(model: Model, files: Sequence[tuple[str, Path]], options: argparse.Namespace) -> int:
    """Labels files, and says how many objects there are in them.

    Raises:
        ValueError: labels that would replace their image, or others that are there; nothing is labelled then.
    """
    there = [(image, target) for image, target in files if target.exists()]
    for image, target in there:
        if os.path.exists(image) and target.samefile(image):
            raise ValueError(f"`labels`: expected another file than the image, found {target}, which would be lost.")
    if there and not (options.overwrite or options.keep):
        more = f", and {len(there) - 1} more," * (len(there) > 1)
        mend = "choose another, or add `--overwrite`, or `--keep` to label only images without"
        raise ValueError(f"`labels`: expected a new file, found {there[0][1]}{more} of {len(files)}; {mend}.")
    kept = {target for _, target in there} if options.keep else set()
    if kept:
        say(f"{len(kept)} of {len(files)} files are left as they are")
    left = [(image, target) for image, target in files if target not in kept]
    try:
        files[0][1].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"`labels`: expected a place for {files[0][1]}, found none ({error.strerror}).") from error
    total = 0
    for number, (image, target) in enumerate(left, 1):
        try:
            objects = _label_file(model, image, target, options)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; with `--keep` the same command goes on with the other files") from None
        except ValueError as error:
            if image in str(error):
                raise
            raise ValueError(f"{image}: {error}") from error
        total += objects
        if len(left) > 1 and not options.quiet:
            say(f"{target}: {objects} objects; {number} of {len(left)} files")
    return total


def _label_file(model: Model, image: str, target: Path, options: argparse.Namespace) -> int:
    """Labels each image of a file, and says how many objects there are.

    Raises:
        ValueError: a file that is no image for the model.
    """
    source = open_source(image, axes=options.axes, channel=options.channel).for_network(model.ndim)
    if len(source.space) != model.ndim:
        found = f"{len(source.space)} in {image}; name them by `--axes`"
        raise ValueError(f"`image`: expected {model.ndim} spatial axes, as in training, found {found}.")
    if source.note() and not options.quiet:
        say(source.note())
    everything = tuple(slice(0, n) for n in source.space)
    images = [source.at(k)(everything)[0] for k in range(source.times)]
    if hasattr(source.array, "store"):
        source.array.store.close()
    labels, objects = list[np.ndarray](), 0
    for k, each in enumerate(images):
        try:
            numbers = model.segment(each, tile=_tile(options), memory_bytes=options.memory)
        except ValueError as error:
            raise ValueError(f"{image}{source.describe(k)}: {error}") from error
        # Objects of several images have numbers of their own, as in a Zarr target.
        labels.append(np.where(numbers > 0, numbers + objects, 0))
        objects += int(numbers.max())
    _write(target, labels, objects, source)
    return objects


def _write(target: Path, labels: Sequence[np.ndarray], objects: int, source: Source) -> None:
    """Writes labels completely or not at all, with the axes of the source."""
    shape = dict(zip(source.axes, source.array.shape, strict=True))
    counted = [name for name in "tz" if shape.get(name, 1) > 1 and name not in source.space_axes]
    stack = np.stack(labels).reshape(*(shape[name] for name in counted), *source.space)
    draft = target.with_name(f".{target.name}.tmp")
    dtype = np.uint16 if objects < 2**16 else np.uint32
    axes = "".join([*counted, source.space_axes]).upper()
    options = {"photometric": "minisblack", "compression": "zlib", "metadata": {"axes": axes}}
    require("tifffile", "volume").imwrite(draft, stack.astype(dtype), **options)
    os.replace(draft, target)
