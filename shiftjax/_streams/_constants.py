"""Constants beside a stream: held without their repetitions, and repeated for each step."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax._streams._graph import Node
from shiftjax._streams._rule import refuse
from shiftjax.certifier import Constant

Use = tuple[Constant, Node, int | None]  # a constant, who reads it, and which of its axes runs along the stream


def without_repetitions(value: Any, constant: Constant, node: Node, aligned: int | None, *, ends: bool) -> Any:
    """A constant without its repetitions along the streamed axis."""
    if aligned is None or constant.shape[aligned] == 1:
        return value
    form = constant.form(aligned)
    if form is None or (not ends and form[0] + form[2] > constant.shape[aligned] // 2):
        assert node.operation is not None
        refuse(node.operation, "a constant varies along the axis")
    left, period, right = form
    size = constant.shape[aligned]
    kept = [*range(left + period), *(range(size - right, size) if ends else ())]
    return value[(slice(None),) * aligned + (np.array(kept),)]


def repeated(value: Any, use: Use, lead: int, count: int, turn: Any, longer: int) -> Any:
    """A constant at the indices of a step: of a repeated one, those that lie there."""
    constant, node, aligned = use
    if aligned is None or constant.shape[aligned] == 1:
        return value
    left, period, right = constant.form(aligned) or (0, 1, 0)
    if count % period:
        assert node.operation is not None
        refuse(node.operation, "a constant repeats along the axis with another period than the image")
    at = np.arange(count) + lead
    again = left + (at - left) % period
    if turn is None or not (left or right):
        return jnp.take(value, again, axis=aligned)
    at += turn * count
    last = constant.shape[aligned] + longer - right
    behind = jnp.where(at >= last, jnp.minimum(at - last, right - 1) + left + period, again)
    return jnp.take(value, jnp.where(at < left, jnp.maximum(at, 0), behind), axis=aligned)
