"""How far a computed constant may be from its exact value.

A constant is computed here operation by operation. XLA computes it in one program with the rest of the network: it
turns quotients into products with rounded reciprocals, joins constants that are added or multiplied one after the
other, keeps half floats in float32 between operations, and flushes subnormal numbers to zero. So a value is called
exact only where no way of computing it rounds at all: all numbers on the way are multiples of one power of two, and
so few of it, in sum, that the type holds every partial result. Any other value comes with a bound on its error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

FLOATS = {  # largest relative error of one rounding, and smallest normal number; other types are not followed
    "float16": (2.0**-11, 2.0**-14),
    "bfloat16": (2.0**-8, 2.0**-126),
    "float32": (2.0**-24, 2.0**-126),
    "float64": (2.0**-53, 2.0**-1022),
}
WHOLE = ("int", "uint", "bool", "key<")  # beginnings of the names of types whose values are not rounded
SAFETY = 4  # bounds count so many times: an expression may be rewritten into one with a few more roundings
REORDERING = "broadcast_in_dim concatenate pad reshape rev slice split squeeze stack tile transpose unstack"
CHOOSING = "copy dynamic_slice dynamic_update_slice gather name scatter select_n stop_gradient"
SELECTING = frozenset(f"{REORDERING} {CHOOSING}".split())
COMPARING = "eq ne lt le gt ge eq_to le_to lt_to"
CUTTING = "floor ceil round convert_element_type sign"
STEPS = frozenset(f"{COMPARING} {CUTTING}".split())  # discontinuous: rounding may move a value over a step


class Rounding(NamedTuple):
    """What is known of the rounding of an array.

    Attributes:
        error: a bound for each element, broadcast to the array; zero where exact, infinite where nothing is known.
        unit: a power of two of which all exact elements, and all numbers they were computed from, are multiples.
        size: a bound on the sum of the magnitudes of the numbers that any element was added up from.
    """

    error: np.ndarray
    unit: float
    size: float


UNKNOWN = Rounding(np.full((), np.inf), 0.0, np.inf)


@functools.cache  # NumPy writes the name of a type slowly
def is_float(dtype: Any) -> bool:
    """Whether values of a type, or of the type of this name, are rounded; complex numbers are."""
    return getattr(dtype, "kind", "") not in ("i", "u", "b") and not str(dtype).startswith(WHOLE)


@functools.cache
def _precision(dtype: Any) -> tuple[float, float] | None:
    """Of a type that is followed, its entry in FLOATS."""
    return FLOATS.get(str(dtype))


def subnormal(value: np.ndarray) -> np.ndarray:
    """Where an array holds subnormal numbers, which a compiled program may flush to zero."""
    smallest = (_precision(value.dtype) or (1.0, 0.0))[1]
    return (value != 0) & (np.abs(value) < smallest)


def of_value(value: np.ndarray) -> Rounding:
    """The rounding of an array that is at hand: none, but for subnormal numbers."""
    if not is_float(value.dtype):
        return _whole(value)
    if np.iscomplexobj(value):
        return Rounding(np.zeros(()), 0.0, np.inf)  # exact, but nothing computed from it is
    wide = np.abs(value.astype(np.float64))
    error = np.where(subnormal(value), np.inf, 0.0)
    finite = wide[np.isfinite(wide) & (wide > 0)]
    mantissa, exponent = np.frexp(finite)
    whole = np.abs(mantissa * 2.0**53).astype(np.uint64)
    lowest = np.log2((whole & (~whole + np.uint64(1))).astype(np.float64)) + exponent - 53
    size = float(wide.max(initial=0.0))
    return Rounding(error if error.any() else np.zeros(()), float(2.0 ** lowest.min(initial=1023)), size)


def _whole(value: np.ndarray) -> Rounding:
    """Of whole numbers: none."""
    return Rounding(np.zeros(()), 1.0, float(np.abs(value.astype(np.float64)).max(initial=0)))


def rounding(
    name: str,
    params: dict[str, Any],
    values: Sequence[np.ndarray],
    before: Sequence[Rounding],
    results: Sequence[np.ndarray],
    select: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]],
) -> list[Rounding]:
    """The rounding of an operation's results.

    Args:
        name: of the operation.
        params: its parameters.
        values: of its operands.
        before: the rounding of its operands.
        results: the values computed.
        select: does to errors what the operation does to values; for operations that only select.

    Returns:
        One entry for each result.
    """
    exact = all(not operand.error.any() for operand in before)
    if not any(is_float(v.dtype) for v in (*values, *results)):
        return [_whole(result) for result in results]
    if name in SELECTING:
        data = [before[k] for k in selected_from(name, len(before))]
        unit, size = min(operand.unit for operand in data), max(operand.size for operand in data)
        errors = [np.zeros(())] * len(results) if exact else select([operand.error for operand in before])
        return [Rounding(np.asarray(error), unit, size) for error in errors]
    unheard_of = not values and name != "iota"
    if unheard_of or len(results) > 1 or any(map(np.iscomplexobj, (*values, *results))):
        return [UNKNOWN] * len(results)
    with np.errstate(all="ignore"):
        found = _of_arithmetic(name, params, [v.astype(np.float64) for v in values], before, results[0])
    error = np.asarray(found.error)
    return [found._replace(error=np.where(np.isnan(error), np.inf, error))]


def selected_from(name: str, operands: int) -> Sequence[int]:
    """Which operands of an operation that selects hold what it selects; the others say which, or where."""
    if name == "select_n":
        return range(1, operands)
    return {"gather": (0,), "dynamic_slice": (0,), "dynamic_update_slice": (0, 1), "scatter": (0, 2)}.get(
        name, range(operands)
    )


def undecided(name: str, values: Sequence[np.ndarray], before: Sequence[Rounding], *, quotient: bool) -> bool:
    """Whether rounding may decide what a discontinuous operation gives: a value lies within its error of a step.

    A quotient that lies on a step counts as undecided even if it happens to be exact, so that the answer for a ratio of
    sizes does not depend on the sizes.
    """
    if not quotient and all(not operand.error.any() for operand in before):
        return False
    a = values[0].astype(np.float64)
    reach = SAFETY * np.asarray(sum(operand.error for operand in before[:2]))
    with np.errstate(all="ignore"):
        if len(values) == 2:
            distance = np.abs(a - values[1].astype(np.float64))
        elif name == "sign":
            distance = np.abs(a)
        else:
            half = a + 0.5 if name == "round" else a
            distance = np.abs(half - np.round(half))
        return not bool((distance > reach).all())


def _of_arithmetic(
    name: str, params: dict[str, Any], values: Sequence[Any], before: Sequence[Rounding], result: np.ndarray
) -> Rounding:
    """The rounding of the one result of an operation on numbers."""
    out = result.astype(np.float64)
    largest = float(np.abs(out).max(initial=0.0))
    if name in STEPS and not (name == "convert_element_type" and is_float(result.dtype)):
        whole = (
            np.trunc(values[0]) == out if name == "convert_element_type" else True
        )  # a number too large for its type
        return Rounding(np.where(whole, 0.0, np.inf), 1.0, largest)
    if name == "iota":
        return _rounded(0.0, 1.0, largest, result.dtype)
    a, *others = before
    if name == "neg":
        return a
    if name == "abs":
        return a._replace(size=largest)
    if name in ("max", "min", "clamp"):
        unit = min(operand.unit for operand in before)
        return Rounding(_of_choice(name, values, before), unit, largest)
    if name == "convert_element_type":
        return _rounded(a.error, a.unit, a.size, result.dtype)
    if name in ("add", "sub"):
        (b,) = others
        return _rounded(a.error + b.error, min(a.unit, b.unit), a.size + b.size, result.dtype)
    if name == "mul":
        (b,) = others
        inherited = a.error * np.abs(values[1]) + b.error * np.abs(values[0]) + a.error * b.error
        return _rounded(inherited, a.unit * b.unit, a.size * b.size, result.dtype)
    if name == "div":
        return _of_quotient(values, before, result.dtype)
    if name == "square" or (name == "integer_pow" and params["y"] > 0):
        power = 2 if name == "square" else params["y"]
        inherited = np.where(a.error == 0, 0.0, np.inf)
        return _rounded(inherited, a.unit**power, a.size**power, result.dtype)
    if name == "reduce_sum":
        axes = tuple(params["axes"])
        inherited = np.broadcast_to(a.error, values[0].shape).sum(axes)
        terms = prod(values[0].shape[k] for k in axes)
        total = float(np.abs(values[0]).sum(axes).max(initial=0.0))
        return _rounded(inherited, a.unit, total, result.dtype, roundings=terms)
    if name in ("reduce_max", "reduce_min"):
        return a._replace(error=np.broadcast_to(a.error, values[0].shape).max(tuple(params["axes"])), size=largest)
    terms = {
        "reduce_window_sum": lambda: prod(params["window_dimensions"]),
        "cumsum": lambda: values[0].shape[params["axis"]],
        "conv_general_dilated": lambda: values[1].size,
        "dot_general": lambda: prod(values[0].shape[k] for k in params["dimension_numbers"][0][0]),
    }.get(name, lambda: 0)()
    if terms and all(not operand.error.any() for operand in before):
        unit, size = prod(operand.unit for operand in before), terms * prod(operand.size for operand in before)
        return _rounded(0.0, unit, size, result.dtype, roundings=terms)
    return UNKNOWN


def _rounded(inherited: Any, unit: float, size: float, dtype: Any, *, roundings: int = 1) -> Rounding:
    """A result that is computed from multiples of `unit` that add up to at most `size`."""
    epsilon, smallest = _precision(dtype) or (1.0, np.inf)
    held = smallest <= unit and size * epsilon <= unit  # the type then holds every partial result of exact elements
    own = 2 * roundings * epsilon * size + smallest
    return Rounding(np.where(held & (np.asarray(inherited) == 0), 0.0, inherited + own), unit, size)


def _of_quotient(values: Sequence[Any], before: Sequence[Rounding], dtype: Any) -> Rounding:
    """A quotient by a power of two is exact; one by anything else may become a product with a rounded reciprocal."""
    a, b = before
    divisor = np.abs(values[1])
    smallest, greatest = float(divisor.min(initial=np.inf)), float(divisor.max(initial=0.0))
    if not smallest:
        return UNKNOWN
    uncertain = bool(b.error.any())
    if smallest == greatest and not uncertain:
        divisor = np.asarray(smallest)  # a single number
    least = divisor - b.error
    more = np.abs(values[0]) / divisor * b.error if uncertain else 0.0
    inherited = (a.error + more) / np.where(least > 0, least, np.nan)
    power = (np.frexp(divisor)[0] == 0.5) & (b.error == 0)
    result = _rounded(np.where(power, inherited, 0.0), a.unit / greatest, a.size / smallest, dtype)
    epsilon = (_precision(dtype) or (1.0, np.inf))[0]
    otherwise = inherited + 4 * epsilon * a.size / divisor
    return result._replace(error=np.where(power, result.error, otherwise))


def _of_choice(name: str, values: Sequence[Any], before: Sequence[Rounding]) -> np.ndarray:
    """The error of a maximum or minimum: that of the operand that is surely chosen, where one is."""
    if name == "clamp":
        return np.asarray(sum(operand.error for operand in before))
    a, b = values if name == "max" else (-values[0], -values[1])
    one, two = (operand.error for operand in before)
    apart = SAFETY * (one + two)
    return np.where(a - b > apart, one, np.where(b - a > apart, two, np.maximum(one, two)))
