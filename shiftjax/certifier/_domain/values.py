"""What the interpreter knows of an array: its value, nothing but its shape, or how it reads the image."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain import offset as offsets
from shiftjax.certifier._domain.axis import Axis, AxisTag, Broken
from shiftjax.certifier._domain.offset import Offset
from shiftjax.certifier._domain.rounding import Rounding, of_value

_opaque = itertools.count()
Repeats = Mapping[int, int]  # array axis -> number of elements after which the values along it repeat
NONE: Repeats = MappingProxyType({})


def stable(value: Any) -> Any:
    """A parameter as plain text and numbers, the same in every run; an unknown object is like no other."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if isinstance(value, tuple | list):
        return type(value).__name__, tuple(map(stable, value))
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Mapping):
        return tuple((k, stable(v)) for k, v in sorted(value.items()))
    if isinstance(value, np.dtype | np.generic) or (isinstance(value, type) and issubclass(value, np.generic)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, tuple(stable(getattr(value, f.name)) for f in dataclasses.fields(value))
    return f"opaque {next(_opaque)}"


def digest(*parts: Any) -> str:
    """A name for a step of the derivation: equal names mean equal derivations."""
    return hashlib.blake2b(repr(stable(parts)).encode(), digest_size=12).hexdigest()


def compact(value: np.ndarray) -> np.ndarray:
    """A broadcast array, cut to one element along the axes of the broadcast."""
    return value[(..., *(slice(None) if step else slice(1) for step in value.strides))]


@dataclass(frozen=True)
class Unknown:
    """An array that does not depend on the image and whose value is unknown: a parameter, or computed from one."""

    shape: tuple[int, ...]
    name: str  # digest of how it was made
    uniform_axes: frozenset[int] = frozenset()  # axes along which a broadcast proves it uniform
    periods: tuple[tuple[int, int], ...] = ()  # axes along which it was repeated, and after how many elements

    def period(self, axis: int) -> int | None:
        """After how many elements the value repeats along an axis, for sure; None where it may not."""
        return 1 if self.uniform(axis) else dict(self.periods).get(axis)

    def uniform(self, axis: int) -> bool:
        """Whether the value is surely the same all along an axis."""
        return axis in self.uniform_axes or self.shape[axis] < 2

    def key(self, repeats: Repeats = NONE) -> str:
        """The name of the value; sizes along the axes in `repeats` are left out."""
        sizes = tuple(None if k in repeats else n for k, n in enumerate(self.shape))
        return digest("unknown", self.name, sizes)


class Known:
    """An array whose value does not depend on the image and can be computed. It is computed when asked for.

    A value that may be off by rounding (`exact` is False) proves nothing about what the compiled network sees, so it
    is named, and called uniform, by how it is derived. So is a large band, which is never written out.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        compute: Callable[[], tuple[np.ndarray, Rounding]],
        derive: Callable[[], Unknown],
        origin: str = "",
        *,
        quotient: bool = False,
        made: tuple[Any, list[Known]] | None = None,
        band: Callable[[Known], Any] = lambda known: None,
    ) -> None:
        self.shape = shape
        self.made = made  # of a large matrix that is computed pointwise: the equation and its operands
        self._band = band
        self.quotient = quotient  # whether it comes of a division of floats
        self.origin = origin  # the name of the closed-over array that it is or comes from, if any
        self._keys: dict[tuple[tuple[int, int], ...], str] = {}
        self._compute = compute
        self._derive = derive

    @classmethod
    def of(cls, value: np.ndarray, origin: str = "") -> Known:
        """A value that is at hand, and exact."""
        return cls(
            value.shape,
            lambda: (value, of_value(value)),
            lambda: Unknown(value.shape, digest("value", value.shape, str(value.dtype), value.tobytes())),
            origin,
        )

    @functools.cached_property
    def derivation(self) -> Unknown:
        """All that is known without its value."""
        return self._derive()

    @functools.cached_property
    def _computed(self) -> tuple[np.ndarray, Rounding]:
        return self._compute()

    @functools.cached_property
    def band(self) -> Any:
        """All of a large matrix that may not be zero, if that is a band."""
        return self._band(self) if self.made else None

    @property
    def value(self) -> np.ndarray:
        return self._computed[0]

    @property
    def rounding(self) -> Rounding:
        """How far other ways to compute the value may be off."""
        return self._computed[1]

    @functools.cached_property
    def exact(self) -> bool:
        """Whether every way to compute the value gives these bits."""
        return not self.rounding.error.any()

    def row(self, at: int) -> Known:
        """One entry along the first axis, as exact or rounded as it is here."""
        if self.exact:
            return Known.of(np.asarray(self.value[at]), self.origin)

        def compute() -> tuple[np.ndarray, Rounding]:
            error = np.broadcast_to(self.rounding.error, self.shape)[at]
            return np.asarray(self.value[at]), self.rounding._replace(error=error)

        def derive() -> Unknown:
            uniform = frozenset(k for k in range(len(self.shape) - 1) if self.uniform(k + 1))
            return Unknown(self.shape[1:], digest("row", self.key(), at), uniform)

        return Known(self.shape[1:], compute, derive, self.origin, quotient=self.quotient)

    @property
    def compact(self) -> np.ndarray:
        """The value, cut to one element along axes of a broadcast."""
        return compact(self.value)

    def columns(self, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The columns of a matrix, without what is surely zero.

        Args:
            rows: the axis of the elements of a column.

        Returns:
            The columns (column, element), the first element that is kept of each, and bounds on the errors.
        """
        band = self.band if rows == 0 else None
        if band is not None:
            return band.values, band.start, band.error
        error = np.broadcast_to(self.rounding.error, self.shape)
        columns = np.moveaxis(self.value, rows, 1)
        return columns, np.zeros(len(columns), int), np.moveaxis(error, rows, 1)

    def period(self, axis: int) -> int | None:
        """After how many elements the derivation of the value repeats it along an axis; None where it may not."""
        return 1 if self.uniform(axis) else self.derivation.period(axis)

    def uniform(self, axis: int) -> bool:
        """Whether the value is surely the same all along an axis, bit for bit."""
        if self.band is not None or not self.exact:
            return self.derivation.uniform(axis)
        value = self.value
        if value.shape[axis] < 2 or value.strides[axis] == 0:
            return True
        rows = np.moveaxis(self.compact, axis, 0)
        return all(row.tobytes() == rows[0].tobytes() for row in rows)

    def key(self, repeats: Repeats = NONE) -> str:
        """The name of the value. Along an axis in `repeats` its first elements name it, whatever its length."""
        if self.band is not None or not self.exact:
            return self.derivation.key(repeats)
        parts = tuple(sorted(repeats.items()))
        if parts not in self._keys:
            value = self.value[tuple(slice(repeats.get(k)) for k in range(len(self.shape)))]
            self._keys[parts] = digest("known", value.shape, str(value.dtype), value.tobytes())
        return self._keys[parts]


@dataclass(frozen=True)
class Resized:
    """A map resized along some of its axes, in whatever order, since products along different axes commute.

    Attributes:
        map: that was resized.
        bands: for each image axis, all that names its resizing.
        layout: for each array axis, which axis of the map it is.
    """

    map: str
    bands: tuple[tuple[int, str], ...]
    layout: tuple[int, ...]

    @property
    def name(self) -> str:
        return digest("resized", self.map, self.bands, self.layout)


@dataclass(frozen=True)
class Image:
    """An array that depends on the image.

    Each image axis runs along exactly one of its axes, or is detached: this array is then one index of an array that
    it runs along. The other axes are channels.
    """

    shape: tuple[int, ...]
    axes: tuple[AxisTag, ...]
    map: str  # digest of the map from the image, up to sizes along image axes and to the offset
    offset: Offset = field(default_factory=dict)  # where along the map index 0 lies
    made_by: Resized | None = None  # what the map is the name of, where it is that
    zero: bool = False  # whether all of it is 0 or -0 if the image is finite; only a product says so of its result
    detached: tuple[tuple[int, Axis], ...] = ()  # which index: 0 or the turn of the loop of this number; and the axis

    @property
    def name(self) -> str:
        """Digest of map and offset: arrays of one name agree, index by index."""
        return digest("offset", self.map, offsets.key(self.offset)) if self.offset else self.map

    @property
    def resized(self) -> Resized | None:
        """How the map was resized, if nothing but transpositions was done since."""
        return self.made_by if self.made_by is not None and self.made_by.name == self.map else None

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
        return tuple(sorted([*domain.image_axes(self.axes), *(axis.image for _, axis in self.detached)]))

    @property
    def slice_of(self) -> tuple[tuple[int, int], ...]:
        """The image axes that are detached, and of which index."""
        return tuple((axis.image, loop) for loop, axis in self.detached)

    @property
    def strides(self) -> dict[int, Fraction]:
        """Image pixels per index, of every image axis that still follows the image."""
        following = [*domain.following(self.axes), *(axis for _, axis in self.detached)]
        return {axis.image: axis.stride for axis in following}

    def along(self, image: int) -> Axis | None:
        """The axis that runs along an image axis, where it stands alone."""
        return next((tag for tag in self.axes if isinstance(tag, Axis) and tag.image == image), None)

    def with_fixed_offset(self) -> Image:
        """The same array with the offset as part of its map, for operations that do not move along with the image."""
        return replace(self, map=self.name, offset={})

    def shifted(self, shape: Sequence[int], axes: Sequence[AxisTag], by: Offset) -> Image:
        """The same map, read so much further along."""
        offset = offsets.plus(self.offset, by)
        return replace(self, shape=tuple(shape), axes=tuple(axes), offset=offset, zero=False)

    def without(self, along: int) -> Image:
        """The same array without an axis of size 1."""
        return replace(
            self, shape=_without(self.shape, along), axes=_without(self.axes, along), made_by=None, zero=False
        )

    def detach(self, along: int, loop: int = 0) -> Image:
        """One index of this array: 0 of an axis of size 1, or the index that is the turn of a loop."""
        axis = self.axes[along]
        assert isinstance(axis, Axis)
        detached = sorted([*self.detached, (loop, axis)], key=lambda entry: entry[1].image)
        return replace(self.without(along), detached=tuple(detached))

    def attach(self, along: int, size: int = 1, loop: int = 0, image: int | None = None) -> Image | None:
        """The inverse of `detach`: the array of these indices.

        None unless just one axis is detached in that way, of this image axis if one is given.
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
    """An array of which nothing is proved. Whatever is computed from it is refused for the same reason."""

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
            raise result.why
        values.append(result)
    return values
