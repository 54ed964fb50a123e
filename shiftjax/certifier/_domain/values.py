"""What the interpreter knows of an array: its value, nothing but its shape, or how it reads the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain import offset as offsets
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.offset import Offset
from shiftjax.certifier._domain.tags import AxisTag, Broken, following, image_axes, mapped


@dataclass(frozen=True)
class Resized:
    """A map resized along some of its axes, in whatever order, since products along different axes commute.

    Attributes:
        map: what was resized.
        bands: for each image axis that was, the name of its resizing.
        layout: for each array axis, which axis of the map it is.
        borders: for each image axis that was, how its ends are treated, by its own resizing alone.
    """

    map: str
    bands: tuple[tuple[int, str], ...]
    layout: tuple[int, ...]
    borders: tuple[tuple[int, domain.Border], ...] = field(compare=False)

    @property
    def name(self) -> str:
        return digest("resized", self.map, self.bands, self.layout)


@dataclass(frozen=True)
class Image:
    """An array that depends on the image.

    Each image axis runs along exactly one array axis, or is detached: then this array is one index of a larger array,
    along whose missing axis the image runs. The other array axes are channels.
    """

    shape: tuple[int, ...]
    axes: tuple[AxisTag, ...]
    map: str  # digest of the map from the image, up to sizes along image axes and to the offset
    offset: Offset = field(default_factory=dict)  # where along the map index 0 lies
    made_by: Resized | None = None  # the resizing that the map is, if it is one
    zero: bool = False  # whether all elements are 0 or -0 for a finite image; only products with zero set it
    finite: bool = False  # whether all elements are finite for a finite image: the image itself, and zeros
    detached: tuple[tuple[int, Axis], ...] = ()  # 0 for index 0, or the loop whose turn is the index; and the axis
    parts: tuple[Any, ...] = ()  # that it was assembled from, if nothing was done to it since

    @property
    def name(self) -> str:
        """Digest of map and offset: arrays of one name agree, index by index."""
        return digest("offset", self.map, offsets.key(self.offset)) if self.offset else self.map

    @property
    def resized(self) -> Resized | None:
        """How the map was resized, if nothing but transpositions was done since, at its ends neither."""
        made = self.made_by
        if made is None or made.name != self.map or self.borders != self.as_resized(made).borders:
            return None
        return made

    @property
    def spatial(self) -> tuple[int, ...]:
        """The array axes along which the image runs."""
        return tuple(k for k, tag in enumerate(self.axes) if tag is not None)

    @property
    def broken(self) -> Broken | None:
        """The first axis that no longer follows the image, if there is one."""
        return next((tag for tag in self.axes if isinstance(tag, Broken)), None)

    @property
    def channels(self) -> tuple[int | None, ...]:
        """The shape without sizes along image axes."""
        return tuple(n if tag is None else None for n, tag in zip(self.shape, self.axes, strict=True))

    @property
    def image_axes(self) -> tuple[int, ...]:
        """All image axes."""
        return tuple(sorted([*image_axes(self.axes), *(axis.image for _, axis in self.detached)]))

    @property
    def slice_of(self) -> tuple[tuple[int, int], ...]:
        """The image axes that are detached, and of which index."""
        return tuple((axis.image, loop) for loop, axis in self.detached)

    @property
    def strides(self) -> dict[int, Fraction]:
        """Image pixels per index, of every image axis that still follows the image."""
        return {axis.image: axis.stride for axis in self._followed}

    @property
    def exact_throughout(self) -> bool:
        """Whether all of it equals the infinite array, so that nothing was put beside the image."""
        return all(axis.exact == (0, axis.size) for axis in self._followed)

    def along(self, image: int) -> Axis | None:
        """The axis that runs along an image axis, where it stands alone."""
        return next((tag for tag in self.axes if isinstance(tag, Axis) and tag.image == image), None)

    def with_fixed_offset(self) -> Image:
        """The same array with the offset as part of its map, for operations that do not move along with the image."""
        return replace(self.settled(), map=self.name, offset={}, parts=())

    def settled(self) -> Image:
        """The same array before a step that depends on where it is done: that is named at the ends of its axes."""
        detached = tuple((loop, axis.settled()) for loop, axis in self.detached)
        return replace(self, axes=tuple(mapped(tag, Axis.settled) for tag in self.axes), detached=detached)

    def with_borders(self, *by: Any) -> Image:
        """The same array, the ends of all its image axes named also by a step that treats both alike."""
        name = digest(*by)
        axes = tuple(mapped(tag, lambda axis: axis.bordered(name, name)) for tag in self.axes)
        detached = tuple((loop, axis.bordered(name, name)) for loop, axis in self.detached)
        return replace(self, axes=axes, detached=detached, parts=())

    def as_resized(self, resized: Resized) -> Image:
        """The same array, its map and borders named as those of a resized map.

        The products commute, and which comes first may depend on the size: the names do not depend on the order.
        """
        own = dict(resized.borders)
        axes = tuple(mapped(tag, lambda axis: replace(axis, border=own[axis.image])) for tag in self.axes)
        named = replace(self, axes=axes).with_borders("resized", resized.bands, resized.layout)
        return replace(named, map=resized.name, made_by=resized)

    @property
    def borders(self) -> tuple[domain.Border, ...]:
        """How the ends of all image axes are named."""
        return tuple(axis.border for axis in self._followed)

    def borders_beside(self, along: int) -> tuple[domain.Border, ...]:
        """The same without those of one array axis."""
        beside = [*following(_without(self.axes, along)), *(axis for _, axis in self.detached)]
        return tuple(axis.border for axis in beside)

    @property
    def _followed(self) -> list[Axis]:
        """The axes of all image axes that still follow the image."""
        return [*following(self.axes), *(axis for _, axis in self.detached)]

    def shifted(self, shape: Sequence[int], axes: Sequence[AxisTag], by: Offset) -> Image:
        """The same map, in an array that begins so much further along."""
        offset = offsets.plus(self.offset, by)
        return replace(self, shape=tuple(shape), axes=tuple(axes), offset=offset, zero=False, finite=False, parts=())

    def without(self, along: int) -> Image:
        """The same array without an axis of size 1."""
        return replace(
            self,
            shape=_without(self.shape, along),
            axes=_without(self.axes, along),
            made_by=None,
            zero=False,
            finite=False,
            parts=(),
        )

    def detach(self, along: int, loop: int = 0) -> Image:
        """One index of this array along an axis: 0 of an axis of size 1, or that of the turn of a loop."""
        axis = self.axes[along]
        assert isinstance(axis, Axis)
        detached = sorted([*self.detached, (loop, axis)], key=lambda entry: entry[1].image)
        return replace(self.without(along), detached=tuple(detached))

    def attach(self, along: int, size: int = 1, loop: int = 0, image: int | None = None) -> Image | None:
        """The inverse of `detach`: the array that this is one index of.

        None unless exactly one axis is detached in that way, and is the given image axis, if one is given.
        """
        own = [entry for entry in self.detached if entry[0] == loop and image in (None, entry[1].image)]
        if len(own) != 1:
            return None
        shape = (*self.shape[:along], size, *self.shape[along:])
        axes = (*self.axes[:along], own[0][1], *self.axes[along:])
        rest = tuple(entry for entry in self.detached if entry != own[0])
        where = digest("attached", along, self.map)  # put back along another axis, it is another map
        return Image(shape, axes, where, self.offset, detached=rest)


def _without(entries: tuple[Any, ...], k: int) -> tuple[Any, ...]:
    return (*entries[:k], *entries[k + 1 :])


@dataclass(frozen=True)
class Refused:
    """An array of which nothing is proved. Whatever is computed from it is refused, for the same reason."""

    shape: tuple[int, ...]
    why: Exception


Constant = Known | Unknown
Value = Known | Unknown | Image
Result = Value | Refused


def proved(results: Sequence[Result]) -> list[Value]:
    """These results, all of which are needed. Raises the first refusal among them."""
    values: list[Value] = []
    for result in results:
        if isinstance(result, Refused):
            raise result.why.with_traceback(None)  # raised again at every equation, it would grow by each
        values.append(result)
    return values
