"""Arrays that do not depend on the image: their values, or how they are derived."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from shiftjax.certifier._domain.bordered import Form, form
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.rounding import Rounding, is_float, of_value, subnormal

# array axis -> number of elements after which the values along it repeat, or (start, stop) of those that do
Repeats = Mapping[int, int | tuple[int, int]]
NONE: Repeats = MappingProxyType({})


Made = tuple[Any, Sequence[Any], int]  # an equation, its operands, and which result


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
    made: Made | None = field(default=None, compare=False, repr=False)  # by what, where a proof may rest on it

    def period(self, axis: int) -> int | None:
        """After how many elements the value surely repeats along an axis; None where that is not sure."""
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

    A value that may be off by rounding (`exact` is False) proves nothing about what the compiled network sees. So such
    an array gets its name from how it is derived, and only the derivation can show that it is uniform. The same holds
    for a large band, which is never written out.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        compute: Callable[[], tuple[np.ndarray, Rounding]],
        derive: Callable[[], Unknown],
        origin: str = "",
        *,
        quotient: bool = False,
        made: Made | None = None,
        is_large: bool = False,
        band: Callable[[Known], Any] = lambda known: None,
    ) -> None:
        self.shape = shape
        self.made = made
        self.is_large = is_large  # a large matrix that is computed pointwise, so that it need not be written out
        self._band = band
        self.quotient = quotient  # whether it was computed from a division of floats
        self.origin = origin  # the name of the closed-over array that it is or comes from, if any
        self._keys: dict[tuple[Any, ...], str] = {}
        self._compute = compute
        self._derive = derive

    @classmethod
    def of(cls, value: np.ndarray, origin: str = "") -> Known:
        """A value that is at hand, and exact but for subnormal numbers."""
        known = cls(
            value.shape,
            lambda: (value, of_value(value)),
            lambda: Unknown(value.shape, digest("value", value.shape, str(value.dtype), value.tobytes())),
            origin,
        )
        known.value = value  # most weights are only named, and few computed with: their rounding can wait
        known.exact = not (is_float(value.dtype) and subnormal(compact(value)).any())
        return known

    @functools.cached_property
    def derivation(self) -> Unknown:
        """All that is known without its value."""
        return self._derive()

    @functools.cached_property
    def _computed(self) -> tuple[np.ndarray, Rounding]:
        return self._compute()

    @functools.cached_property
    def band(self) -> Any:
        """All elements of a large matrix that may differ from zero, if they form a band; else None."""
        return self._band(self) if self.is_large else None

    @functools.cached_property
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
        """The columns of a matrix, without elements that are surely zero.

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
        """After how many elements the derivation repeats the value along an axis; None where it does not say so."""
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

    def form(self, axis: int) -> Form | None:
        """How the value runs along an axis, if it is exact and repeats there except at its ends; else None."""
        return form(self.compact, axis) if self.exact and self.band is None else None

    def ends(self, forms: Mapping[int, Form]) -> str:
        """The name of all that the value holds along axes of these forms, whatever their length."""
        value = self.value
        for k, along in forms.items():
            value = value.take(along.kept if value.shape[k] > 1 else [0], k)
        plain = tuple(sorted((k, along.plain) for k, along in forms.items()))
        return digest("ends", plain, value.shape, str(value.dtype), value.tobytes())

    def key(self, repeats: Repeats = NONE) -> str:
        """The name of the value. Along an axis in `repeats` only the elements that repeat count, not its length."""
        if self.band is not None or not self.exact:
            return self.derivation.key(repeats)
        runs = {k: run if isinstance(run, tuple) else (0, run) for k, run in repeats.items()}
        parts = tuple(sorted(runs.items()))
        if parts not in self._keys:
            value = self.value[tuple(slice(*runs.get(k, (None,))) for k in range(len(self.shape)))]
            spread = tuple(k for k, n in enumerate(value.shape) if n > 1 and value.strides[k] == 0)
            self._keys[parts] = digest("known", value.shape, str(value.dtype), spread, compact(value).tobytes())
        return self._keys[parts]
