"""Which letter each axis of a stored array has: what its metadata say, what the caller says, or what is assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from shiftjax._checks import fail, shown
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._sources.ome_zarr import Geometry
from shiftjax.volume._sources.stored import Stored


class Named(NamedTuple):
    """The axes of an array.

    Attributes:
        axes: a letter for each, `.` for an axis of one pixel that is left out.
        geometry: of the pixels.
        assumed: whether nobody has named the axes.
    """

    axes: str
    geometry: Geometry
    assumed: bool


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
    names = None if stored.names is None else "".join(stored.names[k] for k in kept)
    if asked is None:
        axes = _of_metadata(names, kept, stored) if names is not None else _assumed(len(kept))
        return Named(_placed(axes, kept, shape), stored.geometry, names is None or stored.assumed)
    axes = axis_names.check_axes(asked, len(kept))
    if names is None:
        return Named(_placed(axes, kept, shape), stored.geometry, False)
    agrees = [a == name or name == "?" for a, name in zip(axes, names, strict=True)]
    if not all(agrees[kept.index(k)] for k in stored.binding if k in kept):
        mend = "leave `axes` out, or open the array itself by its path" if "?" not in names else ""
        fail("axes", f"{_words(names)}, as the source's metadata say", shown(asked), mend)
    # What is asked for goes first, without sizes that belong elsewhere.
    return Named(_placed(axes, kept, shape), stored.geometry if all(agrees) else Geometry(), False)


def _placed(axes: str, kept: Sequence[int], shape: Sequence[int]) -> str:
    """A letter for each axis of the array, those that are left out included."""
    return "".join(axes[kept.index(k)] if k in kept else axis_names.LEFT_OUT for k in range(len(shape)))


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


def _of_metadata(names: str, kept: Sequence[int], stored: Stored) -> str:
    if "?" in names or len(set(names)) < len(names):
        expected = "a letter among t, c, z, y and x for each axis, and each letter once"
        # Of two axes with one letter it is the one with which the caller must agree, such as a pixel's samples.
        loose = [names.count(name) > 1 and k not in stored.binding for k, name in zip(kept, names, strict=True)]
        open_names = "".join("?" if free else name for free, name in zip(loose, names, strict=True))
        fail("axes", expected, f"{stored.said} in the source's metadata", _advice(open_names))
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
