"""Names of axes: a stored array as images `(batch, *space, channel)`, whatever the order of its t, c, z, y and x."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shiftjax._checks import fail

ORDER = "tczyx"  # the order that OME-Zarr asks for
SPACE = "zyx"


def check_axes(axes: str, ndim: int) -> str:
    """`axes` in lower case, one letter for each of `ndim` axes.

    Raises:
        ValueError: unknown or repeated letters, no spatial axis, or another number of axes.
    """
    names = axes.lower() if isinstance(axes, str) else axes
    expected = f"one of the letters t, c, z, y, x for each of the source's {ndim} axes, like {default_axes(ndim)!r}"
    if not isinstance(names, str) or len(names) != ndim or len(set(names)) != ndim or set(names) - set(ORDER):
        fail("axes", expected, repr(axes))
    if not spatial(names):
        fail("axes", "at least one of z, y and x", repr(axes))
    return names


def default_axes(ndim: int) -> str:
    """The last `ndim` of t, c, z, y, x."""
    return ORDER[-ndim:]


def spatial(axes: str) -> str:
    """The spatial axes among `axes`, in the order z, y, x that the network sees."""
    return "".join(name for name in SPACE if name in axes)


def block_index(axes: str, slices: Sequence[slice], time: int) -> tuple[slice, ...]:
    """A block of one time point and all channels as an index of the stored array.

    Args:
        axes: of the stored array.
        slices: pixels per spatial axis, in the order z, y, x.
        time: the time point; without meaning where `axes` has no t.
    """
    by_name = {"t": slice(time, time + 1), **dict(zip(spatial(axes), slices, strict=True))}
    return tuple(by_name.get(name, slice(None)) for name in axes)


def to_image(block: np.ndarray, axes: str) -> np.ndarray:
    """A block of one time point as `(1, *space, channel)`, its spatial axes in the order z, y, x.

    Args:
        block: one axis for each letter of `axes`; t has one entry.
        axes: without c there is one channel.
    """
    if "t" in axes:
        block, axes = block.squeeze(axes.index("t")), axes.replace("t", "")
    order = [axes.index(name) for name in spatial(axes) + "c" if name in axes]
    image = block.transpose(order)[None]
    return image if "c" in axes else image[..., None]


def from_image(image: np.ndarray, axes: str) -> np.ndarray:
    """The inverse: `(1, *space, channel)` as a block with one axis for each letter of `axes`, t with one entry.

    Without c among `axes`, the image must have one channel.
    """
    names = spatial(axes) + "c"
    block = image[0]
    if "c" not in axes:
        block, names = block[..., 0], names[:-1]
    if "t" in axes:
        block, names = block[None], "t" + names
    return block.transpose([names.index(name) for name in axes])


def describe(axes: str, slices: Sequence[slice], time: int | None = None) -> str:
    """Where a block lies, for people: `z 0 to 64, y 32 to 96 at time 3`."""
    pixels = [f"{name} {part.start} to {part.stop}" for name, part in zip(spatial(axes), slices, strict=True)]
    return ", ".join(pixels) + (f" at time {time}" if "t" in axes and time is not None else "")
