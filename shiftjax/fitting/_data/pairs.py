"""Images with their labels: whether they belong together, and what the labels show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, shown
from shiftjax.fitting._data.pictures import AXES, TIFF, Picture, blocks, ndim_of, numbers_in, pictures_of, tiff_folder
from shiftjax.labelling import regions

FEW = 5  # regions per label, from which on labels are taken for classes
LEAST = 2  # pixels of a region on average, below which labels are taken for noise
MANY = 100  # regions that are looked at for that: a few may well be small
CELL = 32  # pixels per axis of the cells in which objects are looked for, to draw windows that are not empty


@dataclass(frozen=True)
class Pair:
    """An image and its labels, `(1, *space, channel)` and `(1, *space, 1)` as they are read."""

    image: Picture
    labels: Picture

    @property
    def space(self) -> tuple[int, ...]:
        """Pixels per spatial axis."""
        return self.image.space

    def part(self, slices: tuple[slice, ...]) -> Pair:
        """A part of both."""
        return Pair(self.image.part(slices), self.labels.part(slices))


@dataclass(frozen=True)
class Survey:
    """What the labels of one image show.

    Attributes:
        extents: of its objects, pixels per axis, `(object, axis)`, by rising label.
        areas: of its objects, in pixels.
        cells: first pixels of the cells that hold foreground, `(cell, axis)`.
        pieces: of objects, where slabs of the image cut them.
        regions: how many connected regions there are, cut likewise.
        digest: of all pixels and labels.
    """

    extents: np.ndarray
    areas: np.ndarray
    cells: np.ndarray
    pieces: int
    regions: int
    digest: str

    @property
    def labels(self) -> int:
        """How many differ."""
        return len(self.areas)


def pairs_of(images: Any, labels: Any, *, axes: str | None = None, channel: int | None = None) -> list[Pair]:
    """Images with their labels.

    Args:
        images: as `fit` takes them.
        labels: likewise.
        axes: of the images, and without c of the labels; None for those that metadata or shapes tell.
        channel: the only one of the images that is seen.

    Raises:
        ValueError: they do not match, or are no images with labels.
        TypeError: labels that are not integers.
    """
    if axes is not None and not isinstance(axes, str):
        fail("axes", "letters among t, c, z, y and x, one for each axis of the images", shown(axes))
    _check_names(images, labels)
    ndim = ndim_of(labels)
    with_channels = AXES.get(ndim, "") + "c" if ndim is not None and ndim_of(images) == ndim + 1 else None
    pictures = pictures_of("images", images, axes=axes, channel=channel, of_arrays=with_channels)
    labelled = pictures_of("labels", labels, axes=None if axes is None else axes.lower().replace("c", ""))
    if len(pictures) != len(labelled):
        mend = "give labels for each image, in the same order"
        fail("labels", f"{len(pictures)}, one for each image", f"{len(labelled)}", mend)
    pairs = [Pair(image.kept(), label.kept()) for image, label in zip(pictures, labelled, strict=True)]
    for pair in pairs:
        _check(pair, pairs[0])
    return pairs


def _check_names(images: Any, labels: Any) -> None:
    """Refuses files whose names say that they do not belong together.

    In two folders, names must agree in order, but for what all files of a folder share. Files in lists are named as
    one likes; but where both lists have the same names, they must have them in one order.
    """
    files, theirs = _files(images), _files(labels)
    if not files or not theirs:
        return
    one, other = _distinct(files), _distinct(theirs)
    listed = isinstance(images, list | tuple) or isinstance(labels, list | tuple)
    if listed and sorted(one) != sorted(other):
        return
    if len(one) != len(other):
        more, fewer, said = (one, other, "no labels are") if len(one) > len(other) else (other, one, "no image is")
        known = set(fewer)
        alone = [path for path, name in zip(files if more is one else theirs, more, strict=True) if name not in known]
        if len(alone) == len(more) - len(fewer):
            found = f"{len(other)}; {said} for {Path(alone[0]).name}"
            fail("labels", f"{len(one)}, one for each image", found)
        return  # how many there are is said once they are read
    mend = "sort both lists alike"
    if not listed:
        mend = "name files and their labels alike, such as a.tif and a_mask.tif, or give two lists of paths"
    for image, label, name, its in zip(files, theirs, one, other, strict=True):
        numbers = [] if listed else [numbers_in(path) for path in (image, label)]
        if name != its or (numbers and all(numbers) and not set(numbers[0]) & set(numbers[1])):
            fail("labels", f"those of {Path(image).name} in its place", Path(label).name, mend)


def _files(value: Any) -> list[str] | None:
    """The TIFF files of a folder, or those that a list names; None for all else."""
    if isinstance(value, str | Path):
        return tiff_folder(value)
    named = isinstance(value, list | tuple) and all(isinstance(path, str | Path) for path in value)
    return [str(path) for path in value] if named and all(str(p).lower().endswith(TIFF) for p in value) else None


def _distinct(paths: Sequence[str]) -> list[str]:
    """What tells paths apart: without what all of them begin and end with, and zeros before numbers."""
    names = [re.sub(r"\d+", lambda number: str(int(number[0])), str(Path(path).with_suffix(""))) for path in paths]
    start = _shared(names)
    end = _shared([name[start:][::-1] for name in names])
    return [name[start : len(name) - end] for name in names]


def _shared(names: Sequence[str]) -> int:
    """How many letters all of them begin with."""
    letters = zip(*names, strict=False)
    return next((k for k, letter in enumerate(letters) if len(set(letter)) > 1), min(map(len, names)))


def _check(pair: Pair, first: Pair) -> None:
    image, labels = pair.image, pair.labels
    if labels.channels != 1:
        fail("labels", "one channel", f"{labels.channels} in {labels.name}")
    if image.space != labels.space:
        mend = "labels have the pixels of their image; an axis of channels comes last and is in images only"
        if (*image.space[1:], image.channels) == labels.space:
            mend = f'name the axes of images with channels in front: axes="c{AXES[len(labels.space)].lower()}"'
        fail("labels", f"the shape {image.space} of {image.name}", f"{labels.space} in {labels.name}", mend)
    if not np.issubdtype(labels.dtype, np.integer):
        if labels.dtype == bool:
            _binary(labels.name, "booleans")
        found = f"{labels.dtype} in {labels.name}; whole numbers may be stored so: give `labels.astype(int)`"
        if labels.name.lower().endswith(TIFF):
            found += ", of files `[tifffile.imread(path).astype(int) for path in paths]`"
        raise TypeError(f"`labels`: expected integers, 0 = background, found {found}.")
    mine, others = (len(p.space) for p in (pair, first))
    if mine != others:
        fail("images", f"{others} spatial axes, as {first.image.name} has", f"{mine} in {image.name}")
    if image.channels != first.image.channels:
        expected = f"{first.image.channels} channels, as {first.image.name} has"
        fail("images", expected, f"{image.channels} in {image.name}", "give images of one kind to a model")


def survey(pair: Pair) -> Survey:
    """Looks at all labels and pixels of a pair once, slab by slab.

    Raises:
        ValueError: NaN in the image, or labels below 0.
    """
    from scipy.ndimage import find_objects  # takes a while to load

    ndim = len(pair.space)
    # Of each piece, by slab: its label, its first pixel, the one after its last, and its area.
    ids, first, last, area = (list[np.ndarray]() for _ in range(4))
    cells: list[np.ndarray] = []
    count = 0
    digests = [hashlib.blake2b(digest_size=16) for _ in range(2)]
    for slices in blocks(pair.labels):
        pixels = pair.image.read(slices)
        if jnp.issubdtype(pixels.dtype, jnp.floating) and not np.isfinite(pixels).all():
            bad = int(np.size(pixels) - np.isfinite(pixels).sum())
            fail("images", "finite intensities", f"{bad} that are NaN or infinite in {pair.image.name}", "replace them")
        labels = pair.labels.read(slices)[0, ..., 0]
        for digest, block in zip(digests, (pixels, labels), strict=True):
            digest.update(np.ascontiguousarray(block).view(np.uint8).data)
        numbers, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        if numbers[0] < 0:
            fail("labels", "integers >= 0, 0 = background", f"{numbers[0]} in {pair.labels.name}")
        ranks = inverse.reshape(labels.shape).astype(np.int32) + (0 if numbers[0] == 0 else 1)
        places = [place for place in find_objects(ranks) if place is not None]
        begin = np.array([at.start for at in slices])
        first.append(np.array([[at.start for at in place] for place in places], np.int64).reshape(-1, ndim) + begin)
        last.append(np.array([[at.stop for at in place] for place in places], np.int64).reshape(-1, ndim) + begin)
        ids.append(numbers[numbers > 0])
        area.append(sizes[numbers > 0])
        count += len(regions(ranks, background=0).code)
        cells.append(_occupied(labels > 0) + begin)
    known, which = np.unique(np.concatenate(ids), return_inverse=True)
    low, high = np.full((len(known), ndim), np.iinfo(np.int64).max), np.zeros((len(known), ndim), np.int64)
    areas = np.zeros(len(known), np.int64)
    np.minimum.at(low, which, np.concatenate(first))
    np.maximum.at(high, which, np.concatenate(last))
    np.add.at(areas, which, np.concatenate(area))
    both = "".join(each.hexdigest() for each in digests)
    return Survey(high - low, areas, np.concatenate(cells).reshape(-1, ndim), len(which), count, both)


def check_instances(pairs: Sequence[Pair], surveys: Sequence[Survey]) -> None:
    """Refuses labels that do not tell objects apart."""
    objects, pieces, parts = (sum(x) for x in zip(*((s.labels, s.pieces, s.regions) for s in surveys), strict=True))
    if objects == 0:
        fail("labels", "objects, with numbers above 0", "background only")
    pixels = sum(int(s.areas.sum()) for s in surveys)
    if parts >= MANY and pixels < LEAST * parts:
        small = f"{parts} regions of {pixels / parts:.1f} px on average, as in an image of intensities"
        fail(
            "labels",
            "objects of several pixels",
            f"{small}, in {pairs[0].labels.name}",
            "images come first, labels second",
        )
    # One image that is a mask would teach that all its objects are one; but a few strokes may have slipped in anywhere.
    for pair, found in zip(pairs, surveys, strict=True):
        if found.regions >= FEW * max(found.pieces, 2):
            _binary(pair.labels.name, f"{_numbers(found.labels)} in {found.regions} separate regions")
    most = max(s.labels for s in surveys)
    if parts >= FEW * pieces or (most == 1 and parts > pieces):
        _binary(pairs[0].labels.name, f"{_numbers(most)} in {parts} separate regions")
    if objects < 2:
        mend = "a network learns to tell objects apart from images that show several"
        fail("labels", "at least two objects", f"one in {pairs[0].labels.name}", mend)


def _numbers(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"


def _binary(name: str, found: str) -> None:
    mend = "number its regions with `shiftjax.connected_components(mask[None].astype(int))[0]`, if objects do not touch"
    fail("labels", "a number for each object", f"{found}, as in a mask, in {name}", mend)


def _occupied(foreground: np.ndarray) -> np.ndarray:
    """First pixels of the cells that hold foreground."""
    return np.unique(np.argwhere(foreground) // CELL, axis=0) * CELL
