"""Images with their labels: whether they belong together, and what the labels show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail
from shiftjax.fitting._data.pictures import AXES, Picture, blocks, ndim_of, numbers_in, pictures_of, tiff_folder
from shiftjax.labelling import regions

FEW = 5  # regions per label, from which on labels are taken for classes
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
        extents: of its objects, pixels per axis, `(object, axis)`; an object that a slab cuts counts twice.
        areas: of its objects, in pixels.
        cells: first pixels of the cells that hold foreground, `(cell, axis)`.
        labels: how many differ.
        regions: how many connected regions there are.
    """

    extents: np.ndarray
    areas: np.ndarray
    cells: np.ndarray
    labels: int
    regions: int


def pairs_of(images: Any, labels: Any) -> list[Pair]:
    """Images with their labels.

    Raises:
        ValueError: they do not match, or are no images with labels.
        TypeError: labels that are not integers.
    """
    ndim = ndim_of(labels)
    has_channels = ndim is not None and ndim_of(images) == ndim + 1
    axes = AXES.get(ndim, "") + "c" if has_channels and ndim is not None else None
    pictures, labelled = pictures_of("images", images, axes=axes), pictures_of("labels", labels)
    if len(pictures) != len(labelled):
        mend = "give labels for each image, in the same order"
        fail("labels", f"{len(pictures)}, one for each image", f"{len(labelled)}", mend)
    _check_names(images, labels)
    pairs = [Pair(image.kept(), label.kept()) for image, label in zip(pictures, labelled, strict=True)]
    for pair in pairs:
        _check(pair, pairs[0])
    return pairs


def _check_names(images: Any, labels: Any) -> None:
    """Refuses two folders whose files, in order, differ by more than what all files of a folder share."""
    files, theirs = (tiff_folder(x) if isinstance(x, str | Path) else None for x in (images, labels))
    if files is None or theirs is None:
        return
    for image, label, one, other in zip(files, theirs, _distinct(files), _distinct(theirs), strict=False):
        if one != other:
            mend = "name files and their labels alike, such as a.tif and a_mask.tif, or give two lists of paths"
            fail("labels", f"those of {Path(image).name} in its place", Path(label).name, mend)


def _distinct(paths: Sequence[str]) -> list[str]:
    """What tells the names of files apart: without what all of them begin and end with, and zeros before numbers."""
    names = [re.sub(r"\d+", lambda number: str(int(number[0])), Path(path).stem) for path in paths]
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
        fail("labels", f"the shape {image.space} of {image.name}", f"{labels.space} in {labels.name}", mend)
    if not np.issubdtype(labels.dtype, np.integer):
        if labels.dtype == bool:
            _binary(labels.name, "booleans")
        found = f"{labels.dtype} in {labels.name}; whole numbers may be stored so: give `labels.astype(int)`"
        raise TypeError(f"`labels`: expected integers, 0 = background, found {found}.")
    mine, others = (len(p.space) for p in (pair, first))
    if mine != others:
        fail("images", f"{others} spatial axes, as {first.image.name} has", f"{mine} in {image.name}")
    if image.channels != first.image.channels:
        expected = f"{first.image.channels} channels, as {first.image.name} has"
        fail("images", expected, f"{image.channels} in {image.name}", "give images of one kind to a model")
    paths = [numbers_in(p.name) if p.name.lower().endswith((".tif", ".tiff")) else [] for p in (image, labels)]
    if all(paths) and not set(paths[0]) & set(paths[1]):
        mend = "name files and their labels by one number, or give two lists of paths"
        fail("labels", f"those of {image.name} in its place", labels.name, mend)


def survey(pair: Pair) -> Survey:
    """Looks at all labels and pixels of a pair once.

    Raises:
        ValueError: NaN in the image, or labels below 0.
    """
    from scipy.ndimage import find_objects  # takes a while to load

    extents: list[Sequence[int]] = []
    areas: list[int] = []
    cells: list[np.ndarray] = []
    numbers: set[int] = set()
    count = 0
    for slices in blocks(pair.labels):
        pixels = pair.image.read(slices)
        if jnp.issubdtype(pixels.dtype, jnp.floating) and not np.isfinite(pixels).all():
            bad = int(np.size(pixels) - np.isfinite(pixels).sum())
            fail("images", "finite intensities", f"{bad} that are NaN or infinite in {pair.image.name}", "replace them")
        labels = pair.labels.read(slices)[0, ..., 0]
        ids, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        if ids[0] < 0:
            fail("labels", "integers >= 0, 0 = background", f"{ids[0]} in {pair.labels.name}")
        ranks = inverse.reshape(labels.shape).astype(np.int32) + (0 if ids[0] == 0 else 1)
        found = [place for place in find_objects(ranks) if place is not None]
        extents += [[at.stop - at.start for at in place] for place in found]
        areas += sizes[ids > 0].tolist()
        numbers.update(ids[ids > 0].tolist())
        count += len(regions(ranks, background=0).code)
        cells.append(_occupied(labels > 0) + np.array([at.start for at in slices]))
    ndim = len(pair.space)
    return Survey(
        np.array(extents, np.int64).reshape(-1, ndim),
        np.array(areas, np.int64),
        np.concatenate(cells).reshape(-1, ndim),
        len(numbers),
        count,
    )


def check_instances(pairs: Sequence[Pair], surveys: Sequence[Survey]) -> None:
    """Refuses labels that do not tell objects apart."""
    total, most = sum(len(s.areas) for s in surveys), max(s.labels for s in surveys)
    if total == 0:
        fail("labels", "objects, with numbers above 0", "background only")
    parts = sum(s.regions for s in surveys)
    if most <= 1 and parts > max(1, total):
        _binary(pairs[0].labels.name, f"one number in {parts} separate regions")
    if parts >= FEW * sum(s.labels for s in surveys):
        _binary(pairs[0].labels.name, f"{most} numbers in {parts} separate regions")
    if parts < 2:
        mend = "a network learns to tell objects apart from images that show several"
        fail("labels", "at least two objects", f"one in {pairs[0].labels.name}", mend)


def _binary(name: str, found: str) -> None:
    mend = "number its regions with `shiftjax.connected_components(mask[None].astype(int))[0]`, if objects do not touch"
    fail("labels", "a number for each object", f"{found}, as in a mask, in {name}", mend)


def _occupied(foreground: np.ndarray) -> np.ndarray:
    """First pixels of the cells that hold foreground."""
    return np.unique(np.argwhere(foreground) // CELL, axis=0) * CELL
