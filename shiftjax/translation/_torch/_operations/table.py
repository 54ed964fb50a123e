"""The table: for each ATen operation a JAX function with the same arguments in the same order.

Arrays have PyTorch's layout, `(batch, channel, *space)`. A function may leave out trailing arguments of the operation
that it refuses or that decide nothing; those that it names have the operation's own defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

OPERATIONS: dict[str, Callable[..., Any]] = {}


class Unsupported(Exception):
    """An operation with these options is not translated; the message says why."""


def operation(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enters a function under ATen's names: of all overloads, `add`, or of one, `add.Scalar`."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            assert name not in OPERATIONS, name
            OPERATIONS[name] = function
        return function

    return enter


def each(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    """One integer per spatial axis; PyTorch lets a single one, or a list of one, stand for all."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * count if len(values) == 1 else values


def wide(x: Any) -> Any:
    """In float32 where the type is narrower, as PyTorch computes statistics and sums."""
    return x.astype(jnp.float32) if x.dtype in (jnp.float16, jnp.bfloat16) else x


def channels_last(x: Any) -> Any:
    """From PyTorch's layout to this library's."""
    return jnp.moveaxis(x, 1, -1)


def channels_first(x: Any) -> Any:
    """From this library's layout to PyTorch's."""
    return jnp.moveaxis(x, -1, 1)
