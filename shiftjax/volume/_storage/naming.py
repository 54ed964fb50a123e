"""Which letter each axis of a stored array has: what its metadata say, what the caller says, or what is assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shiftjax._checks import fail, shown
from shiftjax.volume._storage import axes as axis_names
from shiftjax.volume._storage.ome_zarr import Geometry
from shiftjax.volume._storage.stored import Stored


class Named(NamedTuple):
    """An array with a letter for each axis.

    Attributes:
        array: as it is stored, without axes of one pixel that have no letter.
        axes: letters.
        geometry: of the pixels.
        assumed: whether nobody has named the axes.
    """

    array: Any
    axes: str
    geometry: Geometry
    assumed: bool


@dataclass(frozen=True)
class Squeezed:
    """An array without some of its axes of length 1.

    Attributes:
        array: with all axes.
        kept: positions of those that stay.
    """

    array: Any
    kept: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the axes that stay."""
        return tuple(self.array.shape[k] for k in self.kept)

    @property
    def dtype(self) -> Any:
        """Of the array."""
        return self.array.dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """What is read at a time, where the array says so."""
        chunks = getattr(self.array, "chunks", None)
        return None if chunks is None else tuple(chunks[k] for k in self.kept)

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        whole: list[slice] = [slice(None)] * len(self.array.shape)
        for position, part in zip(self.kept, index, strict=True):
            whole[position] = part
        dropped = tuple(k for k in range(len(whole)) if k not in self.kept)
        return np.asarray(self.array[tuple(whole)]).squeeze(dropped)


def name_axes(stored: Stored, asked: Any) -> Named:
    """Letters for the axes: those of the metadata, else those that are asked for, else those that are assumed.

    Axes of length 1 that have no letter are left out. Without names, arrays of up to three axes are taken for "zyx".

    Args:
        stored: the array and what its metadata say.
        asked: what the caller says, or None.

    Raises:
        ValueError: metadata and caller do not agree, or neither names the axes.
    """
    if asked is not None and not isinstance(asked, str):
        fail("axes", "letters among t, c, z, y and x, one for each axis", shown(asked))
    shape = tuple(int(n) for n in stored.array.shape)
    kept = _kept(shape, stored.names, None if asked is None else len(asked))
    array = stored.array if len(kept) == len(shape) else Squeezed(stored.array, kept)
    names = None if stored.names is None else "".join(stored.names[k] for k in kept)
    if asked is None:
        axes = _of_metadata(names, stored) if names is not None else _assumed(len(kept))
        return Named(array, axes, stored.geometry, names is None or stored.assumed)
    axes = axis_names.check_axes(asked, len(kept))
    if names is None:
        return Named(array, axes, stored.geometry, False)
    agrees = [a == name or name == "?" for a, name in zip(axes, names, strict=True)]
    if not all(agrees[kept.index(k)] for k in stored.binding if k in kept):
        mend = "leave `axes` out, or open the array itself by its path" if "?" not in names else ""
        fail("axes", f"{_words(names)}, as the source's metadata say", repr(asked), mend)
    # What is asked for goes first, without sizes that belong elsewhere.
    return Named(array, axes, stored.geometry if all(agrees) else Geometry(), False)


def _kept(shape: tuple[int, ...], names: str | None, count: int | None) -> tuple[int, ...]:
    """Positions of the axes that stay; `count` is how many the caller names."""
    every = tuple(range(len(shape)))
    if count is not None:  # of axes of length 1 it does not matter which is left out
        surplus = len(shape) - count
        single = [k for k in every if shape[k] == 1]
        single.sort(key=lambda k: names is not None and names[k] != "?")
        return tuple(k for k in every if k not in single[:surplus]) if 0 < surplus <= len(single) else every
    if names is not None:
        return tuple(k for k in every if shape[k] > 1 or (names[k] != "?" and names.count(names[k]) == 1))
    while len(every) > len(axis_names.SPACE) and shape[every[0]] == 1:
        every = every[1:]
    return every


def _assumed(ndim: int) -> str:
    default = axis_names.default_axes(ndim)
    if not 1 <= ndim <= len(axis_names.SPACE):
        fail("axes", f"a letter for each of the source's {ndim} axes", "none", f"say {default!r}" if ndim else "")
    return default


def _of_metadata(names: str, stored: Stored) -> str:
    if "?" in names or len(set(names)) < len(names):
        expected = "a letter among t, c, z, y and x for each axis, and each letter once"
        fail("axes", expected, f"{stored.said} in the source's metadata", _advice(names))
    return axis_names.check_axes(names, len(names))


def _advice(names: str) -> str:
    """What to say instead, where the user alone knows."""
    if names.count("?") == 1 and len(set(names)) == len(names):
        words = {"z": "planes of a stack", "t": "time points", "c": "channels"}
        free = [letter for letter in words if letter not in names]
        return "say " + ", or ".join(f"axes={names.replace('?', letter)!r} for {words[letter]}" for letter in free)
    if set(names) == {"?"} and len(names) <= len(axis_names.SPACE):
        default = axis_names.default_axes(len(names))
        return f"say which they are: axes={default!r}, or axes={default[::-1]!r}"
    return "say which they are by `axes`, or give a part of the array with fewer axes"


def _words(names: str) -> str:
    return repr(names) if "?" not in names else f"{names.replace('?', '.')!r} with a letter in place of each dot"
