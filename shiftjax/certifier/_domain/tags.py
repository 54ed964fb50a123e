"""What an array axis runs along: an axis of the image, several of them flattened, one that is lost, or channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shiftjax.certifier._domain.axis import Axis


@dataclass(frozen=True, slots=True)
class Flattened:
    """Several axes merged into one, slowest first: the size of each, and its axis or None for channels."""

    parts: tuple[tuple[int, Axis | None], ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """An image axis whose indices no longer follow the image.

    It may be put beside the image as a border, which is not exact anyway. Any other use raises `why`.

    Attributes:
        image: which image axis.
        why: the refusal.
        pixel: where a single index was spread over the axis, what that index reads; else None.
    """

    image: int
    why: BaseException
    pixel: Axis | None = None


AxisTag = Axis | Flattened | Broken | None  # what an array axis runs along; None for channels


def image_axes(tags: Iterable[AxisTag]) -> list[int]:
    """The image axes that these array axes run along."""
    return [axis.image for tag in tags for axis in _axes(tag)]


def following(tags: Iterable[AxisTag]) -> list[Axis]:
    """Those of them whose indices follow the image."""
    return [axis for tag in tags for axis in _axes(tag) if isinstance(axis, Axis)]


def _axes(tag: AxisTag) -> list[Axis | Broken]:
    if isinstance(tag, Flattened):
        return [axis for _, axis in tag.parts if axis is not None]
    return [] if tag is None else [tag]


def mapped(tag: AxisTag, change: Callable[[Axis], Axis]) -> AxisTag:
    """The same array axis with every image axis in it changed."""
    if isinstance(tag, Flattened):
        return Flattened(tuple((n, change(axis) if axis is not None else None) for n, axis in tag.parts))
    if isinstance(tag, Broken) and tag.pixel is not None:
        return Broken(tag.image, tag.why, change(tag.pixel))
    return change(tag) if isinstance(tag, Axis) else tag
