"""Coarser levels of what was written: computed a chunk at a time, and listed in the metadata once they are complete.

A reader never finds a level that is not there. A process killed at any moment leaves a level that is not listed, and
its successor writes it again, to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._extras import require
from shiftjax._patience import say
from shiftjax.volume._sources import ome_zarr as ome
from shiftjax.volume._storage.chunks import check_not_cut_off, chunk_keys, every_chunk
from shiftjax.volume._storage.errors import VolumeError, storage_errors
from shiftjax.volume._storage.finished import check_finished
from shiftjax.volume._storage.folder import open_folder
from shiftjax.volume._storage.reading import METADATA
from shiftjax.volume._storage.retry import passes, patiently
from shiftjax.volume._storage.uri import for_zarr
from shiftjax.volume._targets.new_target import NewTarget, drop_torn, put_attributes

READERS = 4  # threads: storage answers several at once


@dataclass(frozen=True)
class Coarser:
    """A level of a pyramid.

    Attributes:
        shape: one length for each axis.
        geometry: of its pixels.
    """

    shape: tuple[int, ...]
    geometry: ome.Geometry


def halvings(axes: str, shape: Sequence[int], seen: str, geometry: ome.Geometry, levels: int) -> list[Coarser]:
    """Levels 1, 2, ... `levels - 1`, each of half the pixels of the one before along the axes of space.

    Args:
        axes: of the array.
        shape: of level 0.
        seen: the axes that are halved, as long as they have more than one pixel.
        geometry: of level 0.
        levels: with level 0.
    """
    coarser, sizes, factor = [], dict(zip(axes, map(int, shape), strict=True)), dict.fromkeys(axes, 1)
    for _ in range(1, levels):
        for name in seen:
            if sizes[name] > 1:
                sizes[name], factor[name] = ceil_div(sizes[name], 2), 2 * factor[name]
        scale = {name: geometry.scale.get(name, 1.0) * factor[name] for name in axes}
        # The centre of the first coarse pixel lies between those of the pixels that it stands for.
        shift = {name: geometry.scale.get(name, 1.0) * (factor[name] - 1) / 2 for name in axes}
        translation = {name: geometry.translation.get(name, 0.0) + shift[name] for name in axes}
        coarser.append(Coarser(tuple(sizes.values()), ome.Geometry(scale, translation, geometry.units)))
    return coarser


class Pyramid:
    """The coarser levels of one array of a target."""

    def __init__(self, new: NewTarget, name: str, axes: str, levels: Sequence[Coarser], *, labels: bool) -> None:
        """Opens the group.

        Args:
            new: the target.
            name: of the array among several outputs; `""` for a single one.
            axes: of the array.
            levels: that it is to have besides level 0.
            labels: whether pixels are names, of which one is taken, instead of numbers, of which the mean is.

        Raises:
            VolumeError: the group cannot be opened.
        """
        self._axes, self._levels, self._labels = axes, levels, labels
        self._place = f"{new.path.rstrip('/')}/{name}".rstrip("/")
        self._storage_options = new.storage_options
        self._options: dict[str, Any] = {"storage_options": new.storage_options, "use_consolidated": False}
        self._folder = open_folder(self._place, new.storage_options)
        self._open()

    def _open(self) -> None:
        with storage_errors(f"open {self._place}"), every_chunk():
            zarr = require("zarr", "volume")
            self._group = patiently(lambda: zarr.open_group(for_zarr(self._place), mode="r+", **self._options))

    def unlist(self) -> None:
        """Takes the coarser levels out of the metadata before level 0 changes; they are written anew after that.

        Raises:
            VolumeError: the metadata cannot be written.
        """
        if len(self._listed()) > 1:
            self._list(self._listed()[:1])

    def write(self, *, verify: bool | None = None) -> None:
        """Computes the levels that are not listed, or that were damaged since, once level 0 is finished.

        Args:
            verify: False to look only whether the chunks of a listed level exist, not at what they hold.

        Raises:
            VolumeError: storage failed; the same call goes on.
        """
        if not self._is_finished():
            return
        for number, level in enumerate(self._levels, start=1):
            with storage_errors(f"write level {number} of {self._place}"):
                drop_torn(open_folder(f"{self._place}/{number}", self._storage_options))
            listed = self._listed()
            entry = ome.dataset(str(number), self._axes, level.geometry)
            if entry in listed and self._is_complete(str(number)):
                if verify is False or self._holds_what_it_should(number):
                    continue
                say(f"level {number} of {self._place} was damaged, and is computed again")
            with storage_errors(f"write level {number} of {self._place}"), every_chunk():
                self._list([each for each in listed if each["path"] not in map(str, range(number, 99))])
                finer = patiently(lambda path=str(number - 1): self._group[path])  # type: ignore[misc]
                coarse = self._array(str(number), level, finer)
                for chunk in _chunks(coarse):
                    self._write_chunk(finer, coarse, chunk)
                kept = [METADATA[coarse.metadata.zarr_format], *chunk_keys(coarse, [slice(None)] * coarse.ndim)]
                self._folder.sync(f"{number}/{key}" for key in kept)
                self._list([*self._listed(), entry])

    def _is_finished(self) -> bool:
        """Whether all tiles of level 0 are stored, or were left out by a mask."""
        with storage_errors(f"open {self._place}"):
            finest = patiently(lambda: self._group["0"])
        try:
            check_finished(finest, self._place)
        except VolumeError:
            return False
        return True

    def _is_complete(self, path: str) -> bool:
        if not patiently(lambda: path in self._group):
            return False
        array = patiently(lambda: self._group[path])
        return patiently(lambda: array.nchunks_initialized) == array.nchunks

    def _holds_what_it_should(self, number: int) -> bool:
        """Whether every pixel of a level is what the finer level makes of it."""
        with storage_errors(f"read level {number} of {self._place} again"), every_chunk():
            finer, coarse = (patiently(lambda path=path: self._group[path]) for path in (str(number - 1), str(number)))  # type: ignore[misc]
            with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as readers:
                return all(readers.map(lambda chunk: self._is_stored(finer, coarse, chunk), _chunks(coarse)))

    def _is_stored(self, finer: Any, coarse: Any, chunk: tuple[int, ...]) -> bool:
        target, block = self._computed(finer, coarse, chunk)
        try:
            check_not_cut_off(coarse, target)
            return _read(coarse, target).tobytes() == block.tobytes()
        except Exception as error:  # of the codecs, which come from many packages
            if isinstance(error, PermissionError) or passes(error):
                raise
            return False

    def _array(self, path: str, level: Coarser, finer: Any) -> Any:
        """The array of a level, made if there is none."""
        if patiently(lambda: path in self._group):
            return patiently(lambda: self._group[path])
        chunks = tuple(min(size, n) for size, n in zip(finer.chunks, level.shape, strict=True))
        meta = finer.metadata
        options: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        if meta.zarr_format == 3:
            options = {"chunk_key_encoding": {"name": "default", "separator": "/"}, "dimension_names": list(self._axes)}
        options["compressors"] = finer.compressors
        return self._group.create_array(
            path, shape=level.shape, chunks=chunks, dtype=finer.dtype, fill_value=0, **options
        )

    def _write_chunk(self, finer: Any, coarse: Any, chunk: tuple[int, ...]) -> None:
        _write(coarse, *self._computed(finer, coarse, chunk))

    def _computed(self, finer: Any, coarse: Any, chunk: tuple[int, ...]) -> tuple[list[slice], np.ndarray]:
        """The pixels of a chunk, as an index of the level, and their values."""
        target, take = [], []
        for place, size, n in zip(chunk, coarse.chunks, coarse.shape, strict=True):
            target.append(slice(place * size, min((place + 1) * size, n)))
        if self._labels or not has_means(np.dtype(finer.dtype)):
            for part, n, whole in zip(target, coarse.shape, finer.shape, strict=True):
                take.append(_nearest(np.arange(part.start, part.stop), n, whole))
            block = _read(finer, [slice(int(each[0]), int(each[-1]) + 1) for each in take])
            return target, block[np.ix_(*(each - each[0] for each in take))]
        factors = [ceil_div(whole, n) for n, whole in zip(coarse.shape, finer.shape, strict=True)]
        source = [slice(p.start * f, min(p.stop * f, n)) for p, f, n in zip(target, factors, finer.shape, strict=True)]
        return target, mean_of(_read(finer, source), factors)

    def _image(self) -> tuple[dict[str, Any], bool]:
        attributes = self._group.attrs.asdict()
        return (attributes["ome"], True) if "ome" in attributes else (attributes, False)

    def _listed(self) -> list[dict[str, Any]]:
        return list(self._image()[0]["multiscales"][0]["datasets"])

    def _list(self, datasets: list[dict[str, Any]]) -> None:
        described, nested = self._image()
        first, *others = described["multiscales"]
        changed = {**described, "multiscales": [{**first, "datasets": datasets}, *others]}
        with storage_errors(f"list the levels of {self._place}"):
            # The object that holds the target's identity too: on the disk before anything goes on.
            put_attributes(self._folder, self._group.metadata.zarr_format, {"ome": changed} if nested else changed)
            self._open()


def _chunks(array: Any) -> Iterator[tuple[int, ...]]:
    return product(*map(range, map(ceil_div, array.shape, array.chunks)))


def _read(array: Any, index: Sequence[slice]) -> np.ndarray:
    return patiently(lambda: np.asarray(array[tuple(index)]))


def _write(array: Any, index: Sequence[slice], block: np.ndarray) -> None:
    patiently(lambda: array.__setitem__(tuple(index), block))


def _nearest(pixels: np.ndarray, coarse: int, fine: int) -> np.ndarray:
    """The finer pixels in which the centres of coarser ones lie."""
    return np.minimum((2 * pixels + 1) * fine // (2 * coarse), fine - 1)


def has_means(dtype: np.dtype) -> bool:
    """Whether means of pixels are pixels: not of names, of booleans, or of integers that no float64 holds."""
    return bool(jnp.issubdtype(dtype, jnp.floating)) or (dtype.kind in "iu" and dtype.itemsize <= 4)


def mean_of(block: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """The means of blocks of `factors` pixels, of fewer at the end; of integers rounded to the nearest.

    Args:
        block: of a type that has means.
        factors: 1 or 2 per axis.
    """
    mean = block.astype(np.float64)
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, mean.shape[axis], factor)
            counts = np.diff(np.append(starts, mean.shape[axis]))
            total = np.add.reduceat(mean, starts, axis=axis)
            mean = total / counts.reshape([-1 if k == axis else 1 for k in range(mean.ndim)])
    return (np.rint(mean) if block.dtype.kind in "iu" else mean).astype(block.dtype)
