"""A slice of an image that moves along one of its axes: taken for an image itself, and moved further along."""

from __future__ import annotations

from dataclasses import replace

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import UNKNOWN, Axis
from shiftjax.certifier._domain.values import Image, Value


def as_image(value: Value, along: int) -> Value:
    """A slice taken for an image itself along one axis: its index i reads its own pixel i."""
    if not isinstance(value, Image):
        return value
    axes = [
        domain.whole(along, tag.size) if isinstance(tag, Axis) and tag.image == along else tag for tag in value.axes
    ]
    offset = {k: n for k, n in value.offset.items() if k != along}
    return replace(value, axes=tuple(axes), offset=offset, made_by=None, zero=False, parts=())


def is_exact(value: Value, along: int, *, alone: bool = False) -> bool:
    """Whether all indices along an image axis are exact and, if `alone`, whether period and phases are 1."""
    if not isinstance(value, Image):
        return True
    axis = value.along(along) or next((axis for _, axis in value.detached if axis.image == along), None)
    if axis is None or value.resized or axis.exact != (0, axis.size):
        return False
    return not alone or axis.period == axis.phases == 1


def further(value: Value, along: int, by: int) -> Value:
    """The same map in an array that begins so many indices further along, where it is exact throughout."""
    if not isinstance(value, Image):
        return value

    def moved(axis: Axis) -> Axis:
        there = domain.window(axis, axis.size, left=-by)
        return replace(there, exact=(0, axis.size), start=0, stop=axis.size, border=UNKNOWN)

    axes = [moved(tag) if isinstance(tag, Axis) and tag.image == along else tag for tag in value.axes]
    detached = tuple((loop, moved(axis) if axis.image == along else axis) for loop, axis in value.detached)
    return replace(
        value.shifted(value.shape, axes, {along: by * value.strides[along]}), made_by=None, detached=detached
    )
