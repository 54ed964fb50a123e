"""Names of axes: a stored array as images `(batch, *space, channel)`, whatever the order of its t, c, z, y and x.

A network sees space, which are z, y and x, or y and x alone where it runs over the planes of a stack. The other axes
among t and z count *frames*: images one after the other, t before z.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shiftjax._checks import fail, shown

ORDER = "tczyx"  # the order that OME-Zarr asks for
SPACE = "zyx"
LEFT_OUT = "."  # in place of the letter of an axis of one pixel that means nothing
WORDS = {"time": "t", "channel": "c", "channels": "c", "depth": "z", "height": "y", "width": "x"}


def letters(names: Sequence[object]) -> str:
    """A letter for each name that metadata give: t, c, z, y or x, and `?` for one that is none of them."""
    known = [str(name).strip().lower() for name in names]
    return "".join(name if len(name) == 1 and name in ORDER else WORDS.get(name, "?") for name in known)


def check_axes(axes: str, ndim: int) -> str:
    """`axes` in lower case, one letter for each of `ndim` axes.

    Raises:
        ValueError: unknown or repeated letters, no spatial axis, or another number of axes.
    """
    names = axes.lower() if isinstance(axes, str) else axes
    expected = f"one of the letters t, c, z, y, x for each of the source's {ndim} axes, like {default_axes(ndim)!r}"
    if not isinstance(names, str) or len(names) != ndim or len(set(names)) != ndim or set(names) - set(ORDER):
        fail("axes", expected, shown(axes))
    if not spatial(names):
        fail("axes", "at least one of z, y and x", shown(axes))
    return names


def default_axes(ndim: int) -> str:
    """The last `ndim` of t, c, z, y, x."""
    return ORDER[-ndim:]


def spatial(axes: str, ndim: int = len(SPACE)) -> str:
    """The spatial axes among `axes`, in the order z, y, x that the network sees; the last `ndim` of them."""
    return "".join(name for name in SPACE if name in axes)[-ndim:]


def framing(axes: str, ndim: int) -> str:
    """The axes that count frames where a network sees `ndim` spatial axes: those of t and z that it does not see."""
    return "".join(name for name in "tz" if name in axes and name not in spatial(axes, ndim))


def frames(axes: str, shape: Sequence[int], ndim: int) -> int:
    """How many frames an array of this shape has."""
    return math.prod(shape[axes.index(name)] for name in framing(axes, ndim))


def frame_place(axes: str, shape: Sequence[int], ndim: int, frame: int) -> dict[str, int]:
    """Where a frame lies along the axes that count frames."""
    names = framing(axes, ndim)
    place = np.unravel_index(frame, tuple(shape[axes.index(name)] for name in names)) if names else ()
    return {name: int(index) for name, index in zip(names, place, strict=True)}


def frame_at(axes: str, shape: Sequence[int], ndim: int, index: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """The frame of an element of the stored array, and its pixel in space."""
    names = framing(axes, ndim)
    sizes, at = ([each[axes.index(name)] for name in names] for each in (shape, index))
    frame = int(np.ravel_multi_index(at, sizes)) if names else 0
    return frame, tuple(index[axes.index(name)] for name in spatial(axes, ndim))


def block_index(
    axes: str, slices: Sequence[slice], frame: int, shape: Sequence[int], channel: int | None = None
) -> tuple[slice, ...]:
    """A block of one frame as an index of the stored array.

    Args:
        axes: of the stored array.
        slices: pixels per spatial axis that the network sees, in the order z, y, x.
        frame: counts the axes that the network does not see.
        shape: of the stored array.
        channel: the only one to take; None for all.
    """
    place = frame_place(axes, shape, len(slices), frame)
    by_name = {name: slice(index, index + 1) for name, index in place.items()}
    by_name |= dict(zip(spatial(axes, len(slices)), slices, strict=True))
    if channel is not None:
        by_name["c"] = slice(channel, channel + 1)
    return tuple(by_name.get(name, slice(None)) for name in axes)


def to_image(block: np.ndarray, axes: str, ndim: int = len(SPACE)) -> np.ndarray:
    """A block of one frame as `(1, *space, channel)`, its spatial axes in the order z, y, x.

    Args:
        block: one axis for each letter of `axes`; those that count frames have one entry.
        axes: without c there is one channel.
        ndim: spatial axes that the network sees.
    """
    counted = framing(axes, ndim) + LEFT_OUT
    block = block.squeeze(tuple(k for k, name in enumerate(axes) if name in counted))
    axes = "".join(name for name in axes if name not in counted)
    order = [axes.index(name) for name in spatial(axes, ndim) + "c" if name in axes]
    image = block.transpose(order)[None]
    return image if "c" in axes else image[..., None]


def from_image(image: np.ndarray, axes: str) -> np.ndarray:
    """The inverse: `(1, *space, channel)` as a block with one axis for each letter of `axes`, one entry per frame axis.

    Without c among `axes`, the image must have one channel.
    """
    ndim = image.ndim - 2
    names = spatial(axes, ndim) + "c"
    block = image[0]
    if "c" not in axes:
        block, names = block[..., 0], names[:-1]
    for name in framing(axes, ndim):
        block, names = block[None], name + names
    return block.transpose([names.index(name) for name in axes])


def describe(axes: str, slices: Sequence[slice], frame: int | None = None, shape: Sequence[int] | None = None) -> str:
    """Where a block lies, for people: `z 0 to 64, y 32 to 96 at time 3`."""
    names = spatial(axes, len(slices))
    pixels = ", ".join(f"{name} {part.start} to {part.stop}" for name, part in zip(names, slices, strict=True))
    if frame is None or shape is None:
        return pixels
    place = frame_place(axes, shape, len(slices), frame)
    words = {"t": " at time", "z": " in plane"}
    return pixels + "".join(f"{words[name]} {index}" for name, index in place.items())
