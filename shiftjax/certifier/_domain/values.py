"""What the interpreter knows of an array: its value, nothing but its shape, or how it reads the image. No JAX here."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain import offset as _shift
from shiftjax.certifier._domain.axis import Axis, Tag
from shiftjax.certifier._domain.offset import Shift

_opaque = itertools.count()


class Reach(enum.IntEnum):
    """How surely the bounds are attained for generic parameters, so that a period can be shown minimal."""

    NO = 0
    SOME = 1  # by some channel
    EACH = 2  # by every channel


class Generic(enum.IntEnum):
    """How an array varies with the parameters."""

    NO = 0  # nothing is known
    EACH = 1  # no entry is constant
    FREE = 2  # moreover, entries vary independently


PLAIN = (bool, int, float, complex, str, bytes)


def stable(value: Any) -> Any:
    """A parameter as plain text and numbers, the same in every run; an unknown object is like no other."""
    if value is None or isinstance(value, PLAIN):
        return value
    if type(value).__name__ == "PRNGImpl":  # a tuple of functions, one of a few
        return "random keys", value.name
    if isinstance(value, tuple | list):
        return type(value).__name__, tuple(map(stable, value))
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, dict):
        return tuple((k, stable(v)) for k, v in sorted(value.items()))
    if isinstance(value, np.dtype | np.generic) or (isinstance(value, type) and issubclass(value, np.generic)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, tuple(stable(getattr(value, f.name)) for f in dataclasses.fields(value))
    return f"opaque {next(_opaque)}"


def digest(*parts: Any) -> str:
    """A name for a piece of the derivation: equal where the derivations are."""
    return hashlib.blake2b(repr(stable(parts)).encode(), digest_size=12).hexdigest()


def squash(value: np.ndarray) -> np.ndarray:
    """A broadcast array, cut to one element along the axes of the broadcast."""
    return value[(..., *(slice(None) if step else slice(1) for step in value.strides))]


class Known:
    """An array whose value does not depend on the image and can be computed. It is computed when asked for."""

    def __init__(
        self, shape: tuple[int, ...], compute: Callable[[], np.ndarray], origin: str = "", *, rounded: bool = False
    ) -> None:
        self.shape = shape
        self.origin = origin  # the name of the closed-over array that it is or comes from, if any
        self.rounded = rounded  # whether another order of operations, as a compiler may choose, could change last bits
        self._names: dict[tuple[tuple[int, int], ...], str] = {}
        self._compute: Callable[[], np.ndarray] | None = compute
        self._value: np.ndarray | None = None

    @property
    def value(self) -> np.ndarray:
        if self._compute is not None:
            self._value, self._compute = self._compute(), None
        assert self._value is not None
        return self._value

    @classmethod
    def of(cls, value: np.ndarray, origin: str = "") -> Known:
        """A value that is at hand."""
        return cls(value.shape, lambda: value, origin)

    @property
    def squashed(self) -> np.ndarray:
        """The value, cut to one element along axes of a broadcast."""
        return squash(self.value)

    def uniform(self, axis: int) -> bool:
        """Whether the value is the same all along an axis, bit for bit."""
        value = self.value
        if value.shape[axis] < 2 or value.strides[axis] == 0:
            return True
        rows = np.moveaxis(self.squashed, axis, 0)
        return all(row.tobytes() == rows[0].tobytes() for row in rows)

    def identity(self, repeats: Mapping[int, int] = MappingProxyType({})) -> str:
        """The name of the value; along an axis in `repeats` the value recurs and its first elements name it."""
        key = tuple(sorted(repeats.items()))
        if key not in self._names:
            value = self.value[tuple(slice(repeats.get(k)) for k in range(len(self.shape)))]
            self._names[key] = digest("known", value.shape, str(value.dtype), value.tobytes())
        return self._names[key]


@dataclass(frozen=True)
class Unknown:
    """An array that does not depend on the image and whose value is unknown: a parameter, or computed from one."""

    shape: tuple[int, ...]
    name: str  # digest of how it was made
    even: frozenset[int] = frozenset()  # axes along which a broadcast proves it uniform
    generic: Generic = Generic.NO
    leaves: frozenset[int] = frozenset()  # parameters it is computed from

    def uniform(self, axis: int) -> bool:
        return axis in self.even or self.shape[axis] < 2

    def identity(self, repeats: Mapping[int, int] = MappingProxyType({})) -> str:
        sizes = tuple(None if k in repeats else n for k, n in enumerate(self.shape))
        return digest("unknown", self.name, sizes)


class Form(enum.IntEnum):
    """What is proved of the graph of a chain of activations, where samples cannot see."""

    ANY = 0
    UNEVEN = 1  # constant on no interval
    SMOOTH = 2  # analytic on all numbers, hence uneven unless constant
    LINE = 3


@dataclass(frozen=True, eq=False)
class Life:
    """What is known of a value's liveliness for generic parameters; see `_life`."""

    reach: Reach = Reach.NO
    leaves: frozenset[int] = frozenset()  # parameters that enter it
    gates: frozenset[int] = frozenset()  # those of them that all of it is a product with
    free: bool = False  # whether the start of its chain of activations takes any number
    base: str = ""  # name of the value that the chain starts from
    curve: np.ndarray | None = None  # the chain on sample numbers; None at its start
    form: Form = Form.LINE  # of the chain
    kin: tuple[Any, ...] = ()  # values of the same kin are translates of one function


DEAD = Life()


@dataclass(frozen=True)
class Image:
    """An array that depends on the image. Each image axis runs along exactly one of its axes; the rest are channels."""

    shape: tuple[int, ...]
    axes: tuple[Tag, ...]
    map: str  # digest of the map from the image, up to sizes along image axes and to the shift
    life: Life = DEAD
    shift: Shift = field(default_factory=dict)  # how far along its map index 0 is

    @property
    def name(self) -> str:
        """Digest of map and shift: arrays of one name show the same, index by index."""
        return digest("shifted", self.map, _shift.key(self.shift)) if self.shift else self.map

    @property
    def spatial(self) -> tuple[int, ...]:
        """The array axes along which the image runs."""
        return tuple(k for k, tag in enumerate(self.axes) if tag is not None)

    @property
    def void(self) -> domain.Void | None:
        return next((tag for tag in self.axes if isinstance(tag, domain.Void)), None)

    @property
    def channels(self) -> tuple[int | None, ...]:
        """The shape without sizes along image axes."""
        return tuple(n if tag is None else None for n, tag in zip(self.shape, self.axes, strict=True))

    @property
    def strides(self) -> dict[int, Fraction]:
        """Input pixels per index, of every image axis that is still one."""
        return {tag.image: tag.stride for tag in domain.plain(self.axes)}

    def frozen(self) -> Image:
        """The same array with its shift told by the map's name, for operations that do not move along."""
        return replace(self, map=self.name, shift={})

    def elsewhere(self, shape: Sequence[int], axes: Sequence[Tag], by: Shift, life: Life) -> Image:
        """The same map, read so much further along."""
        found = replace(self, shape=tuple(shape), axes=tuple(axes), shift=_shift.plus(self.shift, by))
        return replace(found, life=life if life.base else replace(life, base=found.name))

    def along(self, image: int) -> Axis | None:
        """The axis that runs along an image axis, where it stands alone."""
        return next((tag for tag in self.axes if isinstance(tag, Axis) and tag.image == image), None)


Constant = Known | Unknown
Value = Known | Unknown | Image
