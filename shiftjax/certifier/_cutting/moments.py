"""The moments that a norm takes, in the forms that libraries write them, so that they are measured in one pass.

The sum of the squares of (y - c), for any c that is the same at every pixel, is M2 + n (mean - c)^2, where M2 is the
sum for c = mean: so n, mean and M2 of y are all that has to be measured. The variance written as E[y^2] - E[y]^2 loses
its digits where the mean is far from 0; M2 / n is the same number and does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._cutting.finding import Found, Reduction
from shiftjax.certifier._cutting.flat import Flat
from shiftjax.certifier._cutting.operand import layout
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.values import Image
from shiftjax.certifier._jaxpr import Call

ROUNDING = 1.01 * 2.0**-24  # of a number in float32, and a little more
SAME_VALUES = ("reshape", "squeeze", "broadcast_in_dim", "expand_dims", "copy")


@dataclass(frozen=True)
class Squares:
    """A sum of squares: of what, and about which centre; None stands for 0."""

    reduction: Reduction
    centre: Any | None


def squares(reduction: Reduction, flat: Flat, found: Found) -> Squares | None:
    """The squares that a reduction sums, if it sums squares of floats that depend on the image; else None."""
    call = flat.maker.get(reduction.operand)
    dtype = _jaxpr.dtype(reduction.operand)
    if reduction.kind != "sum" or call is None or not jnp.issubdtype(dtype, jnp.floating):
        return None
    base = _squared(call)
    if base is None or _jaxpr.literal(base) is not None:
        return None
    value = found.values.get(base)
    if not isinstance(value, Image) or _jaxpr.dtype(base) != dtype:
        return None
    difference, centre = flat.maker.get(base), None
    if difference is not None and difference.name == "sub":
        y, c = difference.operands
        operand = found.values.get(y) if _jaxpr.literal(y) is None else None
        spread = _jaxpr.shape(c)
        if (
            isinstance(operand, Image)
            and c in found.derived
            and c not in found.spread
            and len(spread) == len(operand.shape)
            and all(spread[k] == 1 for k in reduction.axes)  # the same for all numbers that are summed
            and operand.axes == value.axes
            and operand.shape == value.shape
        ):
            base, value, centre = y, operand, c
    return Squares(_of(reduction, base, value), centre)


def _of(reduction: Reduction, operand: Any, value: Image) -> Reduction:
    """The same reduction of another operand."""
    how = layout(value, reduction.axes, reduction.layout.batch)
    assert how is not None
    return replace(reduction, operand=operand, layout=how)


def _squared(call: Call) -> Any | None:
    """What an equation squares; None where it does something else."""
    if call.name == "square" or (call.name == "integer_pow" and call.params["y"] == 2):
        return call.operands[0]
    if call.name == "mul" and call.operands[0] is call.operands[1]:
        return call.operands[0]
    return None


@dataclass(frozen=True)
class _Moment:
    """A moment of what was measured: the mean of its values or of their squares, or the square of their mean."""

    power: int
    of: Reduction
    divided: float = 1.0
    squared: bool = False


def variances(flat: Flat, found: Found, sums: dict[Any, tuple[int, Reduction]]) -> dict[Any, Reduction]:
    """The variables that are a variance, E[y^2] - E[y]^2 over the same axes, and the sum of y of each.

    Args:
        flat: the program.
        found: what is known of it.
        sums: of the results of reductions: 1 for sums and 2 for sums of squares, and the reduction of y that they are.
    """
    known: dict[Any, _Moment] = {atom: _Moment(power, of) for atom, (power, of) in sums.items()}
    variances: dict[Any, Reduction] = {}
    for call in flat.program.calls:
        if not any(atom in known for atom in call.operands if _jaxpr.literal(atom) is None):
            continue
        moment = _moment(call, known, found)
        if moment is not None:
            known[call.results[0]] = moment
        if call.name != "sub":
            continue
        left, right = (known.get(atom) if _jaxpr.literal(atom) is None else None for atom in call.operands)
        if (
            left is not None
            and right is not None
            and (left.power, left.squared, right.power, right.squared) == (2, False, 1, True)
            and left.of.operand is right.of.operand
            and (left.of.axes, left.of.layout) == (right.of.axes, right.of.layout)
            and call.in_shapes[0] == call.in_shapes[1]  # else one of them would be broadcast
            and _means(left)
            and _means(right)
        ):
            variances[call.results[0]] = right.of
    return variances


def _means(moment: _Moment) -> bool:
    """Whether a sum was divided by the number of its terms, up to the rounding of 1 / n, and not by n - 1."""
    return math.isclose(moment.divided, moment.of.layout.count, rel_tol=ROUNDING)


def _moment(call: Call, known: dict[Any, _Moment], found: Found) -> _Moment | None:
    """What moment an equation makes of others."""
    first = known.get(call.operands[0]) if _jaxpr.literal(call.operands[0]) is None else None
    if call.name in ("div", "mul") and first is not None:
        by = number(call.operands[1], found)
        if by:
            divided = first.divided * (by if call.name == "div" else 1 / by)
            return None if first.squared else replace(first, divided=divided)
    if first is None:
        return None
    same_size = np.prod(call.out_shapes[0]) == np.prod(call.in_shapes[0])
    if call.name in SAME_VALUES and same_size:
        return first
    if _squared(call) is not None and first.power == 1 and not first.squared:
        return replace(first, squared=True)
    return None


def number(atom: Any, found: Found) -> float | None:
    """The value of a known number, also of one that is written out as an array."""
    value = _jaxpr.literal(atom)
    if value is None:
        known = found.values.get(atom)
        if not isinstance(known, Known) or not all(map(known.derivation.uniform, range(len(known.shape)))):
            return None
        value = known.value.item(0) if known.value.size else None
    return None if value is None else plain_number(value)


def plain_number(value: Any) -> float | None:
    """A real number as Python has it; None for an array, and for other things."""
    return None if np.ndim(value) or np.iscomplexobj(value) else float(value)
