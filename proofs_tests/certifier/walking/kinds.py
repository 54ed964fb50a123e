"""The table of kinds of steps that a walk may take, and what a draw of one knows of the array before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

Options = dict[str, Any]


@dataclass(frozen=True)
class View:
    """An array as the certificate shows it, and the random numbers that choose the next step.

    Attributes:
        rng: random numbers.
        shape: of the array.
        dtype: of the array.
        space: the array axes along which the image runs, one for each image axis in their order.
    """

    rng: np.random.Generator
    shape: tuple[int, ...]
    dtype: np.dtype
    space: tuple[int, ...]

    def integer(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def integers(self, count: int, low: int, high: int) -> list[int]:
        return [self.integer(low, high) for _ in range(count)]

    def one_of(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def axis(self, spatial: float = 0.75) -> int:
        """An axis, spatial with this probability."""
        return self.one_of(self.space) if self.chance(spatial) or not self.channels else self.one_of(self.channels)

    @property
    def channels(self) -> tuple[int, ...]:
        """All axes along which the image does not run, that of the batch among them."""
        return tuple(k for k in range(len(self.shape)) if k not in self.space)

    @property
    def last_channel(self) -> int:
        return self.channels[-1]

    @property
    def floating(self) -> bool:
        return bool(jnp.issubdtype(self.dtype, jnp.floating))

    @property
    def integral(self) -> bool:
        return bool(jnp.issubdtype(self.dtype, jnp.integer))

    @property
    def boolean(self) -> bool:
        return self.dtype == np.bool_

    @property
    def complex(self) -> bool:
        return bool(jnp.issubdtype(self.dtype, jnp.complexfloating))

    def per_axis(self, low: int, high: int, spatial: float = 0.8) -> list[int]:
        """One number for each axis of the array; mostly `low` or 1 along channels."""
        few = min(max(low, 1), high)
        return [
            self.integer(low, high) if k in self.space or not self.chance(spatial) else few
            for k in range(len(self.shape))
        ]


@dataclass(frozen=True)
class Kind:
    """What a step computes, how its options are drawn, and how often it is taken.

    Attributes:
        apply: of one array, or of two, and the options.
        draw: options for an array, or for two; None where the step does not fit.
        weight: relative.
        arrays: how many the step reads.
        keeps: whether it mostly keeps shape and type, so that it can be the body of a loop.
        parameters: how many parameters it takes after the arrays; their shape is the option `shape`.
    """

    apply: Callable[..., Any]
    draw: Callable[..., Options | None]
    weight: float
    arrays: int
    keeps: bool
    parameters: int


KINDS: dict[str, Kind] = {}


def kind(
    apply: Callable[..., Any], weight: float = 1.0, *, arrays: int = 1, keeps: bool = False, parameters: int = 0
) -> Callable[[Callable[..., Options | None]], Callable[..., Options | None]]:
    """Enters a function of arrays with the draw of its options."""

    def enter(draw: Callable[..., Options | None]) -> Callable[..., Options | None]:
        KINDS[apply.__name__] = Kind(apply, draw, weight, arrays, keeps, parameters)
        return draw

    return enter


def ints(x: Any) -> Any:
    """Numbers that can be added: a mask as integers."""
    return x.astype(np.int32) if x.dtype == bool else x


def box(rank: int, spans: dict[int, slice]) -> tuple[slice, ...]:
    """An index that cuts some axes."""
    return tuple(spans.get(k, slice(None)) for k in range(rank))
