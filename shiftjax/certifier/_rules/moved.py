"""A slice of an image that moves along one of its axes: taken for an image itself, and moved further along."""

from __future__ import annotations

from dataclasses import replace

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import UNKNOWN, Axis, Border
from shiftjax.certifier._domain.values import Image, Value

FAR = 1 << 40  # indices: further than any array is long


def as_image(value: Value, along: int) -> Value:
    """A slice taken for an image itself along one axis, far away: its index i reads its own pixel i."""
    if not isinstance(value, Image):
        return value

    def itself(axis: Axis) -> Axis:
        return replace(domain.whole(along, axis.size), border=_ends_moved(axis, FAR))

    axes = [itself(tag) if isinstance(tag, Axis) and tag.image == along else tag for tag in value.axes]
    offset = {k: n for k, n in value.offset.items() if k != along}
    return replace(value, axes=tuple(axes), offset=offset, made_by=None, zero=False, finite=False, parts=())


def is_exact(value: Value, along: int, *, alone: bool = False) -> bool:
    """Whether all indices along an image axis are exact and, if `alone`, whether period and phases are 1."""
    if not isinstance(value, Image):
        return True
    axis = _along(value, along)
    if axis is None or value.resized or axis.exact != (0, axis.size):
        return False
    return not alone or axis.period == axis.phases == 1


def ends_move(value: Value, alone: Value, along: int) -> bool:
    """Whether the ends of a result, known throughout, move as those of the slices, as the result for `as_image` shows.

    Then nothing that was done to the slices depends on where it is done.
    """
    if not isinstance(value, Image) or not isinstance(alone, Image):
        return True
    axis, far = _along(value, along), _along(alone, along)
    if axis is None or far is None or (axis.start, axis.stop) != (0, axis.size):
        return False
    return far.border == _ends_moved(axis, FAR)


def _along(image: Image, along: int) -> Axis | None:
    return image.along(along) or next((axis for _, axis in image.detached if axis.image == along), None)


def _ends_moved(axis: Axis, by: int) -> Border:
    """The ends of an axis as they are so many indices further along."""
    return axis.border[0].placed(-by), axis.border[1].placed(by)


def further(value: Value, along: int, by: int, *, ends: bool) -> Value:
    """The same map in an array that begins so many indices further along, where it is exact throughout.

    Its ends are named if they `ends_move`.
    """
    if not isinstance(value, Image):
        return value

    def moved(axis: Axis) -> Axis:
        there = domain.window(axis, axis.size, left=-by)
        return replace(
            there, exact=(0, axis.size), start=0, stop=axis.size, border=_ends_moved(axis, by) if ends else UNKNOWN
        )

    axes = [moved(tag) if isinstance(tag, Axis) and tag.image == along else tag for tag in value.axes]
    detached = tuple((loop, moved(axis) if axis.image == along else axis) for loop, axis in value.detached)
    return replace(
        value.shifted(value.shape, axes, {along: by * value.strides[along]}), made_by=None, detached=detached
    )
